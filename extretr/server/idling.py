"""
How a session notices that its peer is silent for too long.

It is what `twisted.protocols.policies.TimeoutMixin` does, and by the same methods; but
sessions have no timer each, as long as nobody gives them a ``callLater`` of their own.
"""

from typing import Any

from twisted.mail import pop3

from extretr.waiting import Timers, Waiting

#: Sessions that are ended at a time, and seconds until the next: others shall not wait
#: for thousands of them.
AT_A_TIME = 50
PAUSE = 0.001


class IdlingMixin:
    """
    The time-out of a session.
    """

    #: Autologout, in seconds without a command or progress (RFC 1939, section 3).
    timeOut: Any = 600

    #: IReactorTime; the global reactor where it is None.
    clock: Any = None

    #: Those with whom the session waits.
    _waits: Waiting | None = None

    def _clockOf(self) -> Any:
        if self.clock is not None:
            return self.clock
        from twisted.internet import reactor

        return reactor

    def setTimeout(self, period: Any) -> Any:
        """
        Set the seconds of silence after which the session ends; None for any.
        """
        before, waited = self.timeOut, self._waits
        if waited is None and not self._sharesTimer():
            if period is not None and before is not None and period < before:
                # A call that is made earlier is looked for among all of the reactor's.
                super().setTimeout(None)  # type: ignore[misc]
            super().setTimeout(period)  # type: ignore[misc]
            return before
        self.timeOut = period
        waits = None if period is None else _timers.of(self._clockOf(), period)
        self._waits = waits
        if waited is not None and waited is not waits:
            waited.remove(self)
        if waits is not None:
            waits.add(self)
        return before

    def resetTimeout(self) -> None:
        """
        Begin to count the seconds of silence anew, if they are counted.
        """
        waits = self._waits
        if waits is None:
            super().resetTimeout()  # type: ignore[misc]
        elif self.timeOut == waits.period:
            waits.add(self)
        elif self.timeOut is not None:
            # A subclass has set it by itself.
            self.setTimeout(self.timeOut)

    def _timedOut(self) -> None:
        self._waits = None
        self.timeoutConnection()  # type: ignore[attr-defined]

    def _sharesTimer(self) -> bool:
        # Who gives a session its own, as tests do, expects to see all of its timers.
        call_later = self.callLater  # type: ignore[attr-defined]
        return getattr(call_later, "__func__", None) is pop3.POP3.callLater


_timers = Timers(IdlingMixin._timedOut, AT_A_TIME, PAUSE)
