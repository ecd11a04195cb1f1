"""
Long work in short steps, which stops when nobody waits for it any more.
"""

import time
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure

#: Seconds of a turn of the reactor that long work may have: Twisted's cooperator takes
#: 10 milliseconds, for which all other sessions wait each time.
SLICE = 0.003


class Slice:
    """
    Tells when the long work of one turn has had its time.
    """

    def __init__(self) -> None:
        self._end = time.perf_counter() + SLICE

    def __call__(self) -> bool:
        """
        Tell whether it is up.
        """
        return time.perf_counter() >= self._end


def cooperating(cooperator: Cooperator, steps: Iterator[None]) -> "Deferred[Any]":
    """
    Run *steps*, some a turn of the reactor; the Deferred fires at their end.

    To cancel it stops them, and closes what they have open: a client that has hung up
    must not keep the disk busy.
    """
    task = cooperator.cooperate(steps)

    def stop(_: "Deferred[Any]") -> None:
        task.stop()
        close = getattr(steps, "close", None)
        if close is not None:
            close()

    done: Deferred[Any] = Deferred(stop)

    def failed(reason: Failure) -> None:
        # That it was stopped is told by the cancellation itself.
        if not reason.check(TaskStopped):
            done.errback(reason)

    task.whenDone().addCallbacks(done.callback, failed)
    return done
