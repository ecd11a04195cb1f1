"""
The service that keeps worker processes running.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from extretr.server.limits import Remembered
from extretr.server.shared_brakes import BrakesDesk
from extretr.server.shared_counts import SharedCounts
from extretr.server.worker_link import Hurry, Reload, Stop, SupervisorLink
from extretr.server.worker_process import Worker

#: Seconds that a worker lives at least, if it does not end at once.
SHORT_LIFE = 10.0

#: Seconds before a worker that ended at once is started again; doubled each time.
PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Seconds more than running transfers get before a worker that stops is killed.
STOP_MARGIN = 5.0

#: The descriptors, in a worker, of the link, of what workers count in, and of the first
#: of its ports.
LINK, COUNTS, FIRST_PORT = 3, 4, 5


class Workers(Service):
    """
    Keeps so many workers running.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        count: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        configuration: Callable[[int, Sequence[Any]], bytes],
        ports: Sequence[Any],
        remembered: Remembered,
        counts: SharedCounts,
        stopAfter: float,
        ready: Callable[[], object],
        gone: Callable[[int], object] = lambda _: None,
    ) -> None:
        """
        Args:
            reactor: spawns processes, tells the time.
            count: how many workers.
            command: the command line of a worker.
            environ: its environment.
            configuration: gives what it reads from its standard input, by its number,
                from 1 on, and the ports.
            ports: the open ports, once the service starts.
            remembered: what they ask for.
            counts: what they count in.
            stopAfter: seconds that running transfers get.
            ready: is called when all serve for the first time.
            gone: gets the process number of each one that has ended.
        """
        self._reactor = reactor
        self._count = count
        self._command = list(command)
        self._environ = dict(environ)
        self._configuration = configuration
        self._ports = ports
        self._remembered = remembered
        self._counts = counts
        self._stopAfter = stopAfter
        self._ready: Callable[[], object] | None = ready
        self._gone = gone
        self._workers: dict[int, Worker] = {}
        self._pauses: dict[int, float] = {}
        self._calls: dict[int, Any] = {}
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        """
        Start the workers, once the reactor runs.
        """
        super().startService()
        self._reactor.callWhenRunning(self._startAll)

    def _startAll(self) -> None:
        for number in range(1, self._count + 1):
            self._start(number)

    def _start(self, number: int) -> None:
        self._calls.pop(number, None)
        if not self.running:
            return
        worker = Worker(
            number, self._reactor, BrakesDesk(self._remembered), self._ended
        )
        worker.whenServing = self._serves
        try:
            process = self._linked(worker)
        except OSError as error:
            self._again(worker, f"cannot be started ({error.strerror})")
            return
        self._workers[number] = worker
        process.write(self._configuration(number, self._ports))
        process.closeStdin()

    def _linked(self, worker: Worker) -> Any:
        """
        Begin the process of a worker, with a link to it.

        Raises:
            OSError: where it cannot be, as with too many open files.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._reactor.adoptStreamConnection(
                ours.fileno(), socket.AF_UNIX, _Factory(worker.link)
            )
            return self._spawn(worker, theirs.fileno())

    def _spawn(self, worker: Worker, link: int) -> Any:
        descriptors: dict[int, Any] = {0: "w", 1: "r", 2: "r", LINK: link}
        descriptors[COUNTS] = self._counts.descriptor
        for descriptor, port in enumerate(self._ports, FIRST_PORT):
            descriptors[descriptor] = port.fileno()
        return self._reactor.spawnProcess(
            worker,
            self._command[0],
            self._command,
            self._environ,
            childFDs=descriptors,
        )

    def _serves(self) -> None:
        serving = sum(worker.serves for worker in self._workers.values())
        if self._ready is not None and serving == self._count:
            ready, self._ready = self._ready, None
            ready()

    def isServing(self) -> bool:
        """
        Tell whether any worker serves.
        """
        return any(worker.serves for worker in self._workers.values())

    def _ended(self, worker: Worker) -> None:
        del self._workers[worker.number]
        self._counts.forget(worker.number - 1)
        self._gone(worker.pid)
        if not self.running:
            if not self._workers and self._stopped is not None:
                stopped, self._stopped = self._stopped, None
                stopped.callback(None)
            return
        self._again(worker, f"has ended {worker.ending}")

    def _again(self, worker: Worker, why: str) -> None:
        """
        Start another in the place of one, sooner or later.
        """
        number, pause = worker.number, 0.0
        if self._reactor.seconds() - worker.began < SHORT_LIFE:
            pause = self._pauses.get(number, PAUSE)
            self._pauses[number] = min(2 * pause, LONGEST_PAUSE)
        else:
            self._pauses.pop(number, None)
        self._log.error(
            "worker {number} {why}: another starts in {pause:g} seconds",
            number=number,
            why=why,
            pause=pause,
        )
        self._calls[number] = self._reactor.callLater(pause, self._start, number)

    def reload(self) -> None:
        """
        Have all workers read again what can be.
        """
        self._tell(Reload)

    def hurry(self) -> None:
        """
        Have workers that stop wait for no transfer any longer.
        """
        self._tell(Hurry)

    def _tell(self, command: Any) -> None:
        for worker in list(self._workers.values()):
            worker.tell(command)

    def stopService(self) -> "Deferred[None] | None":
        """
        Have all workers stop; the Deferred fires when they have.
        """
        super().stopService()
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        if not self._workers:
            return None
        stopped = self._stopped = Deferred()
        self._tell(Stop)
        late = self._reactor.callLater(self._stopAfter + STOP_MARGIN, self._kill)
        return stopped.addCallback(lambda _: late.active() and late.cancel())

    def _kill(self) -> None:
        for worker in list(self._workers.values()):
            self._log.error(
                "worker {number} does not stop: killed", number=worker.number
            )
            worker.kill()


class _Factory(Factory):
    noisy = False

    def __init__(self, link: SupervisorLink) -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> SupervisorLink:
        return self._link
