"""
Long work in short steps, which stops when nobody waits for it any more.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure


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
