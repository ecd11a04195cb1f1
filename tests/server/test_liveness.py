"""
Signs of life of a peer.
"""

import socket
import struct

from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.interfaces import ISession
from extretr.server import liveness
from extretr.server.liveness import (
    RELAXED,
    URGENT,
    TransportSession,
    prepare,
    socket_of,
)
from extretr.server.output import Output


class FakeSocket(socket.socket):
    """
    A socket whose kernel says what a test wants, and takes note of what it is told.
    """

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        #: Milliseconds, milliseconds, octets.
        self.data_age = 0
        self.acknowledgement_age = 0
        self.acknowledged = 0
        self.length = 232
        self.told = []

    def getsockopt(self, level, option, *size):
        if self.fileno() < 0 or option != socket.TCP_INFO:
            return super().getsockopt(level, option, *size)
        assert level == socket.IPPROTO_TCP
        # As linux/tcp.h lays it out: 8 octets, 24 numbers of 4, 4 numbers of 8.
        numbers = [77] * 24
        numbers[11], numbers[12] = self.data_age, self.acknowledgement_age
        whole = struct.pack(
            "=8x24I4Q", *numbers, 88, 88, self.acknowledged, 88
        ) + bytes(96)
        return whole[: min(*size, self.length)]

    def setsockopt(self, level, option, value):
        super().setsockopt(level, option, value)
        self.told.append((level, option, value))

    def probing(self):
        """
        Give what the kernel has really been told: idle, interval, count.
        """
        return tuple(
            super(FakeSocket, self).getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
            )
        )


class Layer:
    """
    A transport that has what it is given, and nothing else.
    """

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def over(found):
    """
    Give a transport with a handle.
    """
    return Layer(getHandle=lambda: found)


class LivenessTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1000)
        self.evictions = []

    def socket(self, family=socket.AF_INET):
        made = FakeSocket(family, socket.SOCK_STREAM)
        self.addCleanup(made.close)
        return made

    def session(self, transport):
        return TransportSession(transport, self.clock, lambda: self.evictions.append(1))


class SocketOfTests(LivenessTestCase):
    """
    The socket is found below whatever wraps it.
    """

    def test_plain(self):
        """
        It is the handle of a transport, over IPv4 and IPv6.
        """
        for family in (socket.AF_INET, socket.AF_INET6):
            found = self.socket(family)
            self.assertIs(socket_of(over(found)), found)

    def test_twisted(self):
        """
        It is found in Twisted's own transport, behind our cork and its wrappers.
        """
        found = self.socket()
        transport = tcp.Connection(found, Protocol(), Clock())
        self.assertIs(socket_of(transport), found)
        self.assertIs(socket_of(Output(transport)), found)
        wrapper = ProtocolWrapper(WrappingFactory(None), Protocol())
        wrapper.transport = transport
        self.assertIs(socket_of(wrapper), found)
        self.assertIs(socket_of(Output(wrapper)), found)

    def test_tls(self):
        """
        OpenSSL's connection is not it: that lies below, or beside it after STLS.
        """
        found = self.socket()
        above = Layer(getHandle=object, transport=over(found))
        self.assertIs(socket_of(above), found)
        self.assertIs(socket_of(Layer(getHandle=object, socket=found)), found)

    def test_none(self):
        """
        A transport that has none, or one that does not speak TCP, is without.
        """
        for transport in (
            None,
            StringTransport(),
            Layer(transport=Layer()),
            over(self.socket(socket.AF_UNIX)),
        ):
            self.assertIsNone(socket_of(transport))

    def test_circle(self):
        """
        Transports that wrap each other come to an end.
        """
        first = Layer()
        first.transport = Layer(transport=first)
        self.assertIsNone(socket_of(first))


class WithoutKernelTests(LivenessTestCase):
    """
    Where the kernel tells nothing, reading and writing do.
    """

    def transport(self):
        return StringTransport()

    def test_interface(self):
        """
        It is a session.
        """
        verifyObject(ISession, self.session(self.transport()))

    def test_connected(self):
        """
        To connect is a sign of life.
        """
        session = self.session(self.transport())
        self.assertEqual(session.lastSign(), 0)
        self.clock.advance(7)
        self.assertEqual(session.lastSign(), 7)

    def test_received(self):
        """
        So is each octet from the peer.
        """
        session = self.session(self.transport())
        self.clock.advance(7)
        session.received()
        self.clock.advance(2)
        self.assertEqual(session.lastSign(), 2)

    def test_asked(self):
        """
        So is that the transport asks for more.
        """
        session = self.session(self.transport())
        self.clock.advance(7)
        session.asked()
        self.clock.advance(2)
        self.assertEqual(session.lastSign(), 2)
        self.clock.advance(3)
        session.received()
        self.assertEqual(session.lastSign(), 0)

    def test_acknowledged(self):
        """
        What was acknowledged nobody can tell.
        """
        self.assertIsNone(self.session(self.transport()).acknowledged())

    def test_evict(self):
        """
        Eviction ends the session, by the means that it was given.
        """
        self.session(self.transport()).evict()
        self.assertEqual(self.evictions, [1])

    def test_probes(self):
        """
        What cannot be probed is not, and nothing breaks.
        """
        session = self.session(self.transport())
        session.start()
        session.challenge()
        self.assertEqual(session.lastSign(), 0)


class UnixSocketTests(WithoutKernelTests):
    """
    A socket that does not speak TCP is as good as none.
    """

    def transport(self):
        return over(self.socket(socket.AF_UNIX))


class ShortStructureTests(WithoutKernelTests):
    """
    A kernel whose structure ends earlier (before Linux 4.1) tells nothing.
    """

    def transport(self):
        made = self.socket()
        made.length = 104
        return over(made)


class OtherSystemTests(WithoutKernelTests):
    """
    Nor does one that has another structure of that name.
    """

    def transport(self):
        self.patch(liveness.sys, "platform", "freebsd14")
        return over(self.socket())


class NoKeepAliveTests(WithoutKernelTests):
    """
    Where keep-alive cannot be adjusted, it is left alone.
    """

    def transport(self):
        self.patch(liveness.sys, "platform", "other")
        made = self.socket()
        kept = socket.TCP_KEEPIDLE
        del socket.TCP_KEEPIDLE
        self.addCleanup(setattr, socket, "TCP_KEEPIDLE", kept)
        self.addCleanup(lambda: self.assertEqual(made.told, []))
        return over(made)


class ClosedTests(WithoutKernelTests):
    """
    A socket that was closed meanwhile tells nothing either.
    """

    def transport(self):
        made = self.socket()
        made.close()
        return over(made)


class KernelTests(LivenessTestCase):
    """
    Linux tells when a segment came, and what was acknowledged.
    """

    def setUp(self):
        super().setUp()
        self.kernel = self.socket()
        self.peer = self.session(over(self.kernel))

    def test_acknowledgement(self):
        """
        The younger of data and acknowledgement counts, in milliseconds.
        """
        self.kernel.data_age, self.kernel.acknowledgement_age = 9000, 2500
        self.assertEqual(self.peer.lastSign(), 2.5)
        self.kernel.data_age = 1250
        self.assertEqual(self.peer.lastSign(), 1.25)

    def test_readLate(self):
        """
        Octets that are read long after they came prove nothing about now; nor does
        a socket that takes more.
        """
        self.kernel.data_age = self.kernel.acknowledgement_age = 40_000
        self.peer.received()
        self.peer.asked()
        self.assertEqual(self.peer.lastSign(), 40)

    def test_acknowledged(self):
        """
        The octets that the peer has acknowledged are counted beyond 4 GiB.
        """
        self.assertEqual(self.peer.acknowledged(), 0)
        self.kernel.acknowledged = 5 * 2**30
        self.assertEqual(self.peer.acknowledged(), 5 * 2**30)

    def test_start(self):
        """
        From the start on a silent connection is probed, rarely.
        """
        self.peer.start()
        self.assertIn((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), self.kernel.told)
        self.assertEqual(self.kernel.probing(), RELAXED)

    def test_prepared(self):
        """
        What a socket has from the one that it was accepted from is not set again, and
        is what would be set.
        """
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.create_server((host, 0), family=family) as listening:
                prepare(listening)
                accepted = self.accepted(listening)
            peer = self.session(over(accepted))
            self.assertTrue(peer.start())
            self.assertEqual(accepted.told, [])
            self.assertEqual(accepted.probing(), RELAXED)
            for level, option in (
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            ):
                self.assertNotEqual(accepted.getsockopt(level, option), 0)

    def test_notPrepared(self):
        """
        A connection that came before, or to somebody else's socket, is told by itself.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            early = self.accepted(listening, lambda: prepare(listening))
        for accepted in (early, self.kernel):
            self.assertFalse(self.session(over(accepted)).start())
            self.assertEqual(accepted.probing(), RELAXED)

    def test_unprepared(self):
        """
        Where not all can be set on what listens, nothing is taken for set.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            kept = socket.TCP_KEEPIDLE
            self.addCleanup(setattr, socket, "TCP_KEEPIDLE", kept)
            socket.TCP_KEEPIDLE = 4711
            prepare(listening)
            socket.TCP_KEEPIDLE = kept
            accepted = self.accepted(listening)
        self.assertFalse(self.session(over(accepted)).start())
        self.assertEqual(accepted.probing(), RELAXED)

    def test_preparedUnix(self):
        """
        A UNIX socket has nothing of the kind.
        """
        listening = self.socket(socket.AF_UNIX)
        prepare(listening)
        self.assertEqual(listening.told, [])

    def accepted(self, listening, meanwhile=lambda: None):
        client = socket.create_connection(listening.getsockname()[:2])
        self.addCleanup(client.close)
        meanwhile()
        accepted = FakeSocket(fileno=listening.accept()[0].detach())
        self.addCleanup(accepted.close)
        return accepted

    def test_budgets(self):
        """
        No probing ends a session before the autologout, or before a login that waits.
        """
        idle, interval, count = RELAXED
        self.assertGreaterEqual(idle, 60)
        self.assertGreater(idle + interval * count, 600)
        idle, interval, count = URGENT
        self.assertEqual((idle, interval), (1, 1))
        self.assertGreater(idle + interval * count, 60)

    def test_challenge(self):
        """
        A challenge has the kernel probe at once: idle comes last, as it starts that.
        """
        self.peer.start()
        self.peer.challenge()
        self.assertEqual(self.kernel.probing(), URGENT)
        self.assertEqual(self.kernel.told[-1][1], socket.TCP_KEEPIDLE)

    def silent(self, seconds):
        """
        Let time pass in which nothing comes from the peer.
        """
        self.clock.advance(seconds)
        self.kernel.data_age += int(seconds * 1000)
        self.kernel.acknowledgement_age += int(seconds * 1000)
        return self.peer.lastSign()

    def test_relaxes(self):
        """
        The first sign of life after a challenge ends the probing.
        """
        self.peer.start()
        self.silent(30)
        self.peer.challenge()
        self.silent(1)
        self.assertEqual(self.kernel.probing(), URGENT)
        self.kernel.acknowledgement_age = 0
        self.silent(0.5)
        self.assertEqual(self.kernel.probing(), RELAXED)
        told = len(self.kernel.told)
        self.silent(1)
        self.assertEqual(len(self.kernel.told), told)

    def test_givesUp(self):
        """
        Without one it ends when no login can be waiting any more.
        """
        self.peer.start()
        self.peer.challenge()
        self.silent(60)
        self.assertEqual(self.kernel.probing(), URGENT)
        self.silent(1)
        self.assertEqual(self.kernel.probing(), RELAXED)

    def test_challengedAgain(self):
        """
        A second login is waited for anew.
        """
        self.peer.challenge()
        self.silent(59)
        self.peer.challenge()
        self.silent(59)
        self.assertEqual(self.kernel.probing(), URGENT)

    def test_closedMeanwhile(self):
        """
        When the socket is closed, what was read and asked for is all there is.
        """
        self.kernel.acknowledgement_age = self.kernel.data_age = 5000
        self.clock.advance(9)
        self.peer.received()
        self.peer.challenge()
        self.kernel.close()
        self.clock.advance(3)
        self.peer.challenge()
        self.assertEqual(self.peer.lastSign(), 3)
        self.assertIsNone(self.peer.acknowledged())
