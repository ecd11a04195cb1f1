"""
`extretr.server.proxied` and `extretr.server.proxy_header`: clients behind a proxy.
"""

import socket
import struct

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from extretr.server.proxied import HEADER_TIME_OUT, ProxiedFactory
from extretr.server.proxy_header import (
    SIGNATURE,
    BadHeaderError,
    Header,
    parse_header,
)

CLIENT = IPv4Address("TCP", "192.0.2.7", 50000)
SERVER = IPv4Address("TCP", "198.51.100.1", 110)
CLIENT6 = IPv6Address("TCP", "2001:db8::7", 50000)
SERVER6 = IPv6Address("TCP", "2001:db8::1", 110)

LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 110\r\n"
LINE6 = b"PROXY TCP6 2001:DB8::7 2001:db8:0::1 50000 110\r\n"


def binary(command, family, rest):
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def addresses(family, source, destination):
    return (
        socket.inet_pton(family, source)
        + socket.inet_pton(family, destination)
        + struct.pack("!HH", 50000, 110)
    )


FOUR = addresses(socket.AF_INET, "192.0.2.7", "198.51.100.1")
SIX = addresses(socket.AF_INET6, "2001:db8::7", "2001:db8::1")
BINARY = binary(0x21, 0x11, FOUR)


class HeaderTests(SynchronousTestCase):
    """
    The header by itself.
    """

    def test_good(self):
        """
        Each form gives the addresses, or none where the proxy has none to tell.
        """
        for octets, source, destination in [
            (LINE, CLIENT, SERVER),
            (LINE6, CLIENT6, SERVER6),
            (b"PROXY UNKNOWN\r\n", None, None),
            (b"PROXY UNKNOWN ffff::1 what ever 1 2\r\n", None, None),
            (BINARY, CLIENT, SERVER),
            (binary(0x21, 0x21, SIX), CLIENT6, SERVER6),
            # With more behind the addresses (TLVs).
            (binary(0x21, 0x11, FOUR + b"\x03\0\4abcd"), CLIENT, SERVER),
            # LOCAL: a health check; whatever it says is to be ignored.
            (binary(0x20, 0, b""), None, None),
            (binary(0x20, 0x11, FOUR), None, None),
            # Unspecified, UDP, local sockets.
            (binary(0x21, 0, b""), None, None),
            (binary(0x21, 0x12, FOUR), None, None),
            (binary(0x21, 0x31, b"x" * 216), None, None),
        ]:
            header = Header(len(octets), source, destination)
            self.assertEqual(parse_header(octets + b"CAPA\r\n"), header, octets)
            for end in range(len(octets)):
                self.assertIsNone(parse_header(octets[:end]), octets[:end])

    def test_bad(self):
        """
        Whatever else comes is refused.
        """
        for octets in [
            b"CAPA\r\n",
            b"proxy TCP4 192.0.2.7 198.51.100.1 50000 110\r\n",
            b"PROXY\r\n",
            b"PROXY \r\n",
            b"PROXY  UNKNOWN\r\n",
            b"PROXY TCP5 192.0.2.7 198.51.100.1 50000 110\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 110 1\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.1 50000 110\r\n",
            b"PROXY TCP4 ::1 ::1 50000 110\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 50000 110\r\n",
            b"PROXY TCP6 ::1%\x1b[31m ::1 50000 110\r\n",
            b"PROXY TCP4 evil.example 198.51.100.1 50000 110\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 +5 110\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 110\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 110\r\n",
            b"PROXY UNKNOWN " + b"x" * 107,
            binary(0x11, 0x11, FOUR),
            binary(0x22, 0x11, FOUR),
            binary(0x21, 0x11, FOUR[:-1]),
            binary(0x21, 0x21, FOUR),
            SIGNATURE[:-1] + b"\r" + BINARY[12:],
        ]:
            self.assertRaises(BadHeaderError, parse_header, octets)


class Session(Protocol):
    """
    A session that greets, and notes what it gets.
    """

    ended = False
    data = b""

    def connectionMade(self):
        self.transport.write(b"+OK\r\n")
        self.peer = self.transport.getPeer()
        self.host = self.transport.getHost()

    def dataReceived(self, data):
        self.data += data

    def connectionLost(self, reason=None):
        self.ended = True


class Transport(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True

    def setTcpNoDelay(self, on):
        self.no_delay = on


class ProxiedTests(SynchronousTestCase):
    """
    A connection of a proxy.
    """

    def setUp(self):
        self.clock = Clock()
        self.built = []
        self.sessions = []
        self.factory = ProxiedFactory(self.clock, Factory())
        self.factory.wrappedFactory.buildProtocol = self.build
        self.connection = self.factory.buildProtocol(self.proxy)
        self.transport = Transport(SERVER, self.proxy)
        alsoProvides(self.transport, ITLSTransport)
        self.connection.makeConnection(self.transport)

    proxy = IPv4Address("TCP", "10.0.0.1", 1)

    def build(self, address):
        self.built.append(address)
        self.sessions.append(Session())
        return self.sessions[-1]

    def test_waits(self):
        """
        No session begins, nor is greeted, before the header is there; then it has the
        client's address, and what comes behind the header.
        """
        for octet in range(len(LINE)):
            self.assertEqual((self.built, self.transport.value()), ([], b""))
            self.connection.dataReceived(LINE[octet : octet + 1])
        (session,) = self.sessions
        self.assertEqual(self.built, [CLIENT])
        self.assertEqual((session.peer, session.host), (CLIENT, SERVER))
        self.assertEqual(self.transport.value(), b"+OK\r\n")
        self.connection.dataReceived(b"CAPA\r\n")
        self.assertEqual(session.data, b"CAPA\r\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_atOnce(self):
        """
        What comes in one piece with the header is the client's.
        """
        self.connection.dataReceived(BINARY + b"CAPA\r\n")
        (session,) = self.sessions
        self.assertEqual((session.peer, session.data), (CLIENT, b"CAPA\r\n"))

    def test_healthCheck(self):
        """
        A proxy that speaks for itself gets a session under its own address.
        """
        for header in (binary(0x20, 0, b""), b"PROXY UNKNOWN\r\n"):
            self.setUp()
            self.connection.dataReceived(header)
            self.assertEqual(self.built, [self.proxy])
            self.assertEqual(self.sessions[0].peer, self.proxy)

    def refused(self):
        self.assertTrue(self.transport.aborted)
        self.assertEqual((self.built, self.transport.value()), ([], b""))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.connection.dataReceived(LINE)
        self.assertEqual(self.built, [])
        self.connection.connectionLost(None)
        self.assertEqual(self.factory.protocols, {})

    def test_garbage(self):
        """
        Who sends no header is cut without a word.
        """
        with capturedLogs() as events:
            self.connection.dataReceived(b"CAPA\r\n")
        self.assertEqual(len(events), 1)
        self.refused()

    def test_late(self):
        """
        One that does not come in time is no header.
        """
        self.connection.dataReceived(LINE[:-1])
        with capturedLogs() as events:
            self.clock.advance(HEADER_TIME_OUT)
        self.assertEqual(len(events), 1)
        self.refused()

    def test_lost(self):
        """
        Who hangs up is forgotten, with a session or before.
        """
        self.connection.connectionLost(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.setUp()
        self.connection.dataReceived(LINE)
        self.connection.connectionLost(None)
        self.assertTrue(self.sessions[0].ended)
        self.assertEqual(self.factory.protocols, {})

    def test_noSession(self):
        """
        Where no session is made the connection is closed.
        """
        self.factory.wrappedFactory.buildProtocol = lambda address: None
        self.connection.dataReceived(LINE)
        self.assertTrue(self.transport.disconnecting)
        self.connection.connectionLost(None)

    def test_transport(self):
        """
        The session has all that the transport can do: TLS, no delay, abort.
        """
        self.connection.dataReceived(LINE)
        transport = self.sessions[0].transport
        self.assertTrue(ITLSTransport.providedBy(transport))
        transport.setTcpNoDelay(True)
        transport.abortConnection()
        self.assertTrue(self.transport.no_delay and self.transport.aborted)
