"""
SIGINT and SIGTERM where the reactor, which takes them otherwise, is of no use.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

#: The signals that stop a run.
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """
    A signal came while something was waited for.
    """


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Have a signal end what is done within, which keeps the reactor from running.

    Whoever takes signals otherwise gets it afterwards.

    Raises:
        Interrupted: where one came.
    """
    caught: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        caught.append(number)
        if len(caught) == 1:
            raise Interrupted

    try:
        with _handled(interrupt):
            yield
    finally:
        for number in caught[:1]:
            os.kill(os.getpid(), number)


def ignored() -> AbstractContextManager[None]:
    """
    Have signals change nothing; other than by SIG_IGN, programs that are run get them.
    """
    return _handled(lambda number, frame: None)


@contextmanager
def _handled(handler: Callable[[int, Any], object]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)
