"""
`extretr.server.service`: listening, and threads for slow hashes.
"""

import io
import socket
import sys
import traceback

from twisted.application.service import IService
from twisted.internet.defer import fail, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server import service
from extretr.server.liveness import RELAXED
from extretr.server.service import Listener, ListenFailedError


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
        self.patch(sys, "excepthook", self.fail)
        return Listener("tcp:110", self.endpoint, None)

    def test_prepares(self):
        """
        What its port accepts begins as sessions want it; the port stays open.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = Port()
            port.fileno = listening.fileno
            self.listener(port).startService()
            interval = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            self.assertEqual(interval, RELAXED[1])

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
        A busy port is one line on the terminal, and an error that ends the process.
        """
        listener = self.listener(BUSY)
        with capturedLogs():
            self.assertRaises(ListenFailedError, listener.privilegedStartService)
        self.assertEqual(
            self.terminal.getvalue(),
            "extretr: cannot listen on tcp:110: Address already in use\n",
        )

    def test_busyInTheBackground(self):
        """
        After the fork it is an error that twistd carries to the foreground, as far as
        its first 98 octets.
        """
        listener = self.listener(BUSY)
        self.patch(service.os, "getpid", lambda: -1)
        with capturedLogs():
            error = self.assertRaises(
                ListenFailedError, listener.privilegedStartService
            )
        told = traceback.format_exception_only(error)[-1][:98]
        self.assertIn("Address already in use: tcp:110", told)
        self.assertEqual(self.terminal.getvalue(), "")

    def test_noTraceback(self):
        """
        The error that ends the process makes no traceback; any other does.
        """
        others = []
        listener = self.listener(BUSY)
        self.patch(sys, "excepthook", lambda *told: others.append(told))
        with capturedLogs():
            error = self.assertRaises(
                ListenFailedError, listener.privilegedStartService
            )
        sys.excepthook(type(error), error, None)
        self.assertEqual(others, [])
        other = ValueError()
        sys.excepthook(ValueError, other, None)
        self.assertEqual(others, [(ValueError, other, None)])

    def test_stoppedBeforeItListened(self):
        """
        Who never listened can stop.
        """
        self.successResultOf(self.listener(Port()).stopService())
