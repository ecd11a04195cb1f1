"""
`extretr.server.stls`: sessions that go over to TLS, and handshakes that end.
"""

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.mail import pop3
from twisted.protocols import tls as twisted_tls
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.braking import LEAVES_IN
from extretr.server.limits import Brakes, Limits
from extretr.server.protocol import ExtendedPOP3
from extretr.server.tls import ServerTLS
from tests.certificates import Authority, for_loopback
from tests.server.dialogue import ListMailbox
from tests.server.memory_tls import (
    MemoryConnection,
    TLSClient,
    client_context,
    records,
)


class Naive(ExtendedPOP3):
    """
    What a server does that thinks of nothing: its buffer outlives the handshake.
    """

    def _forgetClear(self):
        pass


class Full(ExtendedPOP3):
    """
    A session that finds no room.
    """

    brakes = Brakes(Limits(logins_per_address=1), lambda: 0.0)
    brakes.begin("192.0.2.7")


class TLSCase(SynchronousTestCase):
    """
    A session in clear, of a peer on another host, that can go over to TLS.
    """

    protocol = ExtendedPOP3
    authorities = None

    def setUp(self):
        self.clock = Clock()
        # What Twisted schedules in a TLS transport goes to our clock.
        self.patch(twisted_tls, "_get_default_clock", lambda: Turns())
        self.mailbox = ListMailbox([b"Subject: one\n\n.dot\n"])
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(for_loopback().certificate + for_loopback().key)
        self.tls = ServerTLS(self.clock, path, None, self.authorities)
        self.session, self.transport = self.connect()

    def make(self, protocol=None):
        session = (protocol or self.protocol)()
        session.clock = self.clock
        session.callLater = self.clock.callLater
        session.schedule = lambda steps: succeed(list(steps) and None)
        session.tls = self.tls
        session.requireTLS = True
        session.authenticateUserPASS = self.authenticate
        return session

    def authenticate(self, user, password):
        self.credentials = (user, password)
        return succeed((pop3.IMailbox, self.mailbox, lambda: None))

    def connect(self, protocol=None):
        session = self.make(protocol)
        transport = MemoryConnection(session)
        session.makeConnection(transport)
        self.assertEqual(transport.flush()[:3], b"+OK")
        return session, transport

    def send(self, octets):
        self.transport.receive(octets)
        return self.transport.flush()

    def start(self, octets=b"STLS\r\n", context=None):
        """
        Say STLS in clear, and do the handshake; give the client's side.
        """
        self.assertEqual(self.send(octets), b"+OK begin TLS now\r\n")
        client = TLSClient(self.transport, context)
        self.assertEqual(client.exchange(), b"")
        self.assertTrue(self.session._isHandshaken())
        return client


class Turns:
    """
    A reactor whose next turn is now.
    """

    def callLater(self, delay, function, *arguments):
        function(*arguments)


class STLSTests(TLSCase):
    """
    STLS, as RFC 2595 has it.
    """

    def capabilities(self, said):
        lines = said.split(b"\r\n")
        self.assertEqual((lines[0][:3], lines[-2:]), (b"+OK", [b".", b""]))
        return lines[1:-2]

    def test_capability(self):
        """
        STLS is announced in clear and before the login only, and where there is a
        certificate; USER where a password would be taken.
        """
        clear = self.capabilities(self.send(b"CAPA\r\n"))
        self.assertIn(b"STLS", clear)
        self.assertNotIn(b"USER", clear)
        client = self.start()
        secret = self.capabilities(client.say(b"CAPA\r\n"))
        self.assertNotIn(b"STLS", secret)
        self.assertIn(b"USER", secret)
        self.session, self.transport = self.connect()
        self.session.mbox = self.mailbox
        self.assertNotIn(b"STLS", self.capabilities(self.send(b"CAPA\r\n")))
        self.session, self.transport = self.connect()
        self.session.tls = None
        self.assertNotIn(b"STLS", self.capabilities(self.send(b"CAPA\r\n")))

    def test_login(self):
        """
        A password is refused in clear and taken after STLS; mail comes as ever.
        """
        refused = b"-ERR passwords are taken over TLS only\r\n"
        self.assertEqual(self.send(b"USER alice\r\n"), refused)
        client = self.start()
        self.assertEqual(client.say(b"USER alice\r\n")[:3], b"+OK")
        self.assertEqual(
            client.say(b"PASS secret\r\n"), b"+OK Authentication succeeded\r\n"
        )
        self.assertEqual(self.credentials, (b"alice", b"secret"))
        self.assertEqual(
            client.say(b"RETR 1 16\r\n"),
            b"+OK 22 octets (6 to come)\r\n..dot\r\n.\r\n",
        )

    def test_refused(self):
        """
        STLS is refused, in one line, inside TLS, after the login, with an argument,
        and where there is no certificate; the session goes on.
        """
        client = self.start()
        self.assertEqual(client.say(b"STLS\r\n"), b"-ERR TLS is on already\r\n")
        self.assertEqual(client.say(b"CAPA\r\n")[:3], b"+OK")
        self.session, self.transport = self.connect()
        wrong = b"-ERR bad protocol or server: POP3Error: "
        self.assertEqual(
            self.send(b"STLS now\r\n"), wrong + b"wrong number of arguments\r\n"
        )
        self.session.mbox = self.mailbox
        self.assertEqual(
            self.send(b"STLS\r\n"), b"-ERR STLS comes before the login\r\n"
        )
        self.assertEqual(self.send(b"STAT\r\n"), b"+OK 1 22\r\n")
        self.session, self.transport = self.connect()
        self.session.tls = None
        self.assertEqual(
            self.send(b"STLS\r\n"), wrong + b"Unknown protocol command: STLS\r\n"
        )
        self.assertFalse(self.session.isUnderTLS())

    def test_noTLSBelow(self):
        """
        A transport that cannot begin TLS is not said to.
        """
        session = self.make()
        session.makeConnection(StringTransport())
        self.assertNotIn(b"STLS", session.listCapabilities())

    def test_wireAfterSTLS(self):
        """
        After the reply to STLS there is nothing on the wire but TLS, whatever is
        written and however: replies, mail, what is written at once.
        """
        self.mailbox.messages[0] = b"H: x\n\n" + b"noise " * 10_000
        client = self.start()
        client.say(b"USER alice\r\nPASS secret\r\n")
        said = client.say(b"RETR 1\r\nNOOP\r\nSTAT\r\n")
        self.assertGreater(len(said), 60_000)
        self.assertGreater(sum(length for _, length in records(client.wire)), 60_000)
        self.transport.sent = b""
        self.session.transport.writeAtOnce(b"at once")
        self.session.transport.write(b"and later")
        self.assertEqual({kind for kind, _ in records(self.transport.flush())}, {23})

    def test_cannotBegin(self):
        """
        Where TLS cannot be begun after +OK, the connection is dropped without a word.
        """
        self.patch(self.tls, "serverConnectionForTLS", lambda protocol: 1 / 0)
        self.assertEqual(self.send(b"STLS\r\n"), b"+OK begin TLS now\r\n")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_wrapped(self):
        """
        Below a wrapper, which does not tell of TLS, a session knows that it is on.
        """
        self.session = self.make()
        wrapper = ProtocolWrapper(WrappingFactory(None), self.session)
        self.transport = MemoryConnection(wrapper)
        wrapper.makeConnection(self.transport)
        self.transport.flush()
        client = self.start()
        self.assertEqual(client.say(b"STLS\r\n"), b"-ERR TLS is on already\r\n")
        self.assertEqual(client.say(b"USER alice\r\n")[:3], b"+OK")


class EndTests(TLSCase):
    """
    The end of a session under TLS, which waits for the peer's own.
    """

    def quit(self):
        client = self.start()
        self.assertEqual(client.say(b"QUIT\r\n"), b"+OK \r\n")
        return client

    def test_both(self):
        """
        Where the peer closes its end too, the connection is closed in good order.
        """
        client = self.quit()
        client.tls.shutdown()
        client.exchange()
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.aborted)

    def test_never(self):
        """
        A peer that does not is cut off soon, and the session ended by QUIT.
        """
        self.quit()
        self.clock.advance(59)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.session.ending, "QUIT")

    def test_slow(self):
        """
        One that still acknowledges what was sent is not, until it does no more.
        """
        acknowledged = iter([1, 2, 3, 3])
        self.session._acknowledgedNow = lambda: next(acknowledged)
        self.quit()
        self.clock.pump([60, 60])
        self.assertFalse(self.transport.aborted)
        self.clock.advance(60)
        self.assertTrue(self.transport.aborted)


class InjectionTests(TLSCase):
    """
    What was sent in clear behind STLS is never run (the class of CVE-2011-0411).
    """

    #: What somebody on the client's way may add.
    injected = (
        b"CAPA\r\n",
        b"USER mallory\r\nPASS theirs\r\n",
        b"AUTH PLAIN AG1hbGxvcnkAdGhlaXJz\r\n",
        b"USER mallory\r\nPASS the",
        b"QUIT\r\n",
        b"STLS\r\n",
        b"x" * 300,
        b"CAPA\r\n" * 2000,
    )

    def assertForgotten(self, client):
        """
        Inside TLS each command has the one reply that it would have by itself.
        """
        self.assertEqual(client.say(b"NOSUCH\r\n").count(b"\r\n"), 1)
        self.assertEqual(
            client.say(b"PASS secret\r\n"), b"-ERR USER required before PASS\r\n"
        )
        self.assertEqual(client.say(b"USER alice\r\n").count(b"\r\n"), 1)
        self.assertEqual(
            client.say(b"PASS secret\r\n"), b"+OK Authentication succeeded\r\n"
        )
        self.assertEqual(self.credentials, (b"alice", b"secret"))

    def test_samePacket(self):
        """
        It is not, where it came in the same packet, whole or cut off mid-line.
        """
        for octets in self.injected:
            self.session, self.transport = self.connect()
            self.assertForgotten(self.start(b"STLS\r\n" + octets))

    def test_theTest(self):
        """
        The test sees it where a server's buffer outlives the handshake.
        """
        self.session, self.transport = self.connect(Naive)
        said = self.send(b"STLS\r\nCAPA\r\n")
        self.assertEqual(said[:19], b"+OK begin TLS now\r\n")
        self.assertIn(b"EXT-RETR", TLSClient(self.transport).exchange())

    def test_beforeTheHandshake(self):
        """
        It is not, where it comes after the reply and before the handshake: the
        handshake fails, and that ends the connection.
        """
        ran = []
        for octets in self.injected:
            self.session, self.transport = self.connect()
            self.session.do_STLS()
            self.session.processCommand = lambda *words: ran.append(words)
            self.transport.flush()
            self.transport.receive(octets)
            client = TLSClient(self.transport)
            try:
                self.assertEqual(client.exchange(), b"")
            except SSL.Error:
                pass
            self.assertEqual(ran, [])
            self.assertFalse(self.session._isHandshaken())
            self.clock.advance(30)
            self.assertTrue(self.transport.aborted or self.transport.disconnecting)

    def test_everySplit(self):
        """
        It is not, however the network splits it.
        """
        octets = b"STLS\r\nUSER mallory\r\n"
        for at in range(6, len(octets)):
            self.session, self.transport = self.connect()
            self.transport.receive(octets[:at])
            if at < len(b"STLS\r\n"):
                self.transport.receive(octets[at:])
            self.assertEqual(self.transport.flush(), b"+OK begin TLS now\r\n")
            client = TLSClient(self.transport)
            client.exchange()
            self.assertForgotten(client)

    def test_userBefore(self):
        """
        A name that was given in clear is forgotten.
        """
        self.session.requireTLS = False
        self.assertEqual(self.send(b"USER mallory\r\n")[:3], b"+OK")
        self.assertForgotten(self.start())

    def test_queued(self):
        """
        Nor is what stock code has queued behind a command that took time.
        """
        slow = Deferred()
        self.session._hold(slow)
        for words in (b"STLS",), (b"USER", b"mallory"), (b"CAPA",):
            self.session.processCommand(*words)
        slow.callback(None)
        self.assertEqual(self.transport.flush(), b"+OK begin TLS now\r\n")
        client = TLSClient(self.transport)
        self.assertEqual(client.exchange(), b"")
        self.assertForgotten(client)


class HandshakeTests(TLSCase):
    """
    Handshakes end, one way or the other.
    """

    def implicit(self):
        """
        Give a session that has TLS from the first octet on.
        """
        session = self.make()
        factory = TLSMemoryBIOFactory(self.tls, False, WrappingFactory(None))
        outer = factory.protocol(factory, session)
        transport = MemoryConnection(outer)
        outer.makeConnection(transport)
        return session, transport

    def test_never(self):
        """
        One that never ends is cut off when its time is over, not before.
        """
        self.session.do_STLS()
        begun = [(self.session, self.transport), self.implicit()]
        self.clock.advance(29)
        self.assertEqual([transport.aborted for _, transport in begun], [False] * 2)
        self.clock.advance(1)
        self.assertEqual([transport.aborted for _, transport in begun], [True] * 2)
        for session, _ in begun:
            self.assertEqual(session.ending, "the TLS handshake took too long")

    def test_turnedAway(self):
        """
        Who is turned away, and counted no more, is soon gone, handshake or none.
        """
        self.protocol = Full
        before = self.clock.getDelayedCalls()
        session, transport = self.implicit()
        self.assertEqual(session.ending, "turned away")
        self.clock.advance(LEAVES_IN)
        self.assertTrue(transport.aborted)
        session.connectionLost(None)
        self.assertEqual(self.clock.getDelayedCalls(), before)

    def test_done(self):
        """
        One that is done has no time-out any more, and the greeting comes inside it.
        """
        self.start()
        session, transport = self.implicit()
        self.assertIn(b"+OK POP3 server ready", TLSClient(transport).exchange())
        self.assertTrue(session.isUnderTLS())
        self.clock.advance(60)
        self.assertFalse(self.transport.aborted)
        self.assertFalse(transport.aborted)

    def test_failed(self):
        """
        One that fails ends the session, and the log tells why.
        """
        self.session.do_STLS()
        self.transport.flush()
        self.transport.receive(b"GET / HTTP/1.1\r\n\r\n")
        self.transport.protocol.connectionLost(None)
        self.assertEqual(self.session.ending, "the TLS handshake failed")
        self.assertEqual(
            [call for call in self.clock.getDelayedCalls() if call.active()], []
        )

    def test_failedButNotClosed(self):
        """
        One that has failed is cut off too where the peer does not take the alert.
        """
        self.session.do_STLS()
        self.transport.receive(b"GET / HTTP/1.1\r\n\r\n")
        self.clock.advance(30)
        self.assertTrue(self.transport.aborted)

    def test_oldVersions(self):
        """
        TLS 1.1 and older get no further than the handshake; 1.2 and 1.3 do.
        """
        for version, done in (
            (SSL.TLS1_1_VERSION, False),
            (SSL.TLS1_2_VERSION, True),
            (SSL.TLS1_3_VERSION, True),
        ):
            context = client_context()
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            self.session, self.transport = self.connect()
            self.session.do_STLS()
            self.transport.flush()
            client = TLSClient(self.transport, context)
            if done:
                self.assertEqual(client.exchange(), b"")
            else:
                self.assertRaises(SSL.Error, client.exchange)
            self.assertEqual(self.session._isHandshaken(), done)


class PeerCertificateTests(TLSCase):
    """
    The certificate that a client has shown.
    """

    def setUp(self):
        self.authority = Authority("clients")
        self.authorities = self.mktemp()
        with open(self.authorities, "wb") as file:
            file.write(self.authority.certificate)
        super().setUp()

    def test_verified(self):
        """
        One that an authority of ours has signed is given; before TLS there is none.
        """
        self.assertIsNone(self.session.peerCertificate())
        shown = self.authority.issue("alice", client=True)
        self.start(context=client_context(shown))
        found = self.session.peerCertificate()
        self.assertEqual(found.get_subject().CN, "alice")

    def test_none(self):
        """
        A client need not show one.
        """
        client = self.start()
        self.assertIsNone(self.session.peerCertificate())
        self.assertEqual(client.say(b"CAPA\r\n")[:3], b"+OK")

    def test_notVerified(self):
        """
        One that another authority has signed, has expired, or is a server's, ends the
        handshake.
        """
        for shown in (
            Authority("clients").issue("alice", client=True),
            self.authority.issue("alice", (-3, -1), client=True),
            self.authority.issue("alice"),
        ):
            self.session, self.transport = self.connect()
            self.session.do_STLS()
            self.transport.flush()
            client = TLSClient(self.transport, client_context(shown))
            try:
                client.exchange()
            except SSL.Error:
                pass
            self.assertFalse(self.session._isHandshaken())
            self.assertIsNone(self.session.peerCertificate())

    def test_otherTLS(self):
        """
        Nothing is taken as verified of a connection that was not ours to verify.
        """
        other = ServerTLS(self.clock, self.tls._certificate, None, self.authorities)
        shown = self.authority.issue("alice", client=True)
        self.session.tls = other
        self.start(context=client_context(shown))
        self.assertIsNotNone(self.session.peerCertificate())
        self.session.tls = self.tls
        self.assertIsNone(self.session.peerCertificate())
