"""
`extretr.server.lean`: the reactor's turns, as they are and as they were.
"""

import socket
import sys
from unittest import skipUnless

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.lean import lean


class Reader:
    """
    What a reactor calls when its socket is ready.
    """

    def __init__(self, act):
        self.socket, self.peer = socket.socketpair()
        self.fileno = self.socket.fileno
        self.act = act
        self.lost = []

    def doRead(self):
        return self.act(self.socket.recv(100))

    def connectionLost(self, reason):
        self.lost.append(reason)

    readConnectionLost = connectionLost

    def logPrefix(self):
        return "reader"


@skipUnless(sys.platform == "linux", "epoll is there on Linux only")
class LeanTests(SynchronousTestCase):
    """
    A reactor that is made lean calls what is ready, and survives what that does.
    """

    def setUp(self):
        from twisted.internet.epollreactor import EPollReactor

        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.seen = []

    def reader(self, act):
        reader = Reader(act)
        self.addCleanup(reader.socket.close)
        self.addCleanup(reader.peer.close)
        self.reactor.addReader(reader)
        reader.peer.send(b"x")
        return reader

    def test_calls(self):
        """
        All that is ready is called, and nothing else.
        """
        self.assertTrue(lean(self.reactor))
        readers = [self.reader(self.seen.append) for _ in range(3)]
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x"] * 3)
        readers[0].peer.send(b"y")
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x"] * 3 + [b"y"])

    def test_fails(self):
        """
        One that fails is logged and let go; the others are called.
        """
        lean(self.reactor)
        bad = self.reader(lambda octets: 1 // 0)
        self.reader(self.seen.append)
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x"])
        self.assertEqual(len(bad.lost), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failsToEnd(self):
        """
        One that fails when it is let go is logged too, and the others are called.
        """
        lean(self.reactor)
        bad = self.reader(lambda octets: ConnectionDone())
        bad.readConnectionLost = bad.connectionLost = lambda reason: 1 // 0
        self.reader(self.seen.append)
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closedByAnother(self):
        """
        One that another has closed in the same turn is not called.
        """
        lean(self.reactor)
        readers = []

        def close_other(octets):
            self.seen.append(octets)
            for reader in readers:
                self.reactor.removeReader(reader)

        readers += [self.reader(close_other) for _ in range(2)]
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x"])

    def test_others(self):
        """
        Any other reactor, one derived from it too, stays as it is.
        """

        class Derived(type(self.reactor)):
            pass

        derived = Derived()
        self.addCleanup(derived._poller.close)
        for reactor in (Clock(), derived):
            before = dict(vars(reactor))
            self.assertFalse(lean(reactor))
            self.assertEqual(vars(reactor), before)
