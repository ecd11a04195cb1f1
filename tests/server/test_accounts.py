"""
`extretr.server.accounts`: who may log in.
"""

import os

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import LoginUnavailable
from extretr.server.accounts import MOST_WAITING, PasswdFile, parse_line
from extretr.server.schemes import SCHEMES

PASSWORD = b"correct horse"

#: Made by openssl passwd, perl's crypt, and the libraries' own tools.
VECTORS = {
    "{PLAIN}": "correct horse",
    "{plain}": "correct horse",
    "{CLEARTEXT}": "correct horse",
    "": "$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80",
    "{CRYPT}": "abhfCpXqd4GrI",
    "{CRYPT} ": "$5$abcdefgh$ruMep1ijHnJPZbETDNiumskxcX3kN4lzZd5VlsqE7eB",
    "{SHA256-CRYPT}": "$5$abcdefgh$ruMep1ijHnJPZbETDNiumskxcX3kN4lzZd5VlsqE7eB",
    "{SHA512-CRYPT}": (
        "$6$abcdefgh$yIZAF3gQPvtKZO/9qOJKffAKKbtS3ef3qmwyugk4uWVjX8YZf/GV3A8SkFxEPY0T5"
        "6CcilGrHKLffBsp6dLMG."
    ),
    "{BLF-CRYPT}": "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "{blf-crypt}": "$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "{ARGON2ID}": (
        "$argon2id$v=19$m=64,t=1,p=1$bxZ3f7wwAx1hFapsJWlLuQ$vlZxAlTguahREQy00iRXyPUxUj"
        "iwd2+8Y0GmK5NP3Zs"
    ),
    "{SSHA}": "LhKrkM9Fy+zlstjdD7Kv2s6QvhBzYWx0",
}


class ParseTests(SynchronousTestCase):
    """
    Lines as Dovecot has them.
    """

    def test_lines(self):
        """
        The fields after the password belong to others; a prefix names the scheme.
        """
        user, account = parse_line(b"bob:{Ssha}abc=:1000:1000::/home/bob::x=y\n")
        self.assertEqual((user, account), (b"bob", ("SSHA", "abc=")))
        self.assertEqual(parse_line(b"a@b:$1$x\r\n"), (b"a@b", ("CRYPT", "$1$x")))

    def test_nothing(self):
        """
        Comments and empty lines say nothing.
        """
        for line in (b"", b"\n", b"  \n", b"# bob:{PLAIN}x\n"):
            self.assertIsNone(parse_line(line))

    def test_bad(self):
        """
        What is no account is an error whose text holds no secret.
        """
        for line in (
            b"bob",
            b":{PLAIN}hush",
            b"bob:",
            b"bob:{PLAIN}:1:1",
            b"b\0b:{PLAIN}hush",
            b"bob\t:{PLAIN}hush",
        ):
            error = self.assertRaises(ValueError, parse_line, line)
            self.assertNotIn("hush", str(error))


class PasswdFileTests(SynchronousTestCase):
    """
    Names and passwords are checked against the file.
    """

    def setUp(self):
        self.path = self.mktemp()
        self.ran = 0

    def run_here(self, function, address):
        self.ran += 1
        return maybeDeferred(function)

    def write(self, *lines):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        # The clock of the file system may be coarser than this test is quick.
        self.time = getattr(self, "time", 1_000_000_000) + 10
        os.utime(self.path, (self.time, self.time))

    def checker(self, *lines, run=None):
        self.write(*lines)
        return PasswdFile(self.path, run or self.run_here)

    def ask(self, checker, user, password):
        return maybeDeferred(checker.requestAvatarId, UsernamePassword(user, password))

    def test_interface(self):
        """
        It is a checker of names and passwords.
        """
        verifyObject(ICredentialsChecker, self.checker("bob:{PLAIN}x"))

    def test_schemes(self):
        """
        A hash that another program made is verified, and a wrong password refused.
        """
        for prefix, stored in VECTORS.items():
            checker = self.checker(f"bob:{prefix.strip()}{stored}")
            right = self.ask(checker, b"bob", PASSWORD)
            self.assertEqual(self.successResultOf(right), b"bob", prefix)
            for wrong in (
                b"",
                b"Correct horse",
                b" " + PASSWORD,
                b"\xff\0",
                b"x" * 999,
            ):
                refused = self.ask(checker, b"bob", wrong)
                self.failureResultOf(refused, UnauthorizedLogin)

    def test_made(self):
        """
        What each scheme makes, it verifies.
        """
        for name, scheme in SCHEMES.items():
            self.assertTrue(scheme.verify(PASSWORD, scheme.make(PASSWORD)), name)

    def test_longForBcrypt(self):
        """
        BLF-CRYPT reads 72 octets of a password, as crypt(3) does, and does not fail.
        """
        stored = SCHEMES["BLF-CRYPT"].make(b"x" * 72)
        for line in (f"bob:{{BLF-CRYPT}}{stored}", f"bob:{stored}"):
            checker = self.checker(line)
            self.successResultOf(self.ask(checker, b"bob", b"x" * 80))

    def test_slowOnesElsewhere(self):
        """
        Only what is quick is verified on the spot.
        """
        for prefix, stored in VECTORS.items():
            self.ran = 0
            self.ask(self.checker(f"bob:{prefix.strip()}{stored}"), b"bob", PASSWORD)
            slow = prefix.upper() not in ("{PLAIN}", "{CLEARTEXT}", "{SSHA}")
            self.assertEqual(self.ran, int(slow), prefix)

    def test_unknownUser(self):
        """
        f34: an unknown name costs what a known one costs, and fails the same way.
        """
        checker = self.checker("bob:" + VECTORS["{CRYPT}"])
        self.failureResultOf(self.ask(checker, b"eve", PASSWORD), UnauthorizedLogin)
        self.assertEqual(self.ran, 1)
        for user in (b"", b"BOB", b"bob\0", b"bob "):
            self.failureResultOf(self.ask(checker, user, PASSWORD), UnauthorizedLogin)

    def test_decoys(self):
        """
        f34: names that are not known take the time of all kinds of accounts, each name
        always the same; what is wrong with the account of another is not logged.
        """
        checker = self.checker(
            "ann:{PLAIN}x", "bob:{CRYPT}broken", "cyn:{OTP}x", run=self.run_here
        )
        costs = set()
        with capturedLogs() as events:
            for number in range(64):
                name = b"eve%d" % number
                twice = []
                for _ in range(2):
                    self.ran = 0
                    refused = self.ask(checker, name, b"x")
                    self.failureResultOf(refused, UnauthorizedLogin)
                    twice.append(self.ran)
                self.assertEqual(*twice)
                costs.add(self.ran)
        self.assertEqual(costs, {0, 1})
        self.assertEqual(events, [])

    def test_noDecoy(self):
        """
        Where no account can be verified, nobody is let in.
        """
        checker = self.checker("cyn:{OTP}x")
        for user in (b"cyn", b"eve"):
            self.failureResultOf(self.ask(checker, user, b"x"), UnauthorizedLogin)

    def test_noAccounts(self):
        """
        An empty file lets nobody in.
        """
        self.failureResultOf(self.ask(self.checker(""), b"", b""), UnauthorizedLogin)

    def test_unknownScheme(self):
        """
        A scheme that is not known refuses, and is logged without the secret.
        """
        with capturedLogs() as events:
            checker = self.checker("bob:{OTP}hush", "ann:{PLAIN}x")
            self.failureResultOf(self.ask(checker, b"bob", b"hush"), UnauthorizedLogin)
            self.successResultOf(self.ask(checker, b"ann", b"x"))
        texts = [formatEvent(event) for event in events]
        self.assertEqual(len(texts), 2)
        self.assertTrue(all("OTP" in text for text in texts))
        self.assertFalse(any("hush" in text for text in texts))

    def test_brokenHashes(self):
        """
        A hash that cannot be verified refuses, and is one log line.
        """
        for scheme in ("ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SSHA", "CRYPT"):
            checker = self.checker(f"bob:{{{scheme}}}broken-hush")
            with capturedLogs() as events:
                refused = self.ask(checker, b"bob", PASSWORD)
                self.failureResultOf(refused, UnauthorizedLogin)
            (event,) = events
            self.assertIn(scheme, formatEvent(event))
            self.assertNotIn("hush", formatEvent(event))

    def test_badLines(self):
        """
        A bad line is one log line with its number; the others hold.
        """
        with capturedLogs() as events:
            checker = self.checker(
                "# accounts", "nonsense", "", "bob:{PLAIN}first", "bob:{PLAIN}second"
            )
        self.assertEqual([event["number"] for event in events], [2, 5])
        self.assertEqual(
            self.successResultOf(self.ask(checker, b"bob", b"first")), b"bob"
        )
        self.failureResultOf(self.ask(checker, b"bob", b"second"), UnauthorizedLogin)

    def test_readAgain(self):
        """
        A file that has changed holds at the next login.
        """
        checker = self.checker("bob:{PLAIN}old")
        self.write("bob:{PLAIN}new")
        self.failureResultOf(self.ask(checker, b"bob", b"old"), UnauthorizedLogin)
        self.successResultOf(self.ask(checker, b"bob", b"new"))

    def test_unreadableLater(self):
        """
        A file that goes away leaves the accounts as they were, with a log line.
        """
        checker = self.checker("bob:{PLAIN}x")
        os.unlink(self.path)
        with capturedLogs() as events:
            self.successResultOf(self.ask(checker, b"bob", b"x"))
        self.assertEqual(len(events), 1)
        self.write("bob:{PLAIN}y")
        self.successResultOf(self.ask(checker, b"bob", b"y"))

    def test_brokenLater(self):
        """
        A new version of nothing but bad lines leaves the accounts as they were; one
        that is empty lets nobody in.
        """
        checker = self.checker("bob:{PLAIN}x")
        self.write("\0\0\0", "nonsense")
        with capturedLogs() as events:
            self.successResultOf(self.ask(checker, b"bob", b"x"))
            self.successResultOf(self.ask(checker, b"bob", b"x"))
        self.assertIn("stay as they were", formatEvent(events[-1]))
        self.assertEqual(len(events), 3)
        self.write("# nobody")
        self.failureResultOf(self.ask(checker, b"bob", b"x"), UnauthorizedLogin)

    def test_unreadableAtFirst(self):
        """
        A file that cannot be read at the start is an error.
        """
        self.assertRaises(OSError, PasswdFile, self.path, self.run_here)

    def test_bounded(self):
        """
        When too many wait for a thread, more are told to try again.
        """
        waiting = []

        def run_later(function, address):
            waiting.append(Deferred())
            return waiting[-1]

        checker = self.checker("bob:" + VECTORS["{CRYPT}"], run=run_later)
        asked = [self.ask(checker, b"bob", PASSWORD) for _ in range(MOST_WAITING)]
        self.failureResultOf(self.ask(checker, b"bob", PASSWORD), LoginUnavailable)
        for each in waiting:
            each.callback(True)
        for each in asked:
            self.successResultOf(each)
        self.assertNoResult(self.ask(checker, b"bob", PASSWORD))

    def test_hungUp(self):
        """
        A peer that hangs up gives its place up only when the thread had it in hand, is
        not hashed for, and is no log line.
        """
        waiting = []

        def run_later(function, address):
            waiting.append((Deferred(), function))
            return waiting[-1][0]

        checker = self.checker("bob:" + VECTORS["{CRYPT}"], run=run_later)
        with capturedLogs() as events:
            for _ in range(MOST_WAITING):
                asked = self.ask(checker, b"bob", PASSWORD)
                asked.cancel()
                self.failureResultOf(asked, UnauthorizedLogin)
            self.failureResultOf(self.ask(checker, b"bob", PASSWORD), LoginUnavailable)
            for done, function in waiting:
                result = function()
                self.assertIs(result, False)
                done.callback(result)
            asked = self.ask(checker, b"bob", PASSWORD)
            done, function = waiting[-1]
            done.callback(function())
            self.successResultOf(asked)
        self.assertEqual(events, [])

    def test_octets(self):
        """
        Names and passwords that are no UTF-8 are compared as octets.
        """
        with open(self.path, "wb") as file:
            file.write(b"b\xf6b:{PLAIN}p\xe4ss\n")
        checker = PasswdFile(self.path, lambda function, address: succeed(function()))
        self.assertEqual(
            self.successResultOf(self.ask(checker, b"b\xf6b", b"p\xe4ss")), b"b\xf6b"
        )
