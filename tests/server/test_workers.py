"""
`extretr.server.workers` and `extretr.server.worker_process`: keeping workers running.
"""

import socket

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.limits import Limits, Remembered
from extretr.server.worker_link import Hurry, Reload, Stop
from extretr.server.worker_log import line_of
from extretr.server.worker_process import LOOK, MISSED_LOOKS, READ, REST
from extretr.server.workers import (
    COUNTS,
    FIRST_PORT,
    LINK,
    LONGEST_PAUSE,
    PAUSE,
    SHORT_LIFE,
    STOP_MARGIN,
    Workers,
)


class Process:
    """
    The transport of a process.
    """

    def __init__(self, worker, pid, descriptors):
        self.worker = worker
        self.pid = pid
        self.descriptors = descriptors
        self.written = b""
        self.signals = []
        self.told = []
        self.reads = True
        worker.link.tell = self.told.append
        worker.link.ping = self.ping
        worker.makeConnection(self)

    def ping(self):
        self.pinged = Deferred()
        return self.pinged

    def write(self, octets):
        self.written += octets

    def closeStdin(self):
        self.written += b"<end>"

    def pauseProducing(self):
        self.reads = False

    def resumeProducing(self):
        self.reads = True

    def signalProcess(self, name):
        if name == "KILL" and "KILL" in self.signals:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, reason=None):
        self.worker.processEnded(Failure(reason or ProcessDone(0)))


class Counts:
    """
    What workers count in.
    """

    descriptor = 30

    def __init__(self):
        self.forgotten = []
        self.forget = self.forgotten.append


class Port:
    def __init__(self, descriptor):
        self.fileno = lambda: descriptor


class WorkersTests(SynchronousTestCase):
    """
    Two workers, of a reactor that starts no processes.
    """

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.reactor.adoptStreamConnection = lambda *told: None
        self.reactor.spawnProcess = self.spawn
        self.processes = []
        self.counts = Counts()
        self.refusal = None
        self.ready = []
        self.workers = Workers(
            self.reactor,
            2,
            ["python", "-m", "worker"],
            {"A": "1"},
            lambda number, ports: b"%d: %d ports" % (number, len(ports)),
            [Port(20), Port(21)],
            Remembered(Limits(), self.reactor.seconds),
            self.counts,
            30.0,
            lambda: self.ready.append(True),
        )
        self.workers.startService()
        for call, arguments, keywords in self.reactor.whenRunningHooks:
            call(*arguments, **keywords)

    def spawn(self, worker, executable, command, environ, childFDs):
        if self.refusal is not None:
            raise self.refusal
        self.spawned = (executable, command, environ)
        self.processes.append(Process(worker, len(self.processes), childFDs))
        return self.processes[-1]

    def serve(self, *processes):
        with capturedLogs():
            for process in processes:
                process.worker._servesNow()

    def end(self, process, reason=None):
        with capturedLogs() as events:
            process.end(reason)
        return [formatEvent(event) for event in events]

    def test_started(self):
        """
        Each gets what it is to do on its standard input, a link, what is counted in,
        and the ports; when all serve, that is told once.
        """
        verifyObject(IService, self.workers)
        self.assertEqual(
            self.spawned, ("python", ["python", "-m", "worker"], {"A": "1"})
        )
        for number, process in enumerate(self.processes, 1):
            self.assertEqual(process.written, b"%d: 2 ports<end>" % number)
            descriptors = dict(process.descriptors)
            self.assertIsInstance(descriptors.pop(LINK), int)
            self.assertEqual(
                descriptors,
                {
                    0: "w",
                    1: "r",
                    2: "r",
                    COUNTS: 30,
                    FIRST_PORT: 20,
                    FIRST_PORT + 1: 21,
                },
            )
        self.serve(self.processes[0])
        self.assertEqual(self.ready, [])
        self.serve(self.processes[1])
        self.end(self.processes[1])
        self.reactor.advance(PAUSE)
        self.serve(self.processes[2])
        self.assertEqual(self.ready, [True])

    def test_again(self):
        """
        One that ends is started again: at once if it has lived, else after a pause
        that grows.
        """
        self.reactor.advance(SHORT_LIFE)
        told = self.end(self.processes[0], ProcessTerminated(signal=9))
        self.assertEqual(
            told, ["worker 1 has ended by SIGKILL: another starts in 0 seconds"]
        )
        self.reactor.advance(0)
        pauses = []
        while len(pauses) < 8:
            began = self.reactor.seconds()
            count = len(self.processes)
            (told,) = self.end(self.processes[-1], ProcessTerminated(exitCode=1))
            self.assertIn("worker 1 has ended with status 1", told)
            while len(self.processes) == count:
                self.reactor.advance(0.5)
            pauses.append(self.reactor.seconds() - began)
        self.assertEqual(pauses[:4], [PAUSE, 2 * PAUSE, 4 * PAUSE, 8 * PAUSE])
        self.assertEqual(pauses[-1], LONGEST_PAUSE)
        self.reactor.advance(SHORT_LIFE)
        for pause in (0, PAUSE):
            (told,) = self.end(self.processes[-1])
            self.assertIn(f"starts in {pause:g} seconds", told)
            self.reactor.advance(pause)

    def test_cannotStart(self):
        """
        One that cannot be started is tried again, and the log says why.
        """
        self.refusal = PermissionError(13, "Permission denied")
        self.end(self.processes[0])
        with capturedLogs() as events:
            self.reactor.advance(PAUSE)
        self.assertIn("cannot be started (Permission denied)", formatEvent(events[0]))
        self.refusal = None
        self.reactor.advance(2 * PAUSE)
        self.assertEqual(len(self.processes), 3)

    def test_noDescriptors(self):
        """
        So is one for which there is no pair of sockets, or none that is taken.
        """

        def refuse(*arguments):
            raise OSError(24, "Too many open files")

        for owner, name in (
            (socket, "socketpair"),
            (self.reactor, "adoptStreamConnection"),
        ):
            count = len(self.processes)
            self.end(self.processes[-1])
            patch = self.patch(owner, name, refuse)
            with capturedLogs() as events:
                self.reactor.advance(LONGEST_PAUSE)
            self.assertIn("(Too many open files)", formatEvent(events[0]))
            patch.restore()
            self.reactor.advance(LONGEST_PAUSE)
            self.assertEqual(len(self.processes), count + 1)

    def test_told(self):
        """
        All that serve are told to reload.
        """
        self.serve(self.processes[0])
        self.workers.reload()
        self.assertEqual([each.told for each in self.processes], [[Reload], []])
        self.assertEqual(self.processes[1].signals, [])

    def test_stop(self):
        """
        To stop is to have all workers stop; one that does not serve yet is killed.
        """
        first, second = self.processes
        self.serve(first)
        stopped = self.workers.stopService()
        self.assertEqual((first.told, second.signals), ([Stop], ["KILL"]))
        self.workers.hurry()
        self.assertEqual(first.told, [Stop, Hurry])
        self.end(second)
        self.assertNoResult(stopped)
        self.end(first)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_late(self):
        """
        Workers that do not stop in time are killed.
        """
        self.serve(*self.processes)
        stopped = self.workers.stopService()
        with capturedLogs():
            self.reactor.advance(30 + STOP_MARGIN)
        for process in self.processes:
            self.assertEqual(process.signals, ["KILL"])
            self.end(process)
        self.successResultOf(stopped)

    def test_stopWhileNoneRuns(self):
        """
        Where none runs, because each waits to be started again, there is nothing to
        wait for, and none is started any more.
        """
        for process in list(self.processes):
            self.end(process)
        self.assertIsNone(self.workers.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_hangs(self):
        """
        One whose reactor does not turn any more is killed; one that answers is not.
        """
        lives, hangs = self.processes
        self.serve(lives, hangs)
        with capturedLogs():
            for _ in range(MISSED_LOOKS + 1):
                self.reactor.advance(LOOK)
                lives.pinged.callback(None)
        self.assertEqual((lives.signals, hangs.signals), ([], ["KILL"]))

    def test_neverServes(self):
        """
        One that hangs before it serves is killed too, and one that took long is not.
        """
        slow, hangs = self.processes
        with capturedLogs():
            self.reactor.pump([LOOK] * (MISSED_LOOKS - 1))
            self.serve(slow)
            for _ in range(2):
                self.reactor.advance(LOOK)
                slow.pinged.callback(None)
        self.assertEqual((slow.signals, hangs.signals), ([], ["KILL"]))

    def test_forgotten(self):
        """
        What a worker has counted is forgotten when it has ended, not before, and before
        another counts in its place.
        """
        first, second = self.processes
        self.serve(first, second)
        self.assertEqual(self.counts.forgotten, [])
        self.end(second)
        self.assertEqual((self.counts.forgotten, len(self.processes)), ([1], 2))
        self.reactor.advance(PAUSE)
        self.assertEqual((self.counts.forgotten, len(self.processes)), ([1], 3))

    def test_logRests(self):
        """
        A log that was read up is read on a little later, for all that is there by then;
        one in which there is more is read on at once.
        """
        process = self.processes[0]
        with capturedLogs():
            process.worker.childDataReceived(2, b"x" * READ)
            self.assertTrue(process.reads)
            process.worker.childDataReceived(2, b"x")
            self.assertFalse(process.reads)
            # It was woken for both pipes at once.
            process.worker.childDataReceived(1, b"x")
            self.reactor.advance(REST / 2)
            self.assertFalse(process.reads)
            self.reactor.advance(REST / 2)
            self.assertTrue(process.reads)
            process.worker.childDataReceived(2, b"x")
            self.assertFalse(process.reads)

    def test_log(self):
        """
        What a worker logs is logged, with its number; what it says besides, too.
        """
        event = {
            "log_format": "hello",
            "log_namespace": "x",
            "log_time": 1.0,
            "log_level": LogLevel.info,
        }
        worker = self.processes[1].worker
        with capturedLogs() as events:
            line = line_of(event).encode()
            worker.childDataReceived(1, line[:10])
            worker.childDataReceived(1, line[10:])
            worker.childDataReceived(2, b"Traceback\n  File\n\n{}\nlast")
            self.processes[1].end()
        self.assertEqual(events[0]["worker"], 2)
        self.assertEqual(
            [formatEvent(event) for event in events[:5]],
            [
                "hello",
                "worker 2: Traceback",
                "worker 2:   File",
                "worker 2: {}",
                "worker 2: last",
            ],
        )
