"""
Those who wait for the same time by the same clock, woken by one timer for all.

A timer each would cost a session half a kibioctet, and takes longer to set and to set
back than what it is for.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any


class Waiting:
    """
    Those who wait, in the order in which they began to.
    """

    def __init__(self, timers: "Timers", clock: Any, period: Any) -> None:
        self._timers = timers
        self._clock = clock
        #: Seconds that each waits.
        self.period = period
        #: When, by who: an OrderedDict would cost each 0.1 KiB more.
        self._due: dict[Any, float] = {}
        self._call: Any = None
        self._waking = False

    def add(self, who: Any) -> None:
        """
        Let somebody wait, from now on.
        """
        # All wait for the same time, so who comes last is last.
        self._due.pop(who, None)
        self._due[who] = self._clock.seconds() + self.period
        if self._call is None and not self._waking:
            self._call = self._clock.callLater(self.period, self._wake)

    def remove(self, who: Any) -> None:
        """
        Let somebody wait no more; who does not wait anyway is let pass.
        """
        self._due.pop(who, None)
        if not self._due:
            self._rest()

    def _wake(self) -> None:
        self._call, self._waking = None, True
        now = self._clock.seconds()
        try:
            for who in self._whoseTurnItIs(now):
                # Another's turn may have been the end of it.
                if self._due.pop(who, None) is not None:
                    self._timers.wake(who)
        finally:
            self._waking = False
            if self._due:
                left = next(iter(self._due.values())) - now
                pause = max(left, self._timers.pause)
                self._call = self._clock.callLater(pause, self._wake)
            else:
                self._rest()

    def _whoseTurnItIs(self, now: float) -> list[Any]:
        turn = []
        for who, due in islice(self._due.items(), self._timers.atATime):
            if due > now:
                break
            turn.append(who)
        return turn

    def _rest(self) -> None:
        if not self._waking:
            self._timers.forget(self._clock, self.period)
            if self._call is not None:
                self._call.cancel()
                self._call = None


class Timers:
    """
    Timers for one purpose, by clock and time; there are none while nobody waits.
    """

    def __init__(
        self, wake: Callable[[Any], object], atATime: int, pause: float = 0.0
    ) -> None:
        """
        Args:
            wake: is called with each whose time has come; it waits no more then.
            atATime: how many are woken before all else has its turn.
            pause: seconds at least until the next are woken.
        """
        self.wake = wake
        self.atATime = atATime
        self.pause = pause
        self._of: dict[tuple[Any, Any], Waiting] = {}

    def of(self, clock: Any, period: Any) -> Waiting:
        """
        Give those who wait for so many seconds by a clock.
        """
        key = clock, period
        waiting = self._of.get(key)
        if waiting is None:
            waiting = self._of[key] = Waiting(self, clock, period)
        return waiting

    def forget(self, clock: Any, period: Any) -> None:
        """
        Forget those of whom nobody is left.
        """
        self._of.pop((clock, period), None)

    def waitsAnybody(self, clock: Any) -> bool:
        """
        Tell whether anybody waits by a clock.
        """
        return any(key[0] is clock for key in self._of)
