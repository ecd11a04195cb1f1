"""
The looks of a process at the records of all session locks that it holds.

A timer a lock costs a session half a kibioctet, and takes longer than the look.
"""

from itertools import islice
from typing import Any, Protocol

#: Seconds between two looks at one record.
LOOK = 1.0

#: Looks at a time, and seconds at least until the next: a look takes some microseconds,
#: and sessions shall not wait for thousands of them.
AT_A_TIME = 200
PAUSE = 1 / 64


class Looking(Protocol):
    """
    Who looks.
    """

    def look(self) -> None:
        """
        Look once; to look again is to say `look_later` again.
        """


class _Looks:
    """
    Those who look by one clock, in their order.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        #: When, by who: an OrderedDict would cost each 0.1 KiB more.
        self._due: dict[Looking, float] = {}
        self._call: Any = None
        self._looking = False

    def add(self, who: Looking) -> None:
        # All wait for the same time, so who comes last is last.
        self._due[who] = self._clock.seconds() + LOOK
        if self._call is None and not self._looking:
            self._call = self._clock.callLater(LOOK, self._look)

    def remove(self, who: Looking) -> None:
        self._due.pop(who, None)
        self._rest()

    def _look(self) -> None:
        self._call, self._looking = None, True
        now = self._clock.seconds()
        try:
            for who in self._whoseTurnItIs(now):
                # Another's look may have been the end of it.
                if self._due.pop(who, None) is not None:
                    who.look()
        finally:
            self._looking = False
            if self._due:
                pause = max(next(iter(self._due.values())) - now, PAUSE)
                self._call = self._clock.callLater(pause, self._look)
            self._rest()

    def _whoseTurnItIs(self, now: float) -> list[Looking]:
        turn = []
        for who, due in islice(self._due.items(), AT_A_TIME):
            if due > now:
                break
            turn.append(who)
        return turn

    def _rest(self) -> None:
        if not self._due and not self._looking:
            _of.pop(self._clock, None)
            if self._call is not None:
                self._call.cancel()
                self._call = None


#: By their clocks, while there are any.
_of: dict[Any, _Looks] = {}


def look_later(who: Looking, clock: Any) -> None:
    """
    Have somebody look when it is time, once.
    """
    looks = _of.get(clock)
    if looks is None:
        looks = _of[clock] = _Looks(clock)
    looks.add(who)


def look_no_more(who: Looking, clock: Any) -> None:
    """
    Have somebody look no more; who does not look anyway is let pass.
    """
    looks = _of.get(clock)
    if looks is not None:
        looks.remove(who)
