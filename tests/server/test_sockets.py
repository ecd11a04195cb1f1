"""
`extretr.server.sockets`: ports opened by one process, accepted from by others.
"""

import errno
import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.sockets import REST, AcceptingReactor, OpeningReactor


class Port:
    reading = True

    def stopReading(self):
        self.reading = False


class OpeningTests(SynchronousTestCase):
    """
    The process that opens.
    """

    def test_ports(self):
        """
        Ports of every kind are opened in their order, and taken no connection from.
        """
        asked = []

        class Reactor:
            def __getattr__(self, name):
                def listen(*arguments, **keywords):
                    asked.append((name, arguments, keywords))
                    return Port()

                return listen

        opening = OpeningReactor(Reactor())
        opening.listenTCP(110, None, interface="::1")
        opening.listenSSL(995, None, "a context", 50, "")
        opening.listenUNIX("/socket", None, mode=0o600)
        opening.adoptStreamPort(3, socket.AF_INET, None)
        opening.callLater(1, None)
        self.assertEqual(
            asked,
            [
                ("listenTCP", (110, None), {"interface": "::1"}),
                ("listenTCP", (995, None, 50, ""), {}),
                ("listenUNIX", ("/socket", None), {"mode": 0o600}),
                ("adoptStreamPort", (3, socket.AF_INET, None), {}),
                ("callLater", (1, None), {}),
            ],
        )
        self.assertEqual([port.reading for port in opening.ports], [False] * 4)


class Listening:
    """
    A socket that accepts what it is told to.
    """

    family = socket.AF_INET6

    def __init__(self, *comes):
        self.comes = list(comes)
        self.open = True

    def setblocking(self, flag):
        self.blocking = flag

    def fileno(self):
        return 7 if self.open else -1

    def close(self):
        self.open = False

    def getsockname(self):
        return ("2001:db8::1", 110, 0, 0)

    def accept(self):
        comes = self.comes.pop(0)
        if isinstance(comes, Exception):
            raise comes
        return comes, ("2001:db8::7", 5, 0, 0)


class Connection:
    family = socket.AF_INET6
    open = True

    def fileno(self):
        return 9

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open = False


class AcceptingTests(SynchronousTestCase):
    """
    A process that accepts.
    """

    def setUp(self):
        self.adopted = []
        self.reactor = MemoryReactorClock()
        self.reactor.adoptStreamConnection = lambda *told: self.adopted.append(told)
        self.factory = Factory()

    def accept(self, *comes):
        self.listening = Listening(*comes)
        return AcceptingReactor(self.reactor, [self.listening]).listenTCP(
            110, self.factory, 50, interface=""
        )

    def test_accepts(self):
        """
        A connection is taken, and its first descriptor closed.
        """
        connection = Connection()
        port = self.accept(connection, connection)
        verifyObject(IListeningPort, port)
        self.assertIn(port, self.reactor.getReaders())
        port.doRead()
        self.assertEqual(self.adopted, [(9, socket.AF_INET6, self.factory)])
        self.assertFalse(connection.open)
        host = port.getHost()
        self.assertEqual((host.host, host.port), ("2001:db8::1", 110))

    def test_several(self):
        """
        Where more than one waits, more are taken in the next turn, up to a few.
        """
        port = self.accept(*[Connection() for _ in range(16)], BlockingIOError())
        taken = []
        for _ in range(6):
            port.doRead()
            taken.append(len(self.adopted))
        self.assertEqual(taken, [1, 3, 6, 10, 14, 16])
        self.listening.comes = [Connection() for _ in range(9)]
        for _ in range(2):
            port.doRead()
            taken.append(len(self.adopted))
        self.assertEqual(taken[-2:], [18, 21])

    def listen(self):
        """
        Give a real socket that listens, and one that has connected to it.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        client = socket.create_connection(listening.getsockname())
        self.addCleanup(client.close)
        return listening, client

    def test_IPv4(self):
        """
        A connection of IPv4 is served, and knows who is who, as by Twisted's own port.
        """
        listening, client = self.listen()
        self.factory.protocol = Protocol
        made = []
        self.patch(Protocol, "connectionMade", lambda protocol: made.append(protocol))
        port = AcceptingReactor(self.reactor, [listening]).listenTCP(0, self.factory)
        port.doRead()
        transport = made[0].transport
        self.assertEqual(
            (transport.getPeer().host, transport.getPeer().port), client.getsockname()
        )
        self.assertEqual(transport.getHost().port, listening.getsockname()[1])
        self.assertIn("Protocol", repr(transport))
        self.assertIn(transport, self.reactor.getReaders())
        client.sendall(b"hello")
        received = []
        made[0].dataReceived = received.append
        transport.doRead()
        self.assertEqual(received, [b"hello"])
        transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(client.recv(1), b"")

    def test_unwanted(self):
        """
        One that the factory has no protocol for is closed.
        """
        listening, client = self.listen()
        self.factory.buildProtocol = lambda address: None
        AcceptingReactor(self.reactor, [listening]).listenTCP(0, self.factory).doRead()
        self.assertEqual(client.recv(1), b"")

    def test_others(self):
        """
        One that another process has taken, or that is gone already, is nothing.
        """

        def gone(*_):
            raise OSError(errno.ENOTCONN, "not connected")

        self.reactor.adoptStreamConnection = gone
        connection = Connection()
        port = self.accept(BlockingIOError(), ConnectionAbortedError(), connection)
        for _ in range(3):
            port.doRead()
        self.assertFalse(connection.open)
        self.assertIn(port, self.reactor.getReaders())

    def test_broken(self):
        """
        A session that cannot begin is an error of its own, in the log; others come.
        """

        def broken(*_):
            raise OSError(errno.EOPNOTSUPP, "not supported")

        self.reactor.adoptStreamConnection = broken
        connection = Connection()
        port = self.accept(connection)
        with capturedLogs() as events:
            port.doRead()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(events[0]["log_format"], "a connection cannot be served")
        self.assertFalse(connection.open)
        self.assertIn(port, self.reactor.getReaders())

    def test_noDescriptors(self):
        """
        Where there are no descriptors left it rests, and says so, and goes on.
        """
        port = self.accept(OSError(errno.EMFILE, "Too many open files"), Connection())
        with capturedLogs() as events:
            port.doRead()
        self.assertEqual(events[0]["why"], "Too many open files")
        self.assertNotIn(port, self.reactor.getReaders())
        self.reactor.advance(REST)
        self.assertIn(port, self.reactor.getReaders())

    def test_stops(self):
        """
        It stops accepting, also while it rests; twice is no error.
        """
        port = self.accept(OSError(errno.EMFILE, "Too many open files"))
        with capturedLogs():
            port.doRead()
        for _ in range(2):
            self.successResultOf(port.stopListening())
        self.assertFalse(self.listening.open)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_kinds(self):
        """
        Whatever an endpoint listens by gets the next socket, with TLS where it asks.
        """
        sockets = [Listening() for _ in range(4)]
        tls = CertificateOptions()
        accepting = AcceptingReactor(self.reactor, sockets)
        ports = [
            accepting.listenTCP(110, self.factory),
            accepting.listenSSL(995, self.factory, contextFactory=tls),
            accepting.listenUNIX("/socket", self.factory, mode=0o666),
            self.successResultOf(accepting.listen(self.factory)),
        ]
        self.assertEqual([port._socket for port in ports], sockets)
        kinds = [isinstance(port._factory, TLSMemoryBIOFactory) for port in ports]
        self.assertEqual(kinds, [False, True, False, False])
        self.assertEqual(accepting.seconds(), self.reactor.seconds())
