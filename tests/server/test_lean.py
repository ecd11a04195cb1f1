"""
`extretr.server.lean`: the reactor's turns, as they are and as they were.
"""

import socket
import sys
from functools import partial
from unittest import mock, skipUnless

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.server import lean as module
from extretr.server.lean import PATIENCE, lean
from extretr.server.output import Output
from tests.server.dialogue import DialogueTestCase


class Reader:
    """
    What a reactor calls when its socket is ready.
    """

    def __init__(self, act):
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.reads = 0
        self.fileno = self.socket.fileno
        self.act = act
        self.lost = []

    def doRead(self):
        self.reads += 1
        try:
            octets = self.socket.recv(1)
        except BlockingIOError:
            return None
        return self.act(octets)

    def connectionLost(self, reason):
        self.lost.append(reason)

    readConnectionLost = connectionLost

    def logPrefix(self):
        return "reader"


class LeanTestCase(SynchronousTestCase):
    """
    A reactor for epoll, which is not the one that the tests run in.
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


@skipUnless(sys.platform == "linux", "epoll is there on Linux only")
class LeanTests(LeanTestCase):
    """
    A reactor that is made lean calls what is ready, and survives what that does.
    """

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


@skipUnless(sys.platform == "linux", "epoll is there on Linux only")
class ReadOnTests(LeanTestCase):
    """
    A session's peer that has said more by the time it is answered is read on from.
    """

    def setUp(self):
        super().setUp()
        lean(self.reactor)
        self.patch(module, "AGAIN_FOR", 60.0)
        #: What the peer still says, a piece whenever it is answered.
        self.more = []
        self.session = self.reader(self.hear)
        self.session.protocol = self
        self.transport = Output(self.session)

    def hear(self, octets):
        self.transport.heard = not self.transport.heard
        self.seen.append(octets)
        if self.more:
            self.session.peer.send(self.more.pop(0))

    def test_atOnce(self):
        """
        What it says is taken in one turn, and one read that finds nothing ends it.
        """
        self.more = [b"a", b"b", b"c"]
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [b"x", b"a", b"b", b"c"])
        self.assertEqual(self.session.reads, 5)

    def test_forAMoment(self):
        """
        After that moment others have their turn; who is ready in the same one has no
        other moment.
        """
        self.patch(module, "AGAIN_FOR", 1.0)
        self.patch(module, "monotonic", lambda: 0.4 * len(self.seen))

        def hear(octets, transport, peer):
            transport.heard = not transport.heard
            self.seen.append(octets)
            peer.send(b"a")

        for _ in range(4):
            other = self.reader(None)
            other.protocol = mock.Mock(transport=Output(other))
            other.act = partial(
                hear, transport=other.protocol.transport, peer=other.peer
            )
        self.more = [b"a"] * 100
        self.reactor.doIteration(0)
        self.assertEqual(self.seen.count(b"x"), 5)
        self.assertEqual(self.seen.count(b"a"), 2)

    def test_paused(self):
        """
        A session that takes no more for now is not read from.
        """
        self.more = [b"a"]

        def pause(octets):
            self.hear(octets)
            self.reactor.removeReader(self.session)

        self.session.act = pause
        self.reactor.doIteration(0)
        self.assertEqual((self.seen, self.session.reads), ([b"x"], 1))

    def test_lost(self):
        """
        Nor is one that is over.
        """
        self.more = [b"a"]
        self.session.act = lambda octets: self.hear(octets) or ConnectionDone()
        self.reactor.doIteration(0)
        self.assertEqual((self.seen, self.session.reads), ([b"x"], 1))
        self.assertEqual(len(self.session.lost), 1)

    def test_patience(self):
        """
        One that never has said more is read on from in one of so many turns, until it
        has again.
        """
        turns = PATIENCE * PATIENCE
        for _ in range(turns):
            self.reactor.doIteration(0)
            self.session.peer.send(b"y")
        self.assertEqual(len(self.seen), turns)
        self.assertLess(self.session.reads - turns, 2 * PATIENCE)
        self.more = [b"a"] * turns
        for _ in range(PATIENCE + 1):
            self.reactor.doIteration(0)
        self.assertEqual(self.more, [])
        self.assertEqual(self.transport.patience, 0)


class HeardTests(DialogueTestCase):
    """
    A session tells its output that the peer was heard.
    """

    def test_heard(self):
        """
        That is another each time.
        """
        output = self.session.transport
        for command in (b"NOOP\r\n", b"NO", b"OP\r\nNOOP\r\n"):
            before = output.heard
            self.send(command)
            self.assertNotEqual(output.heard, before)
