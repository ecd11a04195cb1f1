"""
The looks of a process at the records of all session locks that it holds.
"""

from typing import Any, Protocol

from extretr.waiting import Timers

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


def _look(who: Looking) -> None:
    who.look()


_timers = Timers(_look, AT_A_TIME, PAUSE)


def look_later(who: Looking, clock: Any) -> None:
    """
    Have somebody look when it is time, once.
    """
    _timers.of(clock, LOOK).add(who)


def look_no_more(who: Looking, clock: Any) -> None:
    """
    Have somebody look no more; who does not look anyway is let pass.
    """
    _timers.of(clock, LOOK).remove(who)
