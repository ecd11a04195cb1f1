"""
Turns of Twisted's epoll reactor for a process that serves sessions, and nothing else.

Twisted calls each socket that is ready in a log context of its own, which takes as long
as three of the system calls of a message of 4 KiB.  `twisted.logger`, by which all here
is logged, does not look at it.

A client on the same core, or a proxy, often runs as soon as it is sent something, and
has asked for the next message before the server is back from sending this one.  To read
on from such a one at once spares a turn.  So does to close a session's connection as
soon as what it was read for is done.
"""

import select
from time import monotonic
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from extretr.server.output import Output, handling

_log = Logger()

#: That there is something to read, and nothing else: EPOLLIN, on Linux.
_READABLE = getattr(select, "EPOLLIN", 1)

#: What a turn is made of; none of it is public.
_NAMES = (
    "_disconnectSelectable",
    "_doReadOrWrite",
    "_poller",
    "_reads",
    "_selectables",
    "_writes",
)

_DONE = Failure(ConnectionDone())

#: Seconds of a turn in which peers may be read on from: many that are quick keep the
#: others no longer than one of them.
AGAIN_FOR = 0.001

#: Turns at most in which a peer that had said no more is not read on from.
PATIENCE = 32


class Turns:
    """
    The turns of an epoll reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self._poll = reactor._poller.poll
        self._selectables = reactor._selectables
        self._reads = reactor._reads
        self._writes = reactor._writes
        self._act = reactor._doReadOrWrite
        self._disconnect = reactor._disconnectSelectable

    def turn(self, timeout: float | None) -> None:
        """
        Wait for sockets to be ready, and call each that is.
        """
        selectables = self._selectables
        ready = self._poll(-1 if timeout is None else timeout, len(selectables))
        until = monotonic() + AGAIN_FOR
        for descriptor, event in ready:
            selectable = selectables.get(descriptor)
            if selectable is None:
                # What came before it has closed it.
                continue
            try:
                if event == _READABLE:
                    self._read(selectable, descriptor, until)
                else:
                    self._act(selectable, descriptor, event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                _log.failure("what a socket was ready for could not be done")

    def _read(self, selectable: Any, descriptor: int, until: float) -> None:
        """
        Read from a socket, and do what was put off until that is done.
        """
        handling.transport = selectable
        try:
            self._readOnce(selectable)
            if not handling.ends:
                self._readOn(selectable, descriptor, until)
        finally:
            ends, stays = handling.ends, handling.stays
            handling.transport = handling.stays = None
            handling.ends = False
        if ends and selectable.connected:
            self._end(selectable, descriptor)
        if stays is not None and selectable.connected:
            stays()

    def _readOnce(self, selectable: Any) -> None:
        """
        Read, as the reactor does where nothing else is the matter with a socket.
        """
        try:
            why = selectable.doRead()
        except BaseException as error:
            _log.failure("what a socket has read could not be taken")
            why = error
        if why:
            self._disconnect(selectable, why, True)

    def _end(self, transport: Any, descriptor: int) -> None:
        """
        Close a connection on which all is sent.
        """
        if descriptor in self._reads and descriptor not in self._writes:
            transport.connectionLost(_DONE)
        else:
            # It was written to afterwards, or is being closed in another way.
            transport.disconnecting = False
            transport.loseConnection()

    def _readOn(self, selectable: Any, descriptor: int, until: float) -> None:
        """
        Read on from a session's peer while it has more to say, until that time.
        """
        output = getattr(getattr(selectable, "protocol", None), "transport", None)
        if type(output) is not Output:
            return
        if output.patience:
            output.patience -= 1
            return
        more = False
        # Whoever is closed, or shall not be read from for now, is not among them.
        while (
            monotonic() < until
            and descriptor in self._reads
            and self._selectables.get(descriptor) is selectable
            and not handling.ends
        ):
            heard = output.heard
            self._readOnce(selectable)
            if output.heard == heard:
                # One that is elsewhere costs a failed read in so many turns only.
                output.misses = 0 if more else min(output.misses + 1, PATIENCE)
                output.patience = output.misses
                return
            more = True


def lean(reactor: Any) -> bool:
    """
    Let *reactor* take these turns.

    Any reactor but Twisted's own for epoll stays as it is.

    Returns:
        Whether it does.
    """
    kind = type(reactor)
    if (kind.__module__, kind.__name__) != (
        "twisted.internet.epollreactor",
        "EPollReactor",
    ) or not all(hasattr(reactor, name) for name in _NAMES):
        return False
    reactor.doPoll = reactor.doIteration = Turns(reactor).turn
    return True
