"""
`extretr.server.zero_copy`: what the kernel sends straight from a message's file.
"""

import errno
import os
import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr.errors import MessageChanged, SplitLineEnd
from extretr.interfaces import ISeekableMailbox
from extretr.message import SeekableMessage
from extretr.offsets import Measurer
from extretr.server import output, transfer, zero_copy
from extretr.server.output import Output
from extretr.server.protocol import ExtendedPOP3
from extretr.server.transfer import MessageBlocks, Transfer, TransferCutError
from extretr.stores.descriptor import StoredFile
from tests import models
from tests.server.test_transfer import Reactor


class Writers(Reactor):
    """
    A reactor that writes where its writers want to, for as long as they do.
    """

    def turn(self):
        for writer in list(self.writers):
            writer.doWrite()


class Sender:
    """
    sendfile(2) on a kernel that takes few octets at a time, and often none.
    """

    def __init__(self, takes):
        self._takes = takes
        self.count = 0
        self.octets = 0

    def __call__(self, out, descriptor, place, count):
        take = self._takes[self.count % len(self._takes)]
        self.count += 1
        if isinstance(take, OSError):
            raise take
        if take == 0:
            raise BlockingIOError(errno.EAGAIN, "not now")
        octets = os.pread(descriptor, min(take, count), place)
        self.octets += len(octets)
        return os.write(out, octets) if octets else 0


class ZeroCopyCase(SynchronousTestCase):
    """
    Messages that go from files of their own over a pair of sockets.
    """

    def setUp(self):
        self.patch(transfer, "CHUNK", 16)
        self.changed = False

    def connect(self):
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5)
        self.reactor = Writers()
        self.connection = tcp.Connection(ours, None, self.reactor)
        self.connection.connected = 1
        self.connection.setTcpNoDelay = lambda on: None
        self.output = Output(self.connection)
        self.addCleanup(self.close)

    def close(self):
        self.theirs.close()
        if hasattr(self.connection, "socket"):
            self.connection.socket.close()

    def message(self, stored):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(stored)
        self.path = path
        measurer = Measurer()
        measurer.feed(stored)

        def opened():
            file = StoredFile(os.open(path, os.O_RDONLY))
            return file, lambda: not self.changed

        return SeekableMessage(measurer.finish(), opened)

    def begin(self, message, offset=0):
        """
        Begin to send a message, as a session does.
        """
        self.opened = message.openAt(offset)
        blocks = MessageBlocks(b"", self.opened)
        first = next(blocks)
        self.output.write(first)
        if blocks.finished:
            return None
        return Transfer(self.output, blocks, lambda: None).begin()

    def received(self, done):
        """
        Give all that comes until it is sent.
        """
        octets = b""
        for _ in range(100000):
            if done is None or done.called:
                break
            self.reactor.turn()
            self.theirs.setblocking(False)
            try:
                octets += self.theirs.recv(1 << 20)
            except BlockingIOError:
                pass
        else:
            self.fail("it never ends")
        self.theirs.setblocking(False)
        try:
            octets += self.theirs.recv(1 << 20)
        except BlockingIOError:
            pass
        return octets


class SameOctetsTests(ZeroCopyCase):
    """
    Whichever way a message is sent, the octets are those of the model.
    """

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(
        st.lists(
            st.sampled_from([b"\r\n", b"a\r\n", b"\n", b"\r", b".", b"a" * 9, b"\xff"]),
            max_size=60,
        ),
        st.booleans(),
        st.lists(
            st.one_of(
                st.integers(0, 40),
                st.sampled_from([OSError(errno.EINVAL, ""), OSError(errno.EPIPE, "")]),
            ),
            min_size=1,
            max_size=6,
        ).filter(lambda takes: any(takes)),
        st.integers(0, 1 << 16),
    )
    def test_property(self, parts, plain, takes, where):
        """
        Any stored form, from any offset, with a kernel that takes few octets, none, or
        will not: straight from the file and through the encoder it is the same.
        """
        stored = b"".join(parts)
        if plain:
            # Else hardly one of them could be sent as it is stored.
            stored = models.canonical(stored.replace(b".", b"b"))
        whole = models.canonical(stored)
        offset = where % (len(whole) + 1)
        message = self.message(stored)
        expected = models.wire(whole[offset:])
        for sender in (Sender(takes), None, os.sendfile):
            self.patch(output, "_sendfile", sender)
            self.connect()
            if not models.accepted(whole, offset):
                self.assertRaises(SplitLineEnd, message.openAt, offset)
                continue
            done = self.begin(message, offset)
            self.assertEqual(self.received(done), expected, (stored, offset))
            if done is not None:
                self.successResultOf(done)
            self.assertEqual(self.output.written, len(expected))
            self.assertEqual(self.opened.file.descriptor, -1)
            self.close()

    def test_straight(self):
        """
        All but the first block and the last goes straight from the file.
        """
        sender = Sender([5, 0, 7, 0])
        self.patch(output, "_sendfile", sender)
        stored = b"0123456\r\n" * 100
        for offset in (0, 1, 7, 8, 9, 450):
            sender.octets = 0
            self.connect()
            wire = self.received(self.begin(self.message(stored), offset))
            body = stored[offset:]
            self.assertEqual(wire, models.wire(body))
            self.assertGreaterEqual(sender.octets, len(body) - 33)
            self.close()

    def test_dotAtTheOffset(self):
        """
        Reading 9: a dot that comes first is stuffed, though none begins a line of the
        message.
        """
        stored = b"0.23456\r\n" * 100
        self.connect()
        wire = self.received(self.begin(self.message(stored), 1))
        self.assertEqual(wire, b"." + stored[1:] + b".\r\n")

    def test_neverFirst(self):
        """
        The first octets are the encoder's: nothing goes straight before them.
        """
        opened = self.message(b"0.23456\r\n" * 100).openAt(1)
        blocks = MessageBlocks(b"", opened)
        self.assertIsNone(blocks.stretch())
        next(blocks)
        place, count = blocks.stretch()[1:]
        self.assertEqual((place, count), (17, 900 - 17 - 16))
        blocks.close()

    def test_encoded(self):
        """
        Where a line begins with a dot, or ends in LF, nothing goes straight.
        """
        sender = Sender([100])
        self.patch(output, "_sendfile", sender)
        for stored in (b"a\n" * 100, b"a\r\n" * 50 + b".\r\n" * 50):
            self.connect()
            wire = self.received(self.begin(self.message(stored)))
            self.assertEqual(wire, models.wire(models.canonical(stored)))
            self.close()
        self.assertEqual(sender.count, 0)


class PaceTests(ZeroCopyCase):
    """
    It goes at the pace of the peer, and lets others have their turn.
    """

    def test_bounded(self):
        """
        So many octets go in one turn at most, however much the socket would take.
        """
        self.patch(zero_copy, "TURN", 100)
        sender = Sender([100000])
        self.patch(output, "_sendfile", sender)
        self.connect()
        self.begin(self.message(b"0123456\r\n" * 1000))
        for turn in range(1, 10):
            self.assertLessEqual(sender.octets, 100 * turn)
            self.reactor.turn()

    def test_full(self):
        """
        While the socket takes nothing it is waited for, and nothing gathers here.
        """
        self.patch(output, "_sendfile", Sender([0]))
        self.connect()
        self.begin(self.message(b"0123456\r\n" * 1000))
        self.assertEqual(self.reactor.writers, {self.connection})
        self.assertEqual(self.output.waiting, 0)
        self.assertEqual(len(self.theirs.recv(100000)), 16)

    def test_behindWhatWaits(self):
        """
        It never overtakes what waits in the transport.
        """
        self.connect()
        big = b"x" * 3000000
        self.output.write(big)
        stored = b"0123456\r\n" * 100
        wire = self.received(self.begin(self.message(stored)))
        self.assertTrue(wire == big + models.wire(stored))

    def test_neverPastTLS(self):
        """
        Under TLS nothing goes straight.
        """
        sender = Sender([100])
        self.patch(output, "_sendfile", sender)
        self.connect()
        self.connection.TLS = True
        written = []
        producers = []
        self.connection.write = written.append
        self.connection.registerProducer = lambda one, _: producers.append(one)
        self.connection.unregisterProducer = lambda: None
        stored = b"0123456\r\n" * 100
        done = self.begin(self.message(stored))
        while not done.called:
            producers[0].resumeProducing()
        self.assertEqual(b"".join(written), models.wire(stored))
        self.assertEqual(sender.count, 0)


class CutTests(ZeroCopyCase):
    """
    What cannot be sent whole is never closed by the terminating line.
    """

    stored = b"0123456\r\n" * 1000

    def setUp(self):
        super().setUp()
        self.patch(zero_copy, "TURN", 90)
        self.connect()

    def drain(self, done):
        while not done.called:
            self.reactor.turn()
        return self.theirs.recv(100000)

    def test_truncated(self):
        """
        A file that is cut short while it is sent fails the transfer.
        """
        done = self.begin(self.message(self.stored))
        os.truncate(self.path, 300)
        octets = self.drain(done)
        self.failureResultOf(done, MessageChanged)
        self.assertEqual(octets, self.stored[:300])
        self.assertEqual(self.opened.file.descriptor, -1)

    def test_changed(self):
        """
        One that was changed sends no octet of what it is now.
        """
        done = self.begin(self.message(self.stored))
        self.reactor.turn()
        sent = len(self.theirs.recv(100000))
        with open(self.path, "r+b") as file:
            file.write(b"\r\n.\r\n" * 1000)
        self.changed = True
        self.reactor.turn()
        self.failureResultOf(done, MessageChanged)
        self.theirs.setblocking(False)
        self.assertRaises(BlockingIOError, self.theirs.recv, 100)
        self.assertLess(sent, 300)

    def test_cannotWait(self):
        """
        Where the socket cannot be waited for, no octet is sent twice.
        """

        def refuse():
            raise OSError(errno.ENOSPC, "no more descriptors can be watched")

        self.connection.startWriting = refuse
        stored = b"".join(b"%07d\r\n" % number for number in range(1000))
        done = self.begin(self.message(stored))
        self.failureResultOf(done, OSError)
        octets = self.theirs.recv(100000)
        self.assertEqual(octets, stored[: len(octets)])
        self.assertEqual(self.opened.file.descriptor, -1)

    def test_connectionLost(self):
        """
        Where the connection is lost the file is closed, and no more is sent.
        """
        sender = Sender([10])
        self.patch(output, "_sendfile", sender)
        done = self.begin(self.message(self.stored))
        count = sender.count
        producer = self.connection.producer
        producer.stopProducing()
        self.failureResultOf(done, TransferCutError)
        self.assertEqual(self.opened.file.descriptor, -1)
        producer.resumeProducing()
        self.assertEqual(sender.count, count)


@implementer(ISeekableMailbox)
class Mailbox:
    """
    One message.
    """

    def __init__(self, message):
        self.openMessage = lambda index: message
        self.closed = 0

    def close(self):
        self.closed += 1


class EvictedTests(ZeroCopyCase):
    """
    A session whose maildrop goes to another one while the kernel sends for it.
    """

    def test_evicted(self):
        """
        It ends at once: no further octet is sent, the file is closed and the maildrop
        let go, once.
        """
        sender = Sender([10])
        self.patch(output, "_sendfile", sender)
        self.connect()
        clock = Clock()
        self.reactor.callLater = clock.callLater
        message = self.message(b"0123456\r\n" * 1000)
        session = ExtendedPOP3()
        session.clock, session.callLater = clock, clock.callLater
        self.connection.getPeer = lambda: UNIXAddress(None)
        self.connection.protocol = session
        session.makeConnection(self.connection)
        mailbox = session.mbox = Mailbox(message)
        session._onLogout = mailbox.close
        opened = []
        open_at = message.openAt
        message.openAt = lambda offset: opened.append(open_at(offset)) or opened[0]
        session.dataReceived(b"RETR 1\r\nNOOP\r\n")
        for _ in range(3):
            self.reactor.turn()
        count = sender.count
        self.assertGreater(count, 2)
        session.session.evict()
        self.reactor.turn()
        clock.advance(0)
        self.assertEqual(sender.count, count)
        self.assertEqual(self.reactor.writers, set())
        self.assertEqual(opened[0].file.descriptor, -1)
        self.assertEqual(mailbox.closed, 1)
        self.assertEqual(session.ending, "another session took the maildrop over")
        self.assertTrue(session._cut)
        self.assertEqual(clock.getDelayedCalls(), [])
        _, answer, body = self.theirs.recv(1 << 20).split(b"\r\n", 2)
        self.assertEqual(answer, b"+OK 9000 octets")
        self.assertEqual(body, (b"0123456\r\n" * 1000)[: 16 + 10 * count])
