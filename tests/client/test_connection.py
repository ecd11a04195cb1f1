"""
From an account to a client that is logged in, and what goes wrong on the way.
"""

from pathlib import Path

from OpenSSL.SSL import Error as TLSFailure
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.config import ConfigError
from extretr.client.connection import Connector, trust_root_of
from extretr.client.refusals import (
    InUse,
    LoginDelay,
    NotAuthenticated,
    NotTrusted,
    ServerRefusal,
)
from tests.certificates import for_loopback
from tests.client.hostile import PlainServer, PlainSession
from tests.client.network import Network


class ConnectCase(SynchronousTestCase):
    """
    A connector to a plain server.
    """

    session = PlainSession

    def connect(self, session=PlainSession, **more):
        self.server = PlainServer({}, session)
        self.network = Network(self.server)
        self.clients = []
        connector = Connector(
            self.network.clock,
            "mail.example",
            110,
            b"user",
            lambda: b"secret",
            plaintext=True,
            endpoint=self.network,
            **more,
        )
        connecting = Deferred.fromCoroutine(connector.connect(self.clients.append))
        return self.network.run(connecting)

    def lost(self, error):
        """
        Connect to a server where the handshake ends so.
        """

        class Failing(PlainSession):
            def connectionMade(self):
                pass

        self.server = PlainServer({}, Failing)
        self.network = Network(self.server)
        connector = Connector(
            self.network.clock, "mail.example", 995, b"u", bytes, endpoint=self.network
        )
        connecting = Deferred.fromCoroutine(connector.connect(lambda client: None))
        connection = self.network.connections[0]
        connection.broken = connection.client.disconnected = True
        connection.client.protocol.connectionLost(Failure(error))
        return self.failureResultOf(connecting)


class LoginTests(ConnectCase):
    """
    The login.
    """

    def test_loggedIn(self):
        """
        The client is given as soon as it is there, and then with what is offered now.
        """
        client, offered = self.connect(timeout=7, rate_limit=100_000)
        self.assertEqual(self.clients, [client])
        self.assertIn(b"EXT-RETR", offered)
        self.assertEqual((client.timeout, client.rateLimit), (7, 100_000))
        self.assertEqual(client.hostname, "mail.example")
        self.assertEqual(
            self.server.commands, [b"CAPA", b"USER user", b"PASS secret", b"CAPA"]
        )

    def refusing(self, answer):
        class Refusing(PlainSession):
            def do_PASS(self, password):
                return b"-ERR " + answer + b"\r\n"

        return Refusing

    def test_withoutCode(self):
        """
        Without a response code the text tells a lock from a wrong password.
        """
        for text, kind in [
            (b"maildrop already locked", InUse),
            (b"Mailbox is busy", InUse),
            (b"unable to lock it", InUse),
            (b"in use by another session", InUse),
            (b"Authentication failed.", NotAuthenticated),
            (b"blocked", NotAuthenticated),
            (b"", NotAuthenticated),
        ]:
            self.assertRaises(kind, self.connect, self.refusing(text))

    def test_refusedTLS(self):
        """
        To refuse STLS is not to refuse the user, and no password goes out.
        """

        class Refusing(PlainSession):
            def do_STLS(self):
                return b"-ERR not now\r\n"

        self.patch(PlainServer, "offered", [b"STLS"])
        error = self.assertRaises(ServerRefusal, self.connect, Refusing)
        self.assertIs(type(error), ServerRefusal)
        self.assertEqual(self.server.commands, [b"CAPA", b"STLS"])

    def test_delay(self):
        """
        A login delay has the seconds that the server announces.
        """
        refusing = self.refusing(b"[LOGIN-DELAY] x")
        for offered, seconds in [(b"LOGIN-DELAY 90", 90), (b"LOGIN-DELAY x", 0)]:
            self.patch(PlainServer, "offered", [offered])
            error = self.assertRaises(LoginDelay, self.connect, refusing)
            self.assertEqual(error.seconds, seconds)


class TrustTests(ConnectCase):
    """
    Who is trusted.
    """

    def test_handshake(self):
        """
        A certificate that is not as it must be is told from a handshake that fails.
        """
        for error in (VerificationError(errors=[]), CertificateError("no names")):
            other = self.lost(error)
            other.trap(NotTrusted)
            self.assertIn("not for mail.example", str(other.value))
        unknown = self.lost(TLSFailure([("SSL", "", "certificate verify failed")]))
        unknown.trap(NotTrusted)
        self.lost(TLSFailure([("SSL", "", "wrong version number")])).trap(TLSFailure)

    def test_files(self):
        """
        A file may hold one certificate or more, among other text, but not none.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "ca.pem"
        made = for_loopback()
        one, two = made.authority, made.certificate
        for text in (one, b"text\n" + one + b"more text\n" + two):
            path.write_bytes(text)
            self.assertIsNotNone(trust_root_of(path))
        damaged = one.replace(b"M", b"!", 5)
        for text in (b"", b"text\n", one[:-20], damaged):
            path.write_bytes(text)
            self.assertRaises(ConfigError, trust_root_of, path)
        path.unlink()
        self.assertRaises(ConfigError, trust_root_of, path)
        self.assertIsNotNone(trust_root_of(None))
