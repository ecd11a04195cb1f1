"""
`extretr.server.lean`: the reactor's turns, as they are and as they were.
"""

import socket
import sys
from functools import partial
from unittest import mock, skipUnless

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.server import lean as module
from extretr.server.lean import PATIENCE, lean
from extretr.server.output import CORK_LIMIT, Output, handling
from extretr.server.protocol import ExtendedPOP3
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


class Keeping(socket.socket):
    """
    A socket that takes note of how it was sent to.
    """

    def send(self, data, flags=0):
        sent = super().send(data, flags)
        self.sends = [*getattr(self, "sends", ()), (bytes(data[:sent]), flags)]
        return sent


class Speaker(Protocol):
    """
    A protocol on an output, which does what a test wants when it is spoken to.
    """

    def __init__(self):
        self.lost = []
        self.within = False

    def makeConnection(self, transport):
        super().makeConnection(Output(transport))

    def dataReceived(self, data):
        self.within = True
        try:
            self.answer(data)
        finally:
            self.within = False

    def connectionLost(self, reason):
        # It is not prepared for that in the midst of something else.
        assert not self.within
        self.lost.append(reason.type)


@skipUnless(sys.platform == "linux", "epoll is there on Linux only")
class EndTests(LeanTestCase):
    """
    A connection that shall be closed, when all is sent, is closed in the same turn.
    """

    def setUp(self):
        super().setUp()
        self.assertTrue(lean(self.reactor))
        self.speaker, self.client = self.connection()
        self.output = self.speaker.transport
        self.sends = self.output.original.socket

    def connection(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            accepted, address = listening.accept()
        self.addCleanup(client.close)
        kept = Keeping(fileno=accepted.detach())
        self.addCleanup(kept.close)
        client.setblocking(False)
        speaker = Speaker()
        transport = tcp.Server(kept, speaker, address, None, 0, self.reactor)
        speaker.makeConnection(transport)
        return speaker, client

    def say(self, answer, turns=1):
        """
        Let the client say something, which is answered in some turns.
        """
        self.speaker.answer = answer
        self.client.send(b"x")
        for _ in range(turns):
            self.reactor.doIteration(0.1)

    def heard(self):
        """
        Give what the client gets; an end of it is b"" at the end.
        """
        heard = []
        try:
            while not heard or heard[-1]:
                heard.append(self.client.recv(1 << 20))
        except BlockingIOError:
            pass
        return heard

    def bye(self, _=None):
        self.output.cork()
        self.output.write(b"good")
        self.output.write(b"bye")
        self.output.loseConnection()

    def waits(self):
        """
        Tell whether the reactor waits for the connection.
        """
        waiting = self.reactor.getReaders() + self.reactor.getWriters()
        return self.output.original in waiting

    def test_atOnce(self):
        """
        What was said last leaves in one segment with the end, and no turn passes.
        """
        self.say(self.bye)
        self.assertEqual(self.heard(), [b"goodbye", b""])
        self.assertEqual(self.speaker.lost, [ConnectionDone])
        self.assertFalse(self.waits())
        self.assertEqual(self.sends.sends, [(b"goodbye", socket.MSG_MORE)])
        self.assertIsNone(handling.transport)
        self.assertFalse(handling.ends)

    def test_nothingToSay(self):
        """
        So it is where nothing was corked, and when it is asked for twice.
        """

        def answer(data):
            self.output.write(b"bye")
            self.output.loseConnection()
            self.assertTrue(self.output.disconnecting)
            self.output.loseConnection()

        self.say(answer)
        self.assertEqual(self.heard(), [b"bye", b""])
        self.assertEqual(self.speaker.lost, [ConnectionDone])
        self.assertFalse(self.waits())

    def test_writtenAfterwards(self):
        """
        What is written after it goes out too, in its order, as Twisted has it.
        """

        def answer(data):
            self.bye()
            self.output.write(b", and")
            self.output.uncork()
            self.output.write(b" more")

        self.say(answer)
        self.assertEqual(self.speaker.lost, [])
        self.reactor.doIteration(0.1)
        self.assertEqual(b"".join(self.heard()), b"goodbye, and more")
        self.reactor.doIteration(0.1)
        self.assertEqual(self.heard(), [b""])
        self.assertEqual(self.speaker.lost, [ConnectionDone])

    def test_doesNotFit(self):
        """
        Where not all can be sent at once it waits for the rest.
        """
        much = bytes(range(256)) * (1 << 16)

        def answer(data):
            self.output.cork()
            # More than gathers behind the cork, and it is full behind it.
            self.output.write(much)
            self.bye()

        self.say(answer)
        self.assertEqual(self.speaker.lost, [])
        heard = []
        while not heard or heard[-1]:
            self.reactor.doIteration(0.01)
            heard += self.heard()
        self.assertEqual(b"".join(heard), much + b"goodbye")
        self.assertEqual(self.speaker.lost, [ConnectionDone])

    def test_partlySent(self):
        """
        So it is where of what was said last a part can be sent.
        """
        sock = self.sends
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        last = b"y" * (CORK_LIMIT - 1)
        sock.send = lambda data, flags=0: socket.socket.send(sock, data[:10], flags)

        def answer(data):
            self.output.cork()
            self.output.write(last)
            self.output.loseConnection()

        self.say(answer)
        self.assertEqual(self.speaker.lost, [])
        del sock.send
        heard = []
        while not heard or heard[-1]:
            self.reactor.doIteration(0.01)
            heard += self.heard()
        self.assertEqual(b"".join(heard), last)
        self.assertEqual(self.speaker.lost, [ConnectionDone])

    def test_producer(self):
        """
        A producer ends first.
        """
        producer = mock.Mock()

        def answer(data):
            self.output.registerProducer(producer, True)
            self.bye()

        self.say(answer)
        self.assertEqual(self.speaker.lost, [])
        self.output.uncork()
        self.output.write(b"!")
        self.output.unregisterProducer()
        self.reactor.doIteration(0.1)
        self.reactor.doIteration(0.1)
        self.assertEqual(b"".join(self.heard()), b"goodbye!")
        self.assertEqual(self.speaker.lost, [ConnectionDone])

    def test_aborted(self):
        """
        One that is cut off all the same is cut off.
        """

        def answer(data):
            self.bye()
            self.output.abortConnection()

        self.say(answer)
        self.assertEqual(self.speaker.lost, [])
        self.reactor.runUntilCurrent()
        self.assertEqual(self.speaker.lost, [ConnectionAborted])
        self.assertFalse(self.waits())
        self.assertRaises(ConnectionResetError, self.client.recv, 100)

    def test_fails(self):
        """
        What fails afterwards does not keep back what was said.
        """

        def answer(data):
            self.bye()
            raise ZeroDivisionError

        self.say(answer)
        self.assertEqual(self.heard(), [b"goodbye", b""])
        self.assertEqual(self.speaker.lost, [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNone(handling.transport)
        self.assertFalse(handling.ends)

    def test_failsToEnd(self):
        """
        One that fails as it ends is logged, and the next one is as any other.
        """
        self.speaker.connectionLost = lambda reason: 1 // 0
        self.say(self.bye)
        self.assertEqual(self.heard(), [b"goodbye", b""])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.speaker, self.client = self.connection()
        self.output = self.speaker.transport
        self.say(lambda data: self.output.write(b"hello"))
        self.assertEqual(self.heard(), [b"hello"])

    def test_unread(self):
        """
        What the client says behind it is not read.
        """
        self.patch(module, "AGAIN_FOR", 60.0)
        said = []

        def answer(data):
            said.append(data)
            self.output.heard = not self.output.heard
            self.client.send(b"and")
            self.bye()

        self.say(answer)
        self.assertEqual(said, [b"x"])
        self.assertEqual(self.speaker.lost, [ConnectionDone])

    def test_elsewhere(self):
        """
        Where it is not the connection that is being read from it is as Twisted has it:
        by a timer, or by what another has said.
        """
        other, _ = self.connection()
        end = other.transport.loseConnection
        self.say(lambda data: end())
        self.assertEqual(other.lost, [])
        self.bye()
        self.assertEqual(self.speaker.lost, [])
        self.reactor.doIteration(0.1)
        self.reactor.doIteration(0.1)
        self.assertEqual(other.lost, [ConnectionDone])
        self.assertEqual(self.speaker.lost, [ConnectionDone])
        self.assertEqual(self.heard(), [b"goodbye", b""])

    def test_afterwards(self):
        """
        What is put off until the end of it is done where it is still connected.
        """
        stays = mock.Mock()

        def answer(data):
            handling.stays = stays
            self.assertTrue(self.output.isHandled)

        self.say(answer)
        stays.assert_called_once_with()
        self.assertIsNone(handling.stays)
        self.assertFalse(self.output.isHandled)

        def leave(data):
            handling.stays = stays
            self.bye()

        self.say(leave)
        stays.assert_called_once_with()

    def test_session(self):
        """
        A session waits for its peer to be gone only where it is not closed already.
        """
        for fits in (True, False):
            self.speaker, self.client = self.connection()
            transport = self.speaker.transport.original
            session = transport.protocol = ExtendedPOP3()
            session.clock = Clock()
            session.makeConnection(transport)
            session.setTimeout = mock.Mock()
            if not fits:
                transport.socket.send = mock.Mock(side_effect=BlockingIOError)
            self.client.send(b"QUIT\r\n")
            self.reactor.doIteration(0.1)
            waited = mock.call(session.closeTimeOut) in session.setTimeout.mock_calls
            self.assertEqual(waited, not fits)
            self.assertEqual(bool(transport.connected), not fits)
            transport.abortConnection()
            self.reactor.runUntilCurrent()


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
