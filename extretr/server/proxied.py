"""
Connections by way of a proxy that tells, in a header, whose they are.

Twisted's own wrapper has the session begin before the header is read: it would greet,
log and limit the proxy.  Here the session begins when the header is there.
"""

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import directlyProvides, providedBy

from extretr.server.peers import host_of
from extretr.server.proxy_header import BadHeaderError, Header, parse_header

#: Seconds that the header may take: it is the first that a proxy sends.
HEADER_TIME_OUT = 10.0


class ProxiedProtocol(ProtocolWrapper):
    """
    Waits for the header, then is the transport of a session, with the client's address.
    """

    _log = Logger()

    transport: Any
    #: The session, once there is one.
    wrappedProtocol: Any

    def __init__(self, factory: Any, address: Any, session: Any = None) -> None:
        super().__init__(factory, session)
        self._address = address
        self._buffer = b""
        self._header: Header | None = None
        self._due: Any = None

    def makeConnection(self, transport: Any) -> None:
        """
        Take the proxy's connection, and wait.
        """
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._due = self.factory.clock.callLater(
            HEADER_TIME_OUT, self._refuse, "no header came"
        )

    def dataReceived(self, data: bytes) -> None:
        """
        Take octets: those of the header first, then those of the client.
        """
        if self._header is not None:
            if self.wrappedProtocol is not None:
                self.wrappedProtocol.dataReceived(data)
            return
        if self._due is None:
            return
        self._buffer += data
        try:
            header = parse_header(self._buffer)
        except BadHeaderError:
            self._refuse("no header of the PROXY protocol")
            return
        if header is not None:
            self._begin(header)

    def _begin(self, header: Header) -> None:
        self._stopWaiting()
        self._header = header
        rest, self._buffer = self._buffer[header.length :], b""
        wrapped = self.factory.wrappedFactory.buildProtocol(
            header.source or self._address
        )
        if wrapped is None:
            self.transport.loseConnection()
            return
        self.wrappedProtocol = wrapped
        wrapped.makeConnection(self)
        if rest and self.wrappedProtocol is not None:
            wrapped.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self._stopWaiting()
        self._buffer = b""
        self._log.warn(
            "connection of the proxy {peer} refused: {why}",
            peer=host_of(self.transport),
            why=why,
        )
        self.transport.abortConnection()

    def _stopWaiting(self) -> None:
        due, self._due = self._due, None
        if due is not None and due.active():
            due.cancel()

    def connectionLost(self, reason: Any = None) -> None:
        """
        Let go; a session that has begun ends.
        """
        self._stopWaiting()
        self.factory.unregisterProtocol(self)
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        if wrapped is not None:
            wrapped.connectionLost(reason)

    def getPeer(self) -> Any:
        """
        Give the client's address, or the proxy's where it speaks for itself.
        """
        if self._header is not None and self._header.source is not None:
            return self._header.source
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """
        Give what the client connected to, or what the proxy did.
        """
        if self._header is not None and self._header.destination is not None:
            return self._header.destination
        return self.transport.getHost()


class ProxiedFactory(WrappingFactory):
    """
    Makes sessions of another factory once the header of their connection is there.
    """

    noisy = False

    def __init__(self, clock: Any, factory: IProtocolFactory) -> None:
        """
        Args:
            clock: an IReactorTime.
            factory: makes the sessions.
        """
        super().__init__(factory)
        self.clock = clock

    def buildProtocol(self, addr: Any) -> ProxiedProtocol:
        """
        Make what waits for the header of a connection.
        """
        return ProxiedProtocol(self, addr)
