"""
`extretr.server.service`: listening, and threads for slow hashes.
"""

import io
import sys
import threading

from twisted.application.service import IService
from twisted.internet.defer import fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server import service
from extretr.server.service import HashingThreads, Listener, ListenFailedError


class Port:
    def __init__(self):
        self.open = True

    def getHost(self):
        return self

    host, port = "127.0.0.1", 110

    def stopListening(self):
        self.open = False


class Endpoint:
    """
    Listens, or not, as it was told.
    """

    def __init__(self, result):
        self.result = result
        self.listened = 0

    def listen(self, factory):
        self.listened += 1
        return (
            fail(self.result)
            if isinstance(self.result, Exception)
            else succeed(self.result)
        )


BUSY = CannotListenError("127.0.0.1", 110, OSError(98, "Address already in use"))


class ListenerTests(SynchronousTestCase):
    """
    One endpoint.
    """

    def listener(self, result):
        self.endpoint = Endpoint(result)
        self.terminal = io.StringIO()
        self.patch(sys, "__stderr__", self.terminal)
        return Listener("tcp:110", self.endpoint, None)

    def test_listens(self):
        """
        It listens once, with privileges or without, says so, and stops.
        """
        for begin in ("privilegedStartService", "startService"):
            port = Port()
            listener = self.listener(port)
            verifyObject(IService, listener)
            with capturedLogs() as events:
                getattr(listener, begin)()
                listener.startService()
            self.assertEqual(self.endpoint.listened, 1)
            self.assertIn(
                "tcp:110: listening on 127.0.0.1 port 110", map(formatEvent, events)
            )
            self.successResultOf(listener.stopService())
            self.assertFalse(port.open)

    def test_busy(self):
        """
        A busy port is one line on the terminal, and the end of the process.
        """
        listener = self.listener(BUSY)
        with capturedLogs():
            leaving = self.assertRaises(SystemExit, listener.privilegedStartService)
        self.assertEqual(leaving.code, 1)
        self.assertEqual(
            self.terminal.getvalue(),
            "extretr: cannot listen on tcp:110: Address already in use\n",
        )

    def test_busyInTheBackground(self):
        """
        After the fork it is an error that twistd carries to the foreground.
        """
        listener = self.listener(BUSY)
        self.patch(service.os, "getpid", lambda: -1)
        with capturedLogs():
            error = self.assertRaises(
                ListenFailedError, listener.privilegedStartService
            )
        self.assertIn("Address already in use", str(error))
        self.assertEqual(self.terminal.getvalue(), "")

    def test_stoppedBeforeItListened(self):
        """
        Who never listened can stop.
        """
        self.successResultOf(self.listener(Port()).stopService())


class HashingThreadsTests(SynchronousTestCase):
    """
    A few threads.
    """

    def test_elsewhere(self):
        """
        A function runs in another thread, and its result comes back.
        """
        reactor = MemoryReactorClock()
        calls = []
        reactor.callFromThread = lambda call, *arguments: calls.append(
            (call, arguments)
        )
        threads = HashingThreads(reactor)
        threads.startService()
        names = []
        done = threads.run(lambda: names.append(threading.current_thread()) or True)
        threads.stopService()
        for call, arguments in calls:
            call(*arguments)
        self.assertIsNot(names[0], threading.current_thread())
        self.assertEqual(self.successResultOf(done), True)
