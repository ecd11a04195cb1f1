"""
One worker process, as its supervisor has it.
"""

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from extretr.server.shared_brakes import BrakesDesk
from extretr.server.worker_link import Reload, SupervisorLink
from extretr.server.worker_log import event_of

#: Octets that are read of a worker's log at a time, at most, and seconds until the next
#: time once it was read up.
READ, REST = 8192, 0.02

#: Seconds between two looks whether a worker's reactor turns, and how many may fail.
LOOK, MISSED_LOOKS = 10.0, 6


class Worker(ProcessProtocol):
    """
    One worker process.
    """

    _log = Logger()

    transport: Any

    def __init__(
        self,
        number: int,
        clock: Any,
        desk: BrakesDesk,
        ended: Callable[["Worker"], object],
    ) -> None:
        """
        Args:
            number: which of the workers it is, from 1 on.
            clock: an IReactorTime.
            desk: answers what it asks.
            ended: is called when the process has ended.
        """
        self.number = number
        self.serves = False
        self.pid = 0
        self.began = clock.seconds()
        self.link = SupervisorLink(self._servesNow, desk)
        self._ended = ended
        self._lines = {1: b"", 2: b""}
        self._unanswered = 0
        self._clock = clock
        self._rests = False
        self._look = LoopingCall(self._lookAt)
        self._look.clock = clock
        self.whenServing: Callable[[], object] = lambda: None

    def connectionMade(self) -> None:
        """
        Begin to look at it now and then.
        """
        self.pid = self.transport.pid
        self._look.start(LOOK, now=False)

    def tell(self, command: Any) -> None:
        """
        Tell it to do something; one that cannot be told yet is killed to stop.
        """
        if self.serves:
            self.link.tell(command)
        elif command is not Reload:
            self.kill()

    def kill(self) -> None:
        """
        End it at once.
        """
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def _servesNow(self) -> None:
        self.serves = True
        self._unanswered = 0
        self._log.info(
            "worker {number} (process {pid}) serves",
            number=self.number,
            pid=self.transport.pid,
        )
        self.whenServing()

    def _lookAt(self) -> None:
        if self._unanswered >= MISSED_LOOKS:
            self._log.error("worker {number} hangs: killed", number=self.number)
            self.kill()
            return
        self._unanswered += 1
        if self.serves:
            self.link.ping().addCallback(self._answered)

    def _answered(self, _: object) -> None:
        self._unanswered = 0

    # What it logs and says

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Take its log, and what it says besides.
        """
        *lines, self._lines[childFD] = (self._lines[childFD] + data).split(b"\n")
        for line in lines:
            self._logLine(line)
        if len(data) < READ and not self._rests:
            # To be woken for each line takes longer than to log it; what is written
            # meanwhile waits in the pipe, also when the worker dies.
            self._rests = True
            self.transport.pauseProducing()
            self._clock.callLater(REST, self._readOn)

    def _readOn(self) -> None:
        self._rests = False
        self.transport.resumeProducing()

    def _logLine(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        try:
            event = event_of(text)
        except (ValueError, KeyError, TypeError):
            if text:
                self._log.error(
                    "worker {number}: {text}", number=self.number, text=text
                )
            return
        event["worker"] = self.number
        globalLogPublisher(event)

    def processEnded(self, reason: Failure) -> None:
        """
        Take note that it is gone.
        """
        if self._look.running:
            self._look.stop()
        for line in self._lines.values():
            self._logLine(line)
        self.ending = _ending(reason)
        self._ended(self)


def _ending(reason: Failure) -> str:
    number = getattr(reason.value, "signal", None)
    if number is not None:
        return f"by {signal.Signals(number).name}"
    return f"with status {getattr(reason.value, 'exitCode', None)}"
