"""
`extretr.server.reloading` and `extretr.server.signals`: what an administrator asks.
"""

import os
import signal

from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.accounts import PasswdFile
from extretr.server.reloading import Reloads
from extretr.server.signals import Signals


class ReloadsTests(SynchronousTestCase):
    """
    Reading again.
    """

    def reload(self, *all_of_them):
        reloads = Reloads()
        for what, reload in all_of_them:
            reloads.add(what, reload)
        with capturedLogs() as events:
            reloads.reload()
        return [formatEvent(event) for event in events]

    def test_reloaded(self):
        """
        One line in the log tells what was read again, and what it held.
        """
        told = self.reload(("this", lambda: "2 lines"), ("that", lambda: "old"))
        self.assertEqual(told, ["reloaded: this (2 lines), that (old)"])
        self.assertEqual(self.reload(), ["reloaded: nothing"])

    def test_failure(self):
        """
        What cannot be read is told, and keeps nothing else from it.
        """

        def fails():
            raise PermissionError(13, "Permission denied")

        told = self.reload(("this", fails), ("that", lambda: "new"))
        self.assertEqual(
            told,
            [
                "this cannot be reloaded, it stays as it was: Permission denied",
                "reloaded: that (new)",
            ],
        )

    def test_users(self):
        """
        A users file is read again, changed or not; a bad one keeps the old accounts.
        """
        path = os.path.abspath(self.mktemp())

        def write(text):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

        write("alice:{PLAIN}x\nbob:{PLAIN}y\n")
        accounts = PasswdFile(path, None)
        (told,) = self.reload((accounts.name, accounts.reload))
        self.assertEqual(told, f"reloaded: users file {path} (2 accounts)")
        write("nonsense\n")
        told = self.reload((accounts.name, accounts.reload))
        self.assertIn("it stays as it was: bad lines only", told[1])
        self.assertEqual(set(accounts._accounts), {b"alice", b"bob"})
        os.unlink(path)
        told = self.reload((accounts.name, accounts.reload))
        self.assertIn("it stays as it was: No such file", told[0])


class SignalsTests(SynchronousTestCase):
    """
    Signals.
    """

    def setUp(self):
        self.handlers = {}
        self.asked = []
        self.reactor = MemoryReactorClock()
        self.reactor.callFromThread = lambda call: call()
        self.reactor.stop = lambda: self.asked.append("stop")
        self.signals = Signals(
            self.reactor,
            lambda: self.asked.append("reload"),
            lambda: self.asked.append("hurry"),
            self.handlers.__setitem__,
        )
        self.signals.startService()

    def run_reactor(self):
        for call, arguments, keywords in self.reactor.whenRunningHooks:
            call(*arguments, **keywords)

    def send(self, number):
        self.handlers[number](number, None)

    def test_order(self):
        """
        Nothing is handled before the reactor has set its own handlers, which would
        undo it.
        """
        verifyObject(IService, self.signals)
        self.assertEqual(self.handlers, {})
        self.run_reactor()
        self.assertEqual(set(self.handlers), {signal.SIGHUP, signal.SIGTERM})

    def test_asks(self):
        """
        SIGHUP reloads, SIGTERM stops, and once more hurries.
        """
        self.run_reactor()
        self.send(signal.SIGHUP)
        self.send(signal.SIGTERM)
        self.send(signal.SIGTERM)
        self.assertEqual(self.asked, ["reload", "stop", "hurry"])

    def test_interrupt(self):
        """
        Whatever began the stop, SIGINT and SIGTERM hurry from then on.
        """
        self.run_reactor()
        self.signals.stopService()
        self.send(signal.SIGINT)
        self.send(signal.SIGTERM)
        self.assertEqual(self.asked, ["hurry", "hurry"])
