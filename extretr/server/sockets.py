"""
Ports that one process opens and others take connections from.

The parent opens each port as its endpoint would, and never accepts; the workers get
the sockets.  All of them wait on the same socket, so a connection that nobody has
accepted yet survives the death of any of them.  What opens and what accepts stands in
for the reactor, so that every endpoint that listens by it works in both.
"""

import errno
import socket
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Server
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

#: Seconds without accepting where the process has no descriptor left.
REST = 1.0

#: Connections that are accepted in a turn at most: others, that have less to do, get
#: theirs.
MOST = 4

_GONE = (errno.ENOTCONN, errno.ECONNRESET, errno.EINVAL)


class OpeningReactor:
    """
    A reactor whose ports are opened, but take no connections.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: The ports, in the order in which they were opened.
        self.ports: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, *arguments: Any, **keywords: Any) -> Any:
        """
        Open a TCP port.
        """
        return self._opened(self._reactor.listenTCP(*arguments, **keywords))

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> Any:
        """
        Open a TCP port: those who take its connections do TLS on them.
        """
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(self, *arguments: Any, **keywords: Any) -> Any:
        """
        Open a UNIX socket.
        """
        return self._opened(self._reactor.listenUNIX(*arguments, **keywords))

    def adoptStreamPort(self, *arguments: Any) -> Any:
        """
        Take a port that systemd has opened.
        """
        return self._opened(self._reactor.adoptStreamPort(*arguments))

    def _opened(self, port: Any) -> Any:
        port.stopReading()
        self.ports.append(port)
        return port


class AcceptingReactor:
    """
    A reactor whose ports are sockets that another process has opened.
    """

    def __init__(self, reactor: Any, sockets: list[socket.socket]) -> None:
        """
        Args:
            reactor: the real one.
            sockets: in the order in which they were opened.
        """
        self._reactor = reactor
        self._sockets = list(sockets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, port: Any, factory: IProtocolFactory, *rest: Any, **keywords: Any
    ) -> "Acceptor":
        """
        Accept from the next socket, whatever the port.
        """
        return Acceptor(self._reactor, self._sockets.pop(0), factory)

    listenUNIX = listenTCP

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        *rest: Any,
        **keywords: Any,
    ) -> "Acceptor":
        """
        Accept from the next socket, with TLS on what comes.
        """
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory))

    def listen(self, factory: IProtocolFactory) -> "Deferred[Acceptor]":
        """
        Accept from the next socket, as an endpoint does.
        """
        return succeed(self.listenTCP(None, factory))


@implementer(IListeningPort)
class Acceptor(FileDescriptor):
    """
    Accepts connections from a socket, few a turn so that other workers get theirs.
    """

    _log = Logger()

    #: What the base class knows as less.
    reactor: Any

    def __init__(
        self, reactor: Any, listening: socket.socket, factory: IProtocolFactory
    ) -> None:
        super().__init__(reactor)
        self._socket = listening
        self._isIPv4 = listening.family == socket.AF_INET
        self._factory = factory
        self._rest: Any = None
        #: How many may wait, by what was found the last time.
        self._most = 1
        listening.setblocking(False)
        factory.doStart()
        self.startReading()

    def fileno(self) -> int:
        """
        Give the descriptor that the reactor waits on.
        """
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """
        Give the name for log messages.
        """
        return type(self._factory).__name__

    def doRead(self) -> None:
        """
        Accept some connections, if no other process was quicker.
        """
        for taken in range(self._most):
            try:
                connection, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._most = max(taken, 1)
                return
            except OSError as error:
                self._log.error("no connection can be taken: {why}", why=error.strerror)
                self.stopReading()
                self._rest = self.reactor.callLater(REST, self._goOn)
                return
            try:
                self._serve(connection, peer)
            except Exception as error:
                # A peer that is gone already has no address any more.
                if getattr(error, "errno", None) not in _GONE:
                    self._log.failure("a connection cannot be served")
        self._most = min(self._most + 1, MOST)

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        if not self._isIPv4:
            with connection:
                self.reactor.adoptStreamConnection(
                    connection.fileno(), connection.family, self._factory
                )
            return
        # The same, without a second descriptor and without asking for the addresses.
        protocol = self._factory.buildProtocol(IPv4Address("TCP", *peer))
        if protocol is None:
            connection.close()
            return
        none: Any = None
        transport = Server(connection, protocol, peer, none, peer[1], self.reactor)
        transport.repstr = f"<{type(protocol).__name__} #{peer[1]}>"
        protocol.makeConnection(transport)

    def _goOn(self) -> None:
        self._rest = None
        self.startReading()

    def startListening(self) -> None:
        """
        Do nothing: it accepts from the beginning.
        """

    def stopListening(self) -> "Deferred[None]":
        """
        Accept no more; the socket of the others stays open.
        """
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._socket.fileno() >= 0:
            self.stopReading()
            self._socket.close()
            self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress:
        """
        Give the address that is listened on.
        """
        name = self._socket.getsockname()
        if self._socket.family == socket.AF_UNIX:
            return UNIXAddress(name)
        kind = IPv4Address if self._socket.family == socket.AF_INET else IPv6Address
        return kind("TCP", *name[:2])
