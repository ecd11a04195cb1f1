"""
What takes long, run a step a turn.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

#: Runs an iterator to its end, a step a turn; the Deferred fires then.
Cooperate = Callable[[Iterator[None]], "Deferred[Any]"]

#: Steps that are run on the spot: most maildrops need no more.
ON_THE_SPOT = 4

T = TypeVar("T")


async def run(
    cooperate: Cooperate,
    steps: Generator[None, None, T],
    between: Callable[[], object] = lambda: None,
) -> T:
    """
    Run steps to their end and give their result.

    Args:
        cooperate: runs all but the first few of them, a step a turn.
        steps: a generator that returns the result.
        between: called after each step.
    """
    result: list[T] = []

    def running() -> Generator[None, None, None]:
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result.append(stop.value)
                return
            between()
            yield

    driven = running()
    try:
        for _ in range(ON_THE_SPOT):
            if next(driven, driven) is driven:
                return result[0]
        await cooperate(driven)
    finally:
        # Where the wait was cancelled not a step more must be taken.
        driven.close()
        steps.close()
    return result[0]
