"""
A turn of Twisted's epoll reactor without what sessions have no use for.

Twisted calls each socket that is ready in a log context of its own, which takes as long
as three of the system calls of a message of 4 KiB.  `twisted.logger`, by which all here
is logged, does not look at it.
"""

from typing import Any

from twisted.logger import Logger

_log = Logger()

#: What a turn is made of; none of it is public.
_NAMES = ("_poller", "_selectables", "_doReadOrWrite")


def lean(reactor: Any) -> bool:
    """
    Let *reactor*, of a process that does nothing but serve, take leaner turns.

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
    poll, selectables = reactor._poller.poll, reactor._selectables
    act = reactor._doReadOrWrite

    def turn(timeout: float | None) -> None:
        ready = poll(-1 if timeout is None else timeout, len(selectables))
        for descriptor, event in ready:
            selectable = selectables.get(descriptor)
            if selectable is None:
                # What came before it has closed it.
                continue
            try:
                act(selectable, descriptor, event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                _log.failure("what a socket was ready for could not be done")

    reactor.doPoll = reactor.doIteration = turn
    return True
