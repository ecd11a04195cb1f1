"""
The transport of a session, with a cork in it.

Small replies written one by one run into Nagle's algorithm against delayed
acknowledgement (44 ms a message), and each costs a turn of the reactor.  So what
is written while the cork is in leaves as one, and what is written while nothing
else waits goes to the socket at once.

It stands between protocol and transport, where every write must pass, also those
of a subclass that knows nothing of it: the order of octets never changes.
"""

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IProducer
from zope.interface import providedBy

from extretr.errors import MessageChanged

#: Octets that may gather behind the cork before they are sent all the same.
CORK_LIMIT = 64 * 1024

#: None on systems that do not have it.
_sendfile = getattr(os, "sendfile", None)

#: That more follows at once, for which the kernel may wait; on Linux.
_MORE = getattr(socket, "MSG_MORE", 0)


class Handling:
    """
    What the reactor is at, where its turns tell it (see `extretr.server.lean`).
    """

    __slots__ = ("ends", "stays", "transport")

    def __init__(self) -> None:
        #: The transport whose socket is being read from, None for any other work.
        self.transport: Any = None
        #: Whether it is closed as soon as that is done.
        self.ends = False
        #: What is called then, unless it is closed by then.
        self.stays: Callable[[], object] | None = None


#: There is one reactor in a process.
handling = Handling()


class Output:
    """
    A transport that gathers writes while corked and passes all else on.
    """

    # There are thousands of them.
    __slots__ = (
        "_held",
        "_held_octets",
        "_plain",
        "heard",
        "misses",
        "original",
        "patience",
        "waiting",
        "written",
    )

    def __init__(self, transport: Any, prepared: bool = False) -> None:
        """
        Args:
            transport: what is written to.
            prepared: whether its socket sends at once what it is given, as it is.
        """
        self.original = transport
        #: Octets written in all.
        self.written = 0
        #: Octets handed to the transport that may still wait in its buffer.
        self.waiting = 0
        #: Is another each time that the peer was heard.
        self.heard = False
        #: How often it had said no more when it was read on from, and how often not to
        #: do that any more (see `extretr.server.lean`).
        self.misses = self.patience = 0
        #: What was gathered; None while there is no cork in.
        self._held: list[bytes] | None = None
        self._held_octets = 0
        self._plain = _writes_plainly(transport)
        if not prepared and hasattr(transport, "setTcpNoDelay"):
            try:
                transport.setTcpNoDelay(True)
            except OSError:
                # A UNIX socket: only later releases of Twisted let that pass.
                pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    @property
    def __providedBy__(self) -> Any:
        return providedBy(self.original)

    @property
    def isHandled(self) -> bool:
        """
        Whether all this is done since the peer has sent something, or has hung up.
        """
        return handling.transport is self.original

    @property
    def disconnecting(self) -> bool:
        """
        Whether the transport closes, as soon as all is written.
        """
        return bool(getattr(self.original, "disconnecting", False))

    # Writing

    def write(self, data: bytes) -> None:
        """
        Write *data* in its turn.
        """
        self.written += len(data)
        held = self._held
        if held is None:
            self._send(data)
            return
        held.append(data)
        self._held_octets += len(data)
        if self._held_octets >= CORK_LIMIT:
            self.flush()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Write all of *data* in its turn.
        """
        self.write(b"".join(data))

    def writeAtOnce(self, data: bytes) -> bool:
        """
        Write *data*; tell whether all of it is in the kernel's hands already.
        """
        self.flush()
        self.written += len(data)
        return self._send(data)

    def writeLater(self, data: bytes) -> None:
        """
        Write *data* by way of the transport's buffer: it asks for more afterwards.
        """
        self.flush()
        self.written += len(data)
        self.waiting += len(data)
        self.original.write(data)

    def sendFile(self, descriptor: int, place: int, count: int) -> int | None:
        """
        Have the kernel send octets of a file, with no copy of them made here.

        The transport asks its producer for more once its socket is writable again.

        Returns:
            How many went, which may be none; None where they must be written.

        Raises:
            MessageChanged: where the file ends before *place*.
            OSError: where the kernel cannot do it.
        """
        self.flush()
        if _sendfile is None or not _sends_at_once(self.original):
            return None
        # Nothing waits, so that all the transport will do is to ask.  It comes first:
        # where it fails nothing must have gone.
        self.original.startWriting()
        try:
            sent: int = _sendfile(self.original.fileno(), descriptor, place, count)
        except BlockingIOError:
            sent = 0
        else:
            if not sent:
                raise MessageChanged
        self.written += sent
        return sent

    def cork(self) -> None:
        """
        Gather what is written from now on.
        """
        if self._held is None:
            self._held = []

    def uncork(self) -> None:
        """
        Let out what was gathered.
        """
        self._letOut(None)

    def flush(self, flags: int = 0) -> None:
        """
        Let out what was gathered so far; the cork stays as it is.
        """
        if self._held:
            self._letOut([], flags)

    def _letOut(self, then: list[bytes] | None, flags: int = 0) -> None:
        held, self._held, self._held_octets = self._held, then, 0
        if held:
            self._send(held[0] if len(held) == 1 else b"".join(held), flags)

    def isClogged(self) -> bool:
        """
        Tell whether so much waits that more should be written only when it is gone.
        """
        return self.waiting >= CORK_LIMIT and not _sends_at_once(self.original)

    def drained(self, _: object = None) -> None:
        """
        Take note that nothing waits any more.
        """
        self.waiting = 0

    def _send(self, data: bytes, flags: int = 0) -> bool:
        if _sends_at_once(self.original):
            self.waiting = 0
            if not data:
                return True
            if self._plain:
                try:
                    # What the transport does itself, less four calls.
                    sent = self.original.socket.send(data, flags)
                except OSError:
                    # Either the socket is full, or the connection is lost.
                    sent = 0
            else:
                sent = self.original.writeSomeData(data)
            # An exception means that the connection is lost: the transport finds
            # out by itself, and tells it in its own time.
            if isinstance(sent, int) and sent > 0:
                if sent == len(data):
                    return True
                data = data[sent:]
        self.waiting += len(data)
        self.original.write(data)
        return False

    # What must not overtake, or be overtaken by, what was gathered

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Register a producer behind what was written before.
        """
        self.flush()
        self.original.registerProducer(producer, streaming)

    def loseConnection(self, *arguments: Any) -> None:
        """
        Close the connection behind what was written before.

        Twisted's transports are asked by way of the reactor whether they can be written
        to before they close, in another turn.
        """
        transport = self.original
        if (
            self.isHandled
            and self._plain
            and transport.producer is None
            and _sends_at_once(transport)
        ):
            # What is sent last leaves with the end of the connection behind it.
            self.flush(_MORE)
            if _sends_at_once(transport):
                transport.disconnecting = handling.ends = True
                return
        self.flush()
        transport.loseConnection(*arguments)

    def startTLS(self, *arguments: Any) -> Any:
        """
        Begin TLS behind what was written before.
        """
        self.flush()
        return self.original.startTLS(*arguments)


def _writes_plainly(transport: Any) -> bool:
    """
    Tell whether a transport writes as Twisted's for TCP does.
    """
    write = getattr(transport, "writeSomeData", None)
    return getattr(write, "__func__", None) is tcp.Connection.writeSomeData


def _sends_at_once(transport: Any) -> bool:
    """
    Tell whether nothing waits in *transport* and its socket takes plain octets.

    Whether a plain TCP transport has anything waiting is not public; where the
    names are not there, the transport's own write does it all.
    """
    return (
        isinstance(transport, tcp.Connection)
        and not transport.TLS
        and bool(transport.connected)
        and not transport.disconnecting
        and not transport.dataBuffer
        and getattr(transport, "_tempDataLen", None) == 0
    )
