"""
The end of a server: transfers that run may end first, within a time.
"""

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Seconds between two looks at the sessions that are left.
LOOK = 0.25


class GracefulStop(Service):
    """
    Stops once all sessions have ended, and ends those that take too long.

    It must begin to stop before what sessions need in order to end.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        sessions: "set[Any]",
        seconds: float,
    ) -> None:
        """
        Args:
            clock: an IReactorTime.
            sessions: those that live, as a `MaildropFactory` has them.
            seconds: how long transfers may go on.
        """
        self._clock = clock
        self._sessions = sessions
        self._seconds = seconds
        self._deadline = 0.0
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def stopService(self) -> "Deferred[Any]":
        """
        Let running transfers end; the Deferred fires when no session is left.
        """
        super().stopService()
        self._deadline = self._clock.seconds() + self._seconds
        self._log.info(
            "stopping: {sessions} sessions, {answering} of them have a command running",
            sessions=len(self._sessions),
            answering=sum(session.isAnswering() for session in self._sessions),
        )
        return self._loop.start(LOOK).addCallback(self._stopped)

    def hurry(self) -> None:
        """
        Wait for no transfer any longer; only UPDATE is let end.
        """
        if self._loop.running:
            self._log.info("stopping at once")
            self._deadline = self._clock.seconds()

    def _look(self) -> None:
        late = self._clock.seconds() >= self._deadline
        for session in list(self._sessions):
            if late:
                session.stopNow()
            else:
                session.stopSoon()
        if not self._sessions:
            self._loop.stop()

    def _stopped(self, _: object) -> None:
        self._log.info("stopped")
