"""
`extretr.server.authentication`: AUTH, and what is offered.
"""

import hmac
import json
import os
from base64 import b64decode, b64encode
from hashlib import md5

from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import CramMD5Credentials
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import StringTransport
from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import implementer

from extretr.client.protocol import ResumingPOP3Client
from extretr.errors import InUse, LoginUnavailable
from extretr.sasl import External, OAuthBearer, Plain, ScramSha256, XOAuth2
from extretr.server.accounts import PasswdFile
from extretr.server.certificate_users import CertificateUsers
from extretr.server.credentials import IBearerToken
from extretr.server.lines import AUTH_LINE_LIMIT
from extretr.server.tls import ServerTLS
from tests.certificates import for_loopback
from tests.secure import (
    Below12,
    client_options,
    over_tls,
    server_options,
    user_certificate,
)
from tests.server.dialogue import DialogueTestCase, ListMailbox

FAILED = b"-ERR [AUTH] Authentication failed\r\n"
IN = b"+OK Authentication succeeded\r\n"
PLAIN = b64encode(b"\0bob\0pass word")


@implementer(IRealm)
class Realm:
    """
    Gives everybody the same mailbox; what a test sets may come in its place.
    """

    result = None

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.names = []

    def requestAvatar(self, avatarId, mind, *interfaces):
        self.names.append(avatarId)
        if self.result is not None:
            raise self.result
        return IMailboxPOP3, self.mailbox, lambda: None


@implementer(ICredentialsChecker)
class Tokens:
    """
    Knows one token, and whose it is.
    """

    credentialInterfaces = (IBearerToken,)
    failure = None

    def requestAvatarId(self, credentials):
        self.asked = credentials
        if self.failure is not None:
            raise self.failure
        if credentials.token != b"good":
            raise UnauthorizedLogin
        credentials.identity = b"bob"
        return b"bob"


def at_once(function, address):
    """
    Run what takes long without a thread.
    """
    return maybeDeferred(function)


class AuthTestCase(DialogueTestCase):
    """
    A session before its login, at a portal with a users file.
    """

    lines = b"bob:{PLAIN}pass word\n"

    def makeMailbox(self):
        return None

    def makeSession(self):
        folder = self.mktemp()
        os.mkdir(folder)
        self.path = os.path.join(folder, "users")
        with open(self.path, "wb") as file:
            file.write(self.lines)
        self.users = PasswdFile(self.path, at_once, apop=True, key=b"key")
        self.realm = Realm(ListMailbox([b"one\n"]))
        return self.another(Portal(self.realm, [self.users]))

    def another(self, portal):
        session = super().makeSession()
        session.magic = None
        session.portal = portal
        session.authResponseCodes = True
        return session

    def connect(self, session, peer=("192.0.2.7", 1)):
        """
        Go on with another session.
        """
        self.session = session
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", *peer))
        session.makeConnection(self.transport)

    def offered(self):
        """
        Give the mechanisms that CAPA lists, None where it has no line for them.
        """
        lines = self.send(b"CAPA\r\n").splitlines()
        found = [line.split()[1:] for line in lines if line.startswith(b"SASL")]
        self.assertLessEqual(len(found), 1)
        self.assertIn(b"AUTH-RESP-CODE", lines)
        return found[0] if found else None

    def auth(self, mechanism, initial=True):
        """
        Log in by a client's side of a mechanism; give the last reply.
        """
        command = b"AUTH " + mechanism.name
        said = mechanism.initial()
        if initial:
            command += b" " + (b64encode(said) or b"=")
        answer = self.send(command + b"\r\n")
        if not initial:
            self.assertEqual(answer, b"+ \r\n")
            answer = self.send(b64encode(said) + b"\r\n")
        while answer.startswith(b"+ "):
            response = mechanism.respond(b64decode(answer[2:].rstrip(), validate=True))
            answer = self.send(b64encode(response) + b"\r\n")
        return answer


class OfferTests(AuthTestCase):
    """
    What is offered is what can be checked, here and now.
    """

    def test_usersFile(self):
        """
        Passwords in clear serve SCRAM too; without TLS nothing can be bound to.
        """
        names = [b"SCRAM-SHA-256", b"PLAIN"]
        self.assertEqual(self.offered(), names)
        self.assertEqual(
            self.send(b"AUTH\r\n"),
            b"+OK Supported authentication methods:\r\nSCRAM-SHA-256\r\nPLAIN\r\n.\r\n",
        )

    def test_hashes(self):
        """
        SCRAM is offered as long as every user can use it; those who can may, always.
        """
        hashed = b"eve:{SSHA}LhKrkM9Fy+zlstjdD7Kv2s6QvhBzYWx0\n"
        with open(self.path, "ab") as file:
            file.write(hashed)
        self.assertEqual(self.offered(), [b"PLAIN"])
        self.assertEqual(self.auth(ScramSha256(b"bob", b"pass word")), IN)

    def test_requireTLS(self):
        """
        Where passwords need TLS, mechanisms that show them are hidden and refused, but
        for peers on this host.
        """
        portal = self.session.portal
        portal.registerChecker(Tokens())
        for peer, names in [
            ("192.0.2.7", [b"SCRAM-SHA-256"]),
            ("127.0.0.1", [b"SCRAM-SHA-256", b"OAUTHBEARER", b"XOAUTH2", b"PLAIN"]),
        ]:
            session = self.another(portal)
            session.requireTLS = True
            self.connect(session, (peer, 1))
            self.assertEqual(self.offered(), names)
        session = self.another(portal)
        session.requireTLS = True
        self.connect(session)
        for mechanism in [
            Plain(b"bob", b"pass word"),
            OAuthBearer(b"bob", b"good"),
            XOAuth2(b"bob", b"good"),
        ]:
            self.assertIn(b"over TLS only", self.auth(mechanism))
            answer = self.send(b"AUTH %b\r\n" % mechanism.name)
            self.assertIn(b"over TLS only", answer)
        self.assertEqual(self.realm.names, [])
        self.assertEqual(self.auth(ScramSha256(b"bob", b"pass word")), IN)

    def test_otherPortals(self):
        """
        Without checkers, or without a portal, there is nothing to offer.
        """
        checker = InMemoryUsernamePasswordDatabaseDontUse(bob=b"x")
        for portal, names in [
            (None, None),
            (Portal(self.realm), None),
            (Portal(self.realm, [checker]), [b"PLAIN"]),
            (Portal(self.realm, [Tokens()]), [b"OAUTHBEARER", b"XOAUTH2"]),
            (Portal(self.realm, [CertificateUsers("cn")]), None),
        ]:
            self.connect(self.another(portal))
            self.assertEqual(self.offered(), names)
            if names is None:
                self.assertTrue(self.send(b"AUTH\r\n").startswith(b"-ERR "))
        self.assertIn(b"no such", self.auth(External()))

    def test_noCode(self):
        """
        As a class for existing stacks it says no response code, and announces none.
        """
        self.session.authResponseCodes = False
        self.assertNotIn(b"AUTH-RESP-CODE", self.send(b"CAPA\r\n"))
        answer = self.auth(Plain(b"bob", b"wrong"))
        self.assertEqual(answer, b"-ERR Authentication failed\r\n")


class ExchangeTests(AuthTestCase):
    """
    Challenges and responses.
    """

    def test_loggedIn(self):
        """
        With an initial response and without one, in any case.
        """
        for mechanism, initial in [
            (Plain, True),
            (Plain, False),
            (ScramSha256, True),
            (ScramSha256, False),
        ]:
            self.connect(self.another(self.session.portal))
            self.transport.clear()
            answer = self.auth(mechanism(b"bob", b"pass word"), initial)
            self.assertEqual(answer, IN)
            self.assertEqual(self.session.user, b"bob")
            self.assertEqual(self.send(b"STAT\r\n"), b"+OK 1 5\r\n")
        self.connect(self.another(self.session.portal))
        self.assertEqual(self.send(b"auth plain %b\r\n" % PLAIN)[-len(IN) :], IN)

    def test_wrong(self):
        """
        A wrong password and a wrong name get one and the same answer.
        """
        for mechanism in (Plain, ScramSha256):
            for user, password in [(b"bob", b"wrong"), (b"eve", b"pass word")]:
                self.assertEqual(self.auth(mechanism(user, password)), FAILED)
        self.assertEqual(self.realm.names, [])
        self.assertEqual(self.send(b"USER bob\r\nPASS x\r\n").splitlines()[1:], [
            FAILED.rstrip()
        ])  # fmt: skip

    def test_authorization(self):
        """
        Nobody may act for somebody else, whatever the password.
        """
        for identity, answer in [(b"root", FAILED), (b"bob", IN)]:
            said = b64encode(identity + b"\0bob\0pass word")
            self.assertEqual(self.send(b"AUTH PLAIN %b\r\n" % said), answer)

    def test_cancelled(self):
        """
        `*` calls it off at each step: one -ERR, and the session goes on.
        """
        self.assertEqual(self.send(b"AUTH PLAIN\r\n"), b"+ \r\n")
        self.assertEqual(self.send(b"*\r\n"), b"-ERR authentication cancelled\r\n")
        self.assertIn(b"not authenticated yet", self.send(b"*\r\n"))
        first = b64encode(ScramSha256(b"bob", b"x").initial())
        self.assertTrue(
            self.send(b"AUTH SCRAM-SHA-256 %b\r\n" % first).startswith(b"+ ")
        )
        self.assertEqual(self.send(b"*\r\n"), b"-ERR authentication cancelled\r\n")
        self.assertEqual(self.auth(Plain(b"bob", b"pass word")), IN)

    def test_cancelledAtTheEnd(self):
        """
        Who calls off after both proofs is not logged in.
        """
        client = ScramSha256(b"bob", b"pass word")
        said = b64encode(client.initial())
        answer = self.send(b"AUTH SCRAM-SHA-256 %b\r\n" % said)
        response = b64encode(client.respond(b64decode(answer[2:])))
        self.assertTrue(self.send(response + b"\r\n").startswith(b"+ dj"))
        self.assertEqual(self.send(b"*\r\n"), b"-ERR authentication cancelled\r\n")
        self.assertIn(b"not authenticated yet", self.send(b"STAT\r\n"))
        self.assertEqual(self.realm.names, [])

    def test_bad(self):
        """
        What is no base64, no message, or no mechanism: one -ERR each.
        """
        for line in [
            b"AUTH PLAIN !!!!", b"AUTH PLAIN AAA", b"AUTH PLAIN =A", b"AUTH PLAIN =",
            b"AUTH PLAIN AHRpbQ==", b"AUTH PLAIN a b", b"AUTH NONSENSE", b"AUTH ",
            b"AUTH SCRAM-SHA-256 AAAA", b"AUTH SCRAM-SHA-256-PLUS", b"AUTH CRAM-MD5",
            b"AUTH \xff\x00", b"AUTH EXTERNAL =", b"AUTH OAUTHBEARER",
        ]:  # fmt: skip
            self.assertRegex(self.send(line + b"\r\n"), rb"\A-ERR [^\r]+\r\n\Z", line)
        for line in (b"!", b"AAAA", b"", b"NOOP", b"\xff"):
            self.assertEqual(self.send(b"AUTH PLAIN\r\n"), b"+ \r\n")
            self.assertRegex(self.send(line + b"\r\n"), rb"\A-ERR [^\r]+\r\n\Z")
        self.assertEqual(self.auth(Plain(b"bob", b"pass word")), IN)

    def test_finalResponse(self):
        """
        What is said after the server's proof must be nothing.
        """
        client = ScramSha256(b"bob", b"pass word")
        said = b64encode(client.initial())
        answer = self.send(b"AUTH SCRAM-SHA-256 %b\r\n" % said)
        answer = self.send(b64encode(client.respond(b64decode(answer[2:]))) + b"\r\n")
        self.assertTrue(self.send(b"AAAA\r\n").startswith(b"-ERR "))
        self.assertEqual(self.realm.names, [])

    def test_afterLogin(self):
        """
        There is no AUTH after the login.
        """
        self.auth(Plain(b"bob", b"pass word"))
        for line in (b"AUTH", b"AUTH PLAIN " + PLAIN):
            self.assertIn(b"already authenticated", self.send(line + b"\r\n"))

    def test_between(self):
        """
        An AUTH between USER and PASS forgets the USER.
        """
        self.send(b"USER bob\r\nAUTH PLAIN\r\n*\r\n")
        answer = self.send(b"PASS pass word\r\n")
        self.assertEqual(answer, b"-ERR USER required before PASS\r\n")

    def test_states(self):
        """
        What the realm or a checker cannot do is told by its code.
        """
        self.realm.result = InUse()
        for mechanism in (Plain, ScramSha256):
            answer = self.auth(mechanism(b"bob", b"pass word"))
            self.assertTrue(answer.startswith(b"-ERR [IN-USE] "), answer)
        self.realm.result = OSError("/secret")
        answer = self.auth(ScramSha256(b"bob", b"pass word"))
        self.assertEqual(answer.split()[1], b"[SYS/TEMP]")
        self.assertNotIn(b"secret", answer)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class LineTests(AuthTestCase):
    """
    How long a line may be, and what is pipelined.
    """

    def test_limit(self):
        """
        A command and a response may have 12,288 octets with CRLF; ordinary ones 512.
        """
        password = b"x" * 9000
        said = b64encode(b"\0bob\0" + password)
        self.assertGreater(len(said), 12000)
        self.assertEqual(self.send(b"AUTH PLAIN %b\r\n" % said), FAILED)
        self.assertEqual(self.send(b"AUTH PLAIN\r\n%b\r\n" % said), b"+ \r\n" + FAILED)
        for begin in (b"AUTH PLAIN ", b"auth plain "):
            fits = begin + b"A" * (AUTH_LINE_LIMIT - 2 - len(begin))
            self.assertNotIn(b"too long", self.send(fits + b"\r\n"))
            long = b"-ERR command line too long\r\n+OK \r\n"
            for more in (1, 2, 5000, 50_000):
                line = fits + b"A" * more + b"\r\n"
                for size in (1000, 4096, len(line)):
                    self.session.mbox = self.realm.mailbox
                    self.transport.clear()
                    for start in range(0, len(line), size):
                        self.session.dataReceived(line[start : start + size])
                    self.assertEqual(
                        self.transport.value() + self.send(b"NOOP\r\n"), long
                    )
                    self.session.mbox = None
        self.assertIn(b"too long", self.send(b"AUTHX" + b"x" * 600 + b"\r\n"))

    def test_longResponse(self):
        """
        A response that is too long ends the exchange with one -ERR, and is forgotten.
        """
        for octets in (12287, 12300, 60_000):
            line = b"A" * octets + b"\r\n"
            for size in (500, 4096, len(line)):
                self.assertEqual(self.send(b"AUTH PLAIN\r\n"), b"+ \r\n")
                self.transport.clear()
                for start in range(0, len(line), size):
                    self.session.dataReceived(line[start : start + size])
                self.assertEqual(
                    self.transport.value(), b"-ERR the response is too long\r\n"
                )
                answer = self.send(b"USER bob\r\n")
                self.assertEqual(answer, b"+OK USER accepted, send PASS\r\n")

    def test_pipelined(self):
        """
        A response may come before it is asked for; commands behind it wait for it.
        """
        answer = self.send(b"AUTH PLAIN\r\n%b\r\nSTAT\r\nNOOP\r\n" % PLAIN)
        self.assertEqual(answer, b"+ \r\n" + IN + b"+OK 1 5\r\n+OK \r\n")

    def test_behindAnInitialResponse(self):
        """
        Commands behind an AUTH that needs no response are none, however long it takes.
        """
        waiting = Deferred()
        self.session.authenticateUserPASS = lambda user, password: waiting
        answer = self.send(b"AUTH PLAIN %b\r\nSTAT\r\n*\r\n" % PLAIN)
        self.assertEqual(answer, b"")
        self.assertEqual(self.send(b"NOOP\r\n"), b"")
        waiting.callback((IMailboxPOP3, self.realm.mailbox, lambda: None))
        answer = self.transport.value().splitlines()
        self.assertEqual(answer[:2], [IN.rstrip(), b"+OK 1 5"])
        self.assertIn(b"-ERR", answer[2])
        self.assertEqual(answer[3], b"+OK ")

    def test_slowKeys(self):
        """
        A response that comes while its challenge is being made is taken as that.
        """
        waiting = Deferred()
        self.users._proofs._run = lambda function, address: waiting.addCallback(
            lambda _: function()
        )
        first = b64encode(ScramSha256(b"bob", b"x").initial())
        self.assertEqual(
            self.send(b"AUTH SCRAM-SHA-256 %b\r\n*\r\nUSER bob\r\n" % first), b""
        )
        waiting.callback(None)
        challenge, *rest = self.transport.value().splitlines()
        self.assertTrue(challenge.startswith(b"+ "))
        self.assertEqual(
            rest,
            [b"-ERR authentication cancelled", b"+OK USER accepted, send PASS"],
        )

    def test_queuedByStock(self):
        """
        AUTH that stock code has queued behind a command of its own works as well.
        """
        waiting = Deferred()
        self.session.do_QUIT = lambda: self.session._longOperation(waiting)
        self.send(b"QUIT\r\n")
        self.session.processCommand(b"AUTH", b"PLAIN")
        waiting.callback(None)
        self.assertEqual(self.transport.value(), b"+ \r\n")
        self.assertEqual(self.send(PLAIN + b"\r\n"), IN)

    def test_hungUp(self):
        """
        A peer that hangs up, or falls silent, in an exchange leaves nothing behind.
        """
        self.lose()
        first = b64encode(ScramSha256(b"bob", b"x").initial())
        for line in (b"AUTH PLAIN", b"AUTH SCRAM-SHA-256 " + first):
            self.connect(self.another(self.session.portal))
            self.transport.clear()
            self.assertTrue(self.send(line + b"\r\n").startswith(b"+ "))
            pending = self.session._pending
            self.lose()
            self.assertTrue(pending.called)
            self.assertIsNone(self.session._response)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.session.dataReceived(b"AAAA\r\n")
        self.connect(self.another(self.session.portal))
        self.send(b"AUTH PLAIN\r\n")
        self.clock.advance(601)
        self.assertTrue(self.transport.disconnected or self.transport.aborting)


class TokenTests(AuthTestCase):
    """
    OAUTHBEARER and XOAUTH2.
    """

    def makeSession(self):
        super().makeSession()
        self.tokens = Tokens()
        return self.another(Portal(self.realm, [self.tokens]))

    def test_good(self):
        """
        A good token lets in whom the checker names.
        """
        for mechanism in (
            OAuthBearer(b"bob@x", b"good", "h", 1),
            XOAuth2(b"bob@x", b"good"),
        ):
            for initial in (True, False):
                self.connect(self.another(self.session.portal))
                self.transport.clear()
                self.assertEqual(self.auth(mechanism, initial), IN)
                self.assertEqual(self.session.user, b"bob")
                self.assertEqual(self.tokens.asked.username, b"bob@x")
                self.assertEqual(self.tokens.asked.mechanism, mechanism.name)

    def test_refused(self):
        """
        A refusal gives its reasons first, waits for any answer, and is [AUTH].
        """
        for name, mechanism in [
            (b"OAUTHBEARER", OAuthBearer(b"bob", b"bad")),
            (b"XOAUTH2", XOAuth2(b"bob", b"bad")),
        ]:
            self.assertEqual(self.auth(mechanism), FAILED)
            self.assertIsNotNone(mechanism.status)
            said = b64encode(mechanism.initial())
            challenge = self.send(b"AUTH %b %b\r\n" % (name, said))
            self.assertIsInstance(json.loads(b64decode(challenge[2:])), dict)
            self.assertEqual(self.send(b"AQ==\r\n"), FAILED)

    def test_unavailable(self):
        """
        Where nobody can tell at present, there is no challenge.
        """
        self.tokens.failure = LoginUnavailable()
        answer = self.auth(OAuthBearer(b"bob", b"good"))
        self.assertTrue(answer.startswith(b"-ERR [SYS/TEMP] "), answer)


class ApopTests(AuthTestCase):
    """
    APOP.
    """

    lines = b"bob:{PLAIN}tanstaaf\neve:{SSHA}LhKrkM9Fy+zlstjdD7Kv2s6QvhBzYWx0\n"

    def apop(self, user, password):
        challenge = self.session.magic
        digest = md5(challenge + password).hexdigest().encode()
        return self.send(b"APOP %b %b\r\n" % (user, digest))

    def test_off(self):
        """
        Unless it is asked for there is no challenge, and nobody gets in.
        """
        self.connect(self.another(self.session.portal))
        self.assertEqual(self.transport.value(), b"+OK POP3 server ready\r\n")
        self.assertEqual(self.apop(b"bob", b"tanstaaf"), FAILED)

    def test_on(self):
        """
        Asked for, it lets in those whose password is known, and no others.
        """
        session = self.another(self.session.portal)
        session.apop = True
        self.connect(session)
        self.assertRegex(self.transport.value(), rb"\A\+OK <[^<> ]+@[^<> ]+>\r\n\Z")
        for user, password in [
            (b"bob", b"wrong"),
            (b"eve", b"LhKrkM9Fy+zlstjdD7Kv2s6QvhBzYWx0"),
            (b"nobody", b"tanstaaf"),
        ]:
            self.assertEqual(self.apop(user, password), FAILED)
        self.assertEqual(self.send(b"APOP bob \xff\r\n"), FAILED)
        self.assertEqual(self.apop(b"bob", b"tanstaaf"), IN)

    def test_vector(self):
        """
        The example of RFC 1939, section 7.
        """
        session = self.another(self.session.portal)
        session.apop, session.magic = True, b"<1896.697170952@dbc.mtview.ca.us>"
        self.connect(session)
        answer = self.send(b"APOP bob c4c9334bac560ecc979e58001b3e22fb\r\n")
        self.assertTrue(answer.endswith(IN))


class ChallengerTests(AuthTestCase):
    """
    Mechanisms of stock's factories.
    """

    def makeSession(self):
        session = super().makeSession()
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser(b"bob", b"pass word")
        session.portal.registerChecker(checker)
        session.factory = type("Factory", (), {})()
        session.factory.challengers = {b"Cram-MD5": CramMD5Credentials, b"X": None}
        return session

    def test_cramMD5(self):
        """
        They are offered and work, with one challenge and no initial response.
        """
        self.assertIn(b"CRAM-MD5", self.offered())
        answer = self.send(b"AUTH CRAM-MD5\r\n")
        credentials = CramMD5Credentials()
        credentials.challenge = b64decode(answer[2:])
        digest = hmac.new(b"pass word", credentials.challenge, md5).hexdigest()
        said = b64encode(b"bob " + digest.encode())
        self.assertEqual(self.send(said + b"\r\n"), IN)

    def test_bad(self):
        """
        One -ERR for each that is not right.
        """
        self.assertRegex(self.send(b"AUTH CRAM-MD5 AAAA\r\n"), rb"\A-ERR.*\r\n\Z")
        self.assertRegex(self.send(b"AUTH X\r\n"), rb"\A-ERR.*\r\n\Z")
        for said in (b"bob", b"bob 0"):
            self.send(b"AUTH CRAM-MD5\r\n")
            answer = self.send(b64encode(said) + b"\r\n")
            self.assertRegex(answer, rb"\A-ERR.*\r\n\Z")


class SecureTests(AuthTestCase):
    """
    Over real TLS, with our own client.
    """

    def secure(self, *, checkers=(), secured=None, securing=None, proxy=False):
        """
        Connect a client over TLS; give it, and the pump.
        """
        portal = Portal(self.realm, [self.users, *checkers])
        self.session = self.another(portal)
        self.session.requireTLS = True
        self.session.tls = secured if isinstance(secured, ServerTLS) else None
        if proxy:
            self.session._bindings = dict
        client = ResumingPOP3Client()
        client.callLater = self.clock.callLater
        client.hostname = "localhost"
        pump = over_tls(self.session, client, secured, securing)
        return client, pump

    def login(self, client, pump, authentication="auto", secret=b"pass word"):
        sent = []
        receive = self.session.lineReceived

        def noted(line):
            sent.append(line)
            return receive(line)

        self.session.lineReceived = noted
        client.authentication = authentication
        logging_in = client.login(b"bob", secret)
        pump.flush()
        self.commands = [line for line in sent if line.startswith(b"AUTH")]
        return logging_in

    def test_plus(self):
        """
        Client and server bind to their channel, in TLS 1.3 and before.
        """
        for secured, flag in [
            (None, b"p=tls-exporter,,"),
            (Below12(server_options()), b"p=tls-server-end-point,,"),
        ]:
            client, pump = self.secure(secured=secured)
            self.successResultOf(self.login(client, pump))
            name, said = self.commands[0].split()[1:]
            self.assertEqual(name, b"SCRAM-SHA-256-PLUS")
            self.assertTrue(b64decode(said).startswith(flag + b"n=bob,"))
            self.assertEqual(self.session.user, b"bob")

    def test_offerTakenOut(self):
        """
        Where somebody takes -PLUS out of the offer, the server gets to know.
        """
        client, pump = self.secure()
        offer = self.session.saslMechanisms
        lie = [name for name in offer() if not name.endswith(b"-PLUS")]
        capabilities = self.session.listCapabilities
        self.session.listCapabilities = lambda: [
            b"SASL " + b" ".join(lie) if tag.startswith(b"SASL") else tag
            for tag in capabilities()
        ]
        failure = self.failureResultOf(self.login(client, pump))
        self.assertIn("not what the mechanism demands", str(failure.value))
        self.assertTrue(b64decode(self.commands[0].split()[2]).startswith(b"y,,"))

    def test_behindAProxy(self):
        """
        A server that knows nothing of the TLS in front of it takes the same client.
        """
        client, pump = self.secure(proxy=True)
        self.successResultOf(self.login(client, pump))
        self.assertTrue(b64decode(self.commands[0].split()[2]).startswith(b"y,,"))

    def test_each(self):
        """
        The client gets in by each mechanism.
        """
        for authentication, secret in [
            ("auto", b"pass word"),
            ("scram-sha-256", b"pass word"),
            ("plain", b"pass word"),
            ("user", b"pass word"),
            ("oauthbearer", b"good"),
            ("xoauth2", b"good"),
        ]:
            client, pump = self.secure(checkers=[Tokens()])
            self.successResultOf(self.login(client, pump, authentication, secret))
            self.assertEqual(self.session.user, b"bob")

    def test_external(self):
        """
        A certificate that TLS has verified lets in whom it names, without a password.
        """
        bob = user_certificate("bob")
        for own, user, answer in [
            (bob, b"", b"Authentication succeeded"),
            (bob, b"bob", b"Authentication succeeded"),
            (bob, b"eve", None),
            (None, b"", None),
        ]:
            client, pump = self.secure(
                checkers=[CertificateUsers("cn")],
                secured=self.asking_for(own),
                securing=client_options(own),
            )
            self.assertEqual(
                b"EXTERNAL" in self.session.saslMechanisms(), own is not None
            )
            asked = client.authenticate(External(user))
            pump.flush()
            if answer is None:
                self.failureResultOf(asked)
                self.assertIsNone(self.session.mbox)
            else:
                self.assertEqual(self.successResultOf(asked), answer)
                self.assertEqual(self.session.user, b"bob")
                self.assertEqual(self.realm.names[-1], b"bob")

    def asking_for(self, own):
        """
        Give TLS that asks for this certificate of the client, or for none.
        """
        made, authorities = for_loopback(), None
        if own is not None:
            authorities = self.file(own)
        return ServerTLS(
            self.clock, self.file(made.certificate + made.key), None, authorities
        )

    def file(self, octets):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(octets)
        return path
