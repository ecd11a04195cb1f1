"""
`extretr.server.hashing`: threads for slow password hashes.
"""

import threading

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server import hashing
from extretr.server.hashing import HashingThreads


class HashingThreadsTests(SynchronousTestCase):
    """
    A few threads.
    """

    def setUp(self):
        reactor = MemoryReactorClock()
        self.calls = []
        reactor.callFromThread = lambda call, *arguments: self.calls.append(
            (call, arguments)
        )
        self.threads = HashingThreads(reactor, 1)
        self.threads.startService()
        self.began = threading.Event()

    def stop(self):
        self.threads.stopService()
        for call, arguments in self.calls:
            call(*arguments)

    def test_elsewhere(self):
        """
        A function runs in another thread, and its result comes back.
        """
        verifyObject(IService, self.threads)
        names = []

        def function():
            names.append(threading.current_thread())
            self.began.set()
            return True

        done = self.threads.run(function)
        self.assertTrue(self.began.wait(30))
        self.stop()
        self.assertIsNot(names[0], threading.current_thread())
        self.assertEqual(self.successResultOf(done), True)

    def test_stopped(self):
        """
        What waits for a thread when the server stops is not run any more.
        """
        release = threading.Event()
        ran = []

        def function():
            self.began.set()
            return release.wait(30)

        first = self.threads.run(function)
        second = self.threads.run(lambda: ran.append(True) or True)
        self.assertTrue(self.began.wait(30))
        join = self.threads._pool.stop

        def stop():
            release.set()
            join()

        self.patch(self.threads._pool, "stop", stop)
        self.stop()
        self.assertEqual(self.successResultOf(first), True)
        self.assertEqual(self.successResultOf(second), False)
        self.assertEqual(ran, [])


class FairnessTests(SynchronousTestCase):
    """
    Nobody has all of the threads.
    """

    def setUp(self):
        self.running = []
        self.patch(hashing, "deferToThreadPool", self.defer)
        self.threads = HashingThreads(MemoryReactorClock(), 2)
        self.threads.running = True

    def defer(self, reactor, pool, run, function):
        done = Deferred()
        self.running.append((function, done))
        return done

    def ask(self, who, count=1):
        return [self.threads.run(f"{who}{number}", who) for number in range(count)]

    def names(self):
        return [name for name, _ in self.running]

    def end(self, name):
        (done,) = (done for each, done in self.running if each == name)
        self.running = [each for each in self.running if each[0] != name]
        done.callback(True)

    def test_oneIsFree(self):
        """
        However much one asks for, a thread is free for another.
        """
        self.ask("a", 50)
        self.assertEqual(self.names(), ["a0"])
        (done,) = self.ask("b")
        self.assertEqual(self.names(), ["a0", "b0"])
        self.end("b0")
        self.assertTrue(self.successResultOf(done))

    def test_turns(self):
        """
        They have their turn one after another.
        """
        for who in "abc":
            self.ask(who, 2)
        order = self.names()
        while self.running:
            before = self.names()
            self.end(before[0])
            order += [name for name in self.names() if name not in before]
        self.assertEqual(order, ["a0", "b0", "c0", "a1", "b1", "c1"])
        self.assertEqual(self.threads._busy, {})
        self.assertEqual(len(self.threads._waiting), 0)
