"""
`extretr.server.systemd`: what systemd is told.
"""

import os
import socket
import tempfile

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.systemd import Notifier


class NotifierTests(SynchronousTestCase):
    """
    A socket that listens as systemd does.
    """

    def setUp(self):
        # The path of a socket is of 107 octets at most.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clock = Clock()
        self.systemd = self.listen(f"{folder.name}/notify")
        self.environ = {"NOTIFY_SOCKET": self.systemd.getsockname(), "OTHER": "1"}

    def listen(self, address):
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        datagrams.bind(address)
        datagrams.setblocking(False)
        return datagrams

    def notifier(self, **environ):
        self.environ.update(environ)
        return Notifier(self.clock, self.environ, 30.0)

    def told(self):
        told = []
        while True:
            try:
                told.append(self.systemd.recv(1000).decode().split("\n"))
            except BlockingIOError:
                return told

    def test_life(self):
        """
        It tells that the service is ready, and that it stops and how long that takes.
        """
        notifier = self.notifier()
        verifyObject(IService, notifier)
        notifier.startService()
        self.assertEqual(self.told(), [])
        notifier.ready()
        self.assertEqual(self.told(), [["READY=1"]])
        notifier.stopService()
        self.assertEqual(self.told(), [["STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000"]])

    def test_environment(self):
        """
        No child finds what was meant for this process.
        """
        self.notifier(WATCHDOG_USEC="1", WATCHDOG_PID="2")
        self.assertEqual(self.environ, {"OTHER": "1"})

    def test_reload(self):
        """
        A reload begins and ends, also where it fails.
        """
        notifier = self.notifier()
        notifier.reloading(lambda: self.assertEqual(self.told()[0][0], "RELOADING=1"))
        self.assertEqual(self.told(), [["READY=1"]])

        def fails():
            raise ValueError

        self.assertRaises(ValueError, notifier.reloading, fails)
        (begin, time), end = self.told()
        self.assertEqual((begin, end), ("RELOADING=1", ["READY=1"]))
        self.assertRegex(time, r"\AMONOTONIC_USEC=\d+\Z")

    def test_watchdog(self):
        """
        It tells that it lives twice in the time that the watchdog gives.
        """
        for pid in (os.getpid(), None):
            more = {} if pid is None else {"WATCHDOG_PID": str(pid)}
            name = self.systemd.getsockname()
            notifier = self.notifier(
                NOTIFY_SOCKET=name, WATCHDOG_USEC="30000000", **more
            )
            notifier.ready()
            notifier.ready()
            self.clock.pump([7.5] * 4)
            told = [line for lines in self.told() for line in lines]
            self.assertEqual(told.count("WATCHDOG=1"), 3)
            self.clock.calls.clear()

    def test_watchdogOfAnother(self):
        """
        A watchdog of another process, or nonsense, is none of ours.
        """
        for usec, pid in (("30000000", "1"), ("soon", str(os.getpid()))):
            self.notifier(WATCHDOG_USEC=usec, WATCHDOG_PID=pid).ready()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abstract(self):
        """
        A socket without a file is told all the same.
        """
        name = f"extretr-test-{os.getpid()}"
        self.systemd = self.listen("\0" + name)
        self.notifier(NOTIFY_SOCKET="@" + name).ready()
        self.assertEqual(self.told(), [["READY=1"]])

    def test_none(self):
        """
        Without systemd nothing is told; where it is gone, the log says so.
        """
        with capturedLogs() as events:
            Notifier(self.clock, {}, 1.0).ready()
            self.assertEqual(events, [])
            self.notifier(NOTIFY_SOCKET="/nowhere/socket").ready()
        (event,) = events
        self.assertEqual(event["why"], "No such file or directory")
