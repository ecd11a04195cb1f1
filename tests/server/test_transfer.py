"""
`extretr.server.transfer` and `extretr.server.output`: how octets leave.
"""

import socket
from io import BytesIO

from twisted.internet import tcp
from twisted.internet.interfaces import IPullProducer, ISSLTransport, ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from extretr.errors import MessageChanged
from extretr.message import Opened
from extretr.server.output import CORK_LIMIT, Output
from extretr.server.transfer import (
    CHUNK,
    MessageBlocks,
    Transfer,
    TransferCutError,
    drain,
    line_blocks,
)
from extretr.wire import START, LineCounter
from tests import models


class MessageBlocksTests(SynchronousTestCase):
    """
    A message is given block by block.
    """

    def opened(self, stored, left=None, unchanged=lambda: True):
        self.file = BytesIO(stored)
        left = len(stored) if left is None else left
        return Opened(self.file, START, left, unchanged)

    def test_small(self):
        """
        A small message is one block, with its greeting and its end.
        """
        blocks = MessageBlocks(b"+OK\r\n", self.opened(b".a\n"))
        self.assertEqual(next(blocks), b"+OK\r\n..a\r\n.\r\n")
        self.assertTrue(blocks.finished)
        self.assertTrue(self.file.closed)
        self.assertEqual(list(blocks), [])

    def test_large(self):
        """
        A large one comes in blocks of bounded size.
        """
        stored = b"line\n" * CHUNK
        blocks = list(MessageBlocks(b"+OK\r\n", self.opened(stored)))
        self.assertEqual(
            b"".join(blocks), b"+OK\r\n" + models.wire(models.canonical(stored))
        )
        self.assertLess(max(map(len, blocks)), 2 * CHUNK + 10)
        self.assertTrue(self.file.closed)

    def test_shortReads(self):
        """
        A file that gives less than was asked is read on.
        """
        opened = self.opened(b"abc\n" * 10)
        read = self.file.read
        opened.file.read = lambda count: read(min(count, 3))
        self.assertEqual(
            b"".join(MessageBlocks(b"", opened)), b"abc\r\n" * 10 + b".\r\n"
        )

    def test_tooShort(self):
        """
        Reading 17: a message shorter than was listed never gets its terminating line.
        """
        blocks = MessageBlocks(b"", self.opened(b"x" * CHUNK, left=CHUNK + 5))
        next(blocks)
        self.assertRaises(MessageChanged, next, blocks)
        self.assertTrue(self.file.closed)

    def test_changedAtTheEnd(self):
        """
        Reading 17: one that has changed meanwhile does not get it either.
        """
        blocks = MessageBlocks(b"", self.opened(b"x", unchanged=lambda: False))
        self.assertRaises(MessageChanged, next, blocks)

    def test_grown(self):
        """
        No more is read than was listed.
        """
        blocks = MessageBlocks(b"", self.opened(b"ab\nmore", left=3))
        self.assertEqual(b"".join(blocks), b"ab\r\n.\r\n")

    def test_cutOff(self):
        """
        With a counter it ends where the counter is done, and reads no further.
        """
        stored = b"H: h\n\nbody\n" + b"x" * CHUNK * 3
        blocks = MessageBlocks(b"", self.opened(stored), LineCounter(1))
        self.assertEqual(b"".join(blocks), b"H: h\r\n\r\nbody\r\n.\r\n")

    def test_lines(self):
        """
        A list is given so many lines a block.
        """
        lines = [b"%d\r\n" % number for number in range(5)]
        blocks = list(line_blocks(b"+OK\r\n", lines, 2))
        self.assertEqual(
            blocks, [b"+OK\r\n", b"0\r\n1\r\n", b"2\r\n3\r\n", b"4\r\n", b".\r\n"]
        )


class PullingTransport(StringTransport):
    """
    Asks a pull producer for the first block as it registers, as real ones do.
    """

    def registerProducer(self, producer, streaming):
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()


class TransferTests(SynchronousTestCase):
    """
    A transfer goes at the pace of the transport.
    """

    def setUp(self):
        self.transport = PullingTransport()
        self.asked = []

    def begin(self, blocks):
        transfer = Transfer(self.transport, iter(blocks), lambda: self.asked.append(1))
        return transfer, transfer.begin()

    def test_interface(self):
        """
        It is a pull producer.
        """
        verifyObject(IPullProducer, self.begin([b"a"])[0])

    def test_onDemand(self):
        """
        One block is written each time that the transport asks; then it unregisters.
        """
        _, done = self.begin([b"a", b"b"])
        self.assertEqual(self.transport.value(), b"a")
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.value(), b"ab")
        self.assertNoResult(done)
        self.transport.producer.resumeProducing()
        self.successResultOf(done)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(len(self.asked), 3)

    def test_cut(self):
        """
        Where the connection is lost it fails, once, and asks for no more blocks.
        """
        made = []

        def blocks():
            for block in (b"a", b"b", b"c"):
                made.append(block)
                yield block

        transfer, done = self.begin(blocks())
        transfer.stopProducing()
        self.failureResultOf(done, TransferCutError)
        transfer.stopProducing()
        transfer.resumeProducing()
        self.assertEqual(made, [b"a"])

    def test_blockThatCannotBeMade(self):
        """
        What the making of a block raises fails it, and the transport is free again.
        """

        def blocks():
            yield b"a"
            raise OSError("no")

        _, done = self.begin(blocks())
        self.transport.producer.resumeProducing()
        self.failureResultOf(done, OSError)
        self.assertIsNone(self.transport.producer)

    def test_drain(self):
        """
        A drain writes nothing and ends when the transport asks again.
        """
        _, done = self.begin(drain())
        self.assertNoResult(done)
        self.transport.producer.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(self.transport.value(), b"")


class CorkTests(SynchronousTestCase):
    """
    What is written under the cork leaves as one.
    """

    def setUp(self):
        self.transport = StringTransport()
        self.writes = []
        self.transport.write = self.writes.append
        self.output = Output(self.transport)

    def test_gathered(self):
        """
        Writes gather until the cork is out.
        """
        self.output.cork()
        self.output.write(b"a")
        self.output.writeSequence([b"b", b"c"])
        self.assertEqual(self.writes, [])
        self.output.uncork()
        self.assertEqual(self.writes, [b"abc"])
        self.output.write(b"d")
        self.assertEqual(self.writes, [b"abc", b"d"])
        self.assertEqual(self.output.written, 4)

    def test_bounded(self):
        """
        Too much does not wait for the cork.
        """
        self.output.cork()
        self.output.write(b"x" * CORK_LIMIT)
        self.assertEqual(len(self.writes), 1)

    def test_order(self):
        """
        Nothing overtakes what was gathered: a producer, the end, TLS.
        """
        self.transport.startTLS = lambda *arguments: self.writes.append("TLS")
        self.transport.loseConnection = lambda: self.writes.append("end")
        self.transport.registerProducer = lambda *_: self.writes.append("producer")
        self.output.cork()
        for number, act in enumerate(
            (
                lambda: self.output.registerProducer(None, False),
                lambda: self.output.startTLS(None),
                lambda: self.output.loseConnection(),
                lambda: self.output.writeAtOnce(b"now"),
            )
        ):
            self.output.write(b"%d" % number)
            act()
        self.assertEqual(
            self.writes, [b"0", "producer", b"1", "TLS", b"2", "end", b"3", b"now"]
        )

    def test_interfaces(self):
        """
        It provides what its transport provides, also what that comes to provide later.
        """
        self.assertFalse(ISSLTransport.providedBy(self.output))
        directlyProvides(self.transport, ITCPTransport, ISSLTransport)
        self.assertTrue(ISSLTransport.providedBy(self.output))
        self.assertTrue(ITCPTransport.providedBy(self.output))

    def test_restPassesThrough(self):
        """
        What else the transport has can be had.
        """
        self.assertIs(self.output.disconnecting, False)
        self.assertEqual(self.output.getPeer().host, "192.168.1.1")

    def test_noDelay(self):
        """
        Nagle's algorithm is off: the 44 ms of a delayed acknowledgement never come.  It
        is not put off where it is already.
        """
        asked = []
        self.transport.setTcpNoDelay = asked.append
        Output(self.transport)
        self.assertEqual(asked, [True])
        Output(self.transport, prepared=True)
        self.assertEqual(asked, [True])

    def test_noSuchOption(self):
        """
        A transport that says that it has the option, and has not, is taken all the
        same: so are UNIX sockets in the oldest Twisted.
        """

        def unsupported(enabled):
            raise OSError(95, "Operation not supported")

        transport = StringTransport()
        transport.setTcpNoDelay = unsupported
        Output(transport).write(b"+OK\r\n")
        self.assertEqual(transport.value(), b"+OK\r\n")


class Reactor:
    """
    Takes note of who wants to read or write, as tcp.Connection asks.
    """

    def __init__(self):
        self.writers = set()

    def addWriter(self, writer):
        self.writers.add(writer)

    def removeWriter(self, writer):
        self.writers.discard(writer)

    def addReader(self, reader):
        pass

    removeReader = addReader


class AtOnceTests(SynchronousTestCase):
    """
    A plain TCP transport with nothing waiting is written to at once.
    """

    def setUp(self):
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.reactor = Reactor()
        self.connection = tcp.Connection(ours, None, self.reactor)
        self.connection.connected = 1
        self.connection.setTcpNoDelay = lambda on: None
        self.output = Output(self.connection)

    def test_atOnce(self):
        """
        What fits into the socket's buffer is gone before the reactor turns.
        """
        self.assertTrue(self.output.writeAtOnce(b"hello"))
        self.assertEqual(self.theirs.recv(100), b"hello")
        self.assertEqual(self.reactor.writers, set())

    def test_inOrder(self):
        """
        What does not fit waits, and nothing passes it.
        """
        big = b"x" * 5000000
        self.assertFalse(self.output.writeAtOnce(big))
        self.output.write(b"y")
        self.assertFalse(self.output.writeAtOnce(b"z"))
        self.assertTrue(self.output.isClogged())
        received = b""
        while len(received) < len(big) + 2:
            received += self.theirs.recv(1 << 20)
            self.connection.doWrite()
        self.assertEqual(received, big + b"yz")
        self.assertFalse(self.output.isClogged())
        self.assertTrue(self.output.writeAtOnce(b"!"))

    def test_wholeTransfer(self):
        """
        A transfer that the socket takes at once goes on all the same, to its end.
        """
        blocks = [b"%d" % (number % 10) * 1000 for number in range(100)]
        self.output.cork()
        done = Transfer(self.output, iter(blocks), lambda: None).begin()
        received = b""
        while self.reactor.writers:
            received += self.theirs.recv(1 << 20)
            self.connection.doWrite()
        self.successResultOf(done)
        received += self.theirs.recv(1 << 20)
        self.assertEqual(received, b"".join(blocks))

    def test_neverPastTLS(self):
        """
        Under TLS nothing goes to the socket but what TLS made of it.
        """
        self.connection.TLS = True
        wrapped = []
        self.connection.write = wrapped.append
        self.assertFalse(self.output.writeAtOnce(b"secret"))
        self.assertEqual(wrapped, [b"secret"])
        self.theirs.setblocking(False)
        self.assertRaises(BlockingIOError, self.theirs.recv, 100)

    def test_lost(self):
        """
        A connection that is lost is left to the transport to find out.
        """
        self.theirs.close()
        self.output.writeAtOnce(b"a")
        self.assertFalse(self.output.writeAtOnce(b"b"))
        self.assertEqual(self.reactor.writers, {self.connection})
