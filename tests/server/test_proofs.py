"""
`extretr.server.proofs` and `extretr.server.stand_ins`: names that cannot be guessed.
"""

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from extretr.sasl.scram import ITERATIONS, ScramKeys
from extretr.server.accounts import PasswdFile
from extretr.server.credentials import IChangingChecker, IScram
from extretr.server.stand_ins import StandIns

STORED = str(ScramKeys.of_password(b"pencil", b"s" * 24, 5000))


@implementer(IScram)
class Asked:
    """
    A conversation that is only at its beginning.
    """

    def __init__(self, username, password=None):
        self.username = username
        self._password = password

    def prove(self, keys):
        self.keys = keys
        right = self._password is not None and keys.matches(self._password)
        return succeed(right)


def at_once(function, address):
    """
    Run a function in no thread.
    """
    return maybeDeferred(function)


class ProofTests(SynchronousTestCase):
    """
    What a peer is shown of a user.
    """

    def checker(self, lines, key=b"key", run=at_once):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(lines)
        return PasswdFile(path, run, key=key)

    def ask(self, checker, user, password=None):
        """
        Begin; give the keys that are shown, and whether it let in.
        """
        asked = Asked(user, password)
        checked = checker.requestAvatarId(asked)
        if password == b"pencil" and user in (b"alice", b"bob"):
            self.assertEqual(self.successResultOf(checked), user)
        else:
            self.failureResultOf(checked, UnauthorizedLogin)
        return asked.keys

    def test_both(self):
        """
        Keys from the file, and keys of passwords in clear, let in.
        """
        lines = b"alice:{SCRAM-SHA-256}%b\nbob:{PLAIN}pencil\n" % STORED.encode()
        checker = self.checker(lines)
        verifyObject(IChangingChecker, checker)
        self.assertEqual(str(self.ask(checker, b"alice", b"pencil")), STORED)
        keys = self.ask(checker, b"bob", b"pencil")
        self.assertEqual((keys.iterations, len(keys.salt)), (ITERATIONS, 16))
        for user in (b"alice", b"bob", b"eve"):
            self.ask(checker, user, b"wrong")

    def test_decoys(self):
        """
        Who is not known has a salt that stays, and looks like that of one who is.
        """
        for lines, iterations, octets in [
            (b"alice:{SCRAM-SHA-256}%b\n" % STORED.encode(), 5000, 24),
            (b"bob:{PLAIN}pencil\n", ITERATIONS, 16),
        ]:
            checker = self.checker(lines)
            shown = [self.ask(checker, b"eve%d" % number) for number in range(20)]
            again = [self.ask(checker, b"eve%d" % number) for number in range(20)]
            salts = [keys.salt for keys in shown]
            self.assertEqual(salts, [keys.salt for keys in again])
            self.assertEqual(len(set(salts)), 20)
            looks = {(keys.iterations, len(keys.salt)) for keys in shown}
            self.assertEqual(looks, {(iterations, octets)})
            other = self.checker(lines, key=None)
            self.assertNotEqual(self.ask(other, b"eve1").salt, shown[1].salt)

    def test_unable(self):
        """
        Who has another scheme looks like nobody, and with such alone there is no SCRAM.
        """
        hashed = b"carol:{SSHA}LhKrkM9Fy+zlstjdD7Kv2s6QvhBzYWx0\n"
        checker = self.checker(b"bob:{PLAIN}pencil\n" + hashed)
        self.assertEqual(len(self.ask(checker, b"carol", b"pencil").salt), 16)
        self.assertFalse(checker.checks(IScram))
        checker = self.checker(hashed)
        asked = checker.requestAvatarId(Asked(b"carol"))
        self.failureResultOf(asked, UnauthorizedLogin)
        self.assertFalse(checker.checks(IScram))
        self.assertTrue(self.checker(b"bob:{PLAIN}x\n").checks(IScram))
        self.assertFalse(self.checker(b"# none\n").checks(IScram))

    def test_notText(self):
        """
        A password in clear that SCRAM cannot take is nobody's, for SCRAM.
        """
        checker = self.checker(b"dave:{PLAIN}caf\xe9\nbob:{PLAIN}pencil\n")
        keys = [self.ask(checker, b"dave") for _ in range(2)]
        self.assertEqual(keys[0].salt, keys[1].salt)

    def test_thread(self):
        """
        Keys are made where it stalls nobody; a peer that hangs up meanwhile is let go.
        """
        waiting = []

        def run(function, address):
            waiting.append((Deferred(), function))
            return waiting[-1][0]

        checker = self.checker(b"bob:{PLAIN}pencil\n", run=run)
        asked = checker.requestAvatarId(Asked(b"bob", b"pencil"))
        self.assertNoResult(asked)
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.successResultOf(asked)
        done, function = waiting[0]
        done.callback(function())
        self.assertEqual(checker._waiting, 0)

    def test_password(self):
        """
        Keys in the file serve names with passwords as well.
        """
        checker = self.checker(b"alice:{SCRAM-SHA-256}%b\n" % STORED.encode())
        for password, right in ((b"pencil", True), (b"pen", False), (b"\xff", False)):
            asked = checker.requestAvatarId(UsernamePassword(b"alice", password))
            if right:
                self.assertEqual(self.successResultOf(asked), b"alice")
            else:
                self.failureResultOf(asked, UnauthorizedLogin)
        self.assertTrue(checker.knows(b"alice"))
        self.assertFalse(checker.knows(b"eve"))

    def test_badLine(self):
        """
        Keys that are none are a bad line.
        """
        checker = self.checker(b"alice:{SCRAM-SHA-256}4096,x\nbob:{PLAIN}pencil\n")
        self.assertFalse(checker.knows(b"alice"))
        self.assertTrue(checker.knows(b"bob"))


class StandInTests(SynchronousTestCase):
    """
    Stand-ins.
    """

    def test_salts(self):
        """
        A salt has the octets that are asked for, of which none tells of the name.
        """
        made = StandIns(b"key")
        for octets in (0, 12, 16, 32, 33, 100):
            self.assertEqual(len(made.salt(b"eve", octets)), octets)
        self.assertNotEqual(made.salt(b"eve"), StandIns(b"other").salt(b"eve"))
        salt = made.salt(b"eve", 96)
        self.assertNotIn(salt[:32], salt[32:])

    def test_choices(self):
        """
        Names are spread over what there is to choose from.
        """
        made = StandIns(b"key")
        chosen = {made.choose(b"%d" % number, 3) for number in range(50)}
        self.assertEqual(chosen, {0, 1, 2})
