"""
The relay carries every octet, and cuts after exactly as many as it is told.

It needs nothing but sockets, so these tests run everywhere.
"""

import random
import socket
import struct
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.relay import Relay
from tests.interop.relay_pipe import Pipe

#: Seconds that anything may take.
PATIENCE = 30

#: Seconds in which what does not pass would long have passed.
A_WHILE = 0.2

LARGE = random.Random(918).randbytes(3_000_000)


def read_all(connection):
    """
    Give what comes until the end, and what the end was.
    """
    pieces = []
    try:
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        return b"".join(pieces), "reset"
    return b"".join(pieces), "close"


def read(connection, count):
    octets = b""
    while len(octets) < count:
        piece = connection.recv(count - len(octets))
        if not piece:
            raise EOFError(octets)
        octets += piece
    return octets


def wait_until(check):
    """
    Wait until *check* is true.
    """
    deadline = time.monotonic() + PATIENCE
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("it does not come to pass")
        time.sleep(0.001)


class RelayCase(SynchronousTestCase):
    """
    A listener that stands for the server; both ends are the test's.
    """

    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.addCleanup(self.listener.close)

    def relay(self, **arguments):
        relay = Relay(self.listener.getsockname(), **arguments)
        self.addCleanup(relay.stop)
        return relay

    def client(self, relay):
        client = socket.create_connection(("127.0.0.1", relay.port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def connect(self, relay):
        """
        Give a new connection's two ends: the client's, and the server's.
        """
        client = self.client(relay)
        server, _ = self.listener.accept()
        server.settimeout(PATIENCE)
        self.addCleanup(server.close)
        return client, server

    def say(self, connection, octets):
        """
        Send from a thread, as far as the other side lets it.
        """

        def send():
            try:
                connection.sendall(octets)
            except OSError:
                pass

        thread = threading.Thread(target=send)
        thread.start()
        self.addCleanup(thread.join)
        # Before that, so that a thread that waits is woken.
        self.addCleanup(self.hang_up, connection)

    def hang_up(self, connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def assertHeldBack(self, connection):
        """
        Nothing comes: no octet, and no end.
        """
        connection.settimeout(A_WHILE)
        self.assertRaises(TimeoutError, connection.recv, 1)
        connection.settimeout(PATIENCE)


class CarryTests(RelayCase):
    """
    Without a cut.
    """

    def test_everything(self):
        """
        Everything passes in both directions at once, and is counted.
        """
        relay = self.relay()
        client, server = self.connect(relay)
        self.say(client, LARGE[::-1])
        self.say(server, LARGE)
        self.assertTrue(read(client, len(LARGE)) == LARGE)
        self.assertTrue(read(server, len(LARGE)) == LARGE[::-1])
        self.assertEqual(relay.received, len(LARGE))
        self.assertEqual(relay.sent, len(LARGE))
        self.assertEqual((relay.connections, relay.cuts), (1, 0))

    def test_countedAtOnce(self):
        """
        What has arrived is counted already, and of a closed connection still.
        """
        relay = self.relay()
        for count in range(1, 200):
            client, server = self.connect(relay)
            server.sendall(b"x" * 10)
            read(client, 10)
            self.assertEqual(relay.received, 10 * count)
            client.sendall(b"y" * 3)
            read(server, 3)
            self.assertEqual(relay.sent, 3 * count)
            client.close()
            server.close()
        self.assertEqual(relay.connections, 199)

    def test_connectionsAtOnce(self):
        """
        Connections do not mix.
        """
        relay = self.relay()
        pairs = [self.connect(relay) for _ in range(20)]
        for number, (_, server) in enumerate(pairs):
            self.say(server, LARGE[number : number + 100_000])
        for number, (client, _) in reversed(list(enumerate(pairs))):
            wanted = LARGE[number : number + 100_000]
            self.assertTrue(read(client, 100_000) == wanted, number)
        self.assertEqual(relay.received, 20 * 100_000)
        self.assertEqual(relay.connections, 20)

    def test_ends(self):
        """
        Each side's end passes, after what was said before, and the other may go on.
        """
        relay = self.relay()
        client, server = self.connect(relay)
        client.sendall(b"QUIT\r\n")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(server), (b"QUIT\r\n", "close"))
        server.sendall(b"+OK\r\n")
        server.close()
        self.assertEqual(read_all(client), (b"+OK\r\n", "close"))

    def test_resets(self):
        """
        A side that is reset resets the other, after what was said before.
        """
        for delay in (None, 0.05):
            relay = self.relay(delay=delay)
            client, server = self.connect(relay)
            server.sendall(b"+OK\r\n")
            server.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            wait_until(lambda relay=relay: relay.received or relay._delay)
            server.close()
            self.assertEqual(read_all(client), (b"+OK\r\n", "reset"))

    def test_lastWords(self):
        """
        All arrives that a server said before it went, though the client still speaks.
        """
        relay = self.relay(rate=20_000)
        client, server = self.connect(relay)
        server.sendall(LARGE[:5000])
        server.close()
        # The server's system answers each of these with a reset.
        for _ in range(3):
            client.sendall(b"NOOP\r\n")
            wait_until(lambda: relay.sent)
        self.assertTrue(read_all(client)[0] == LARGE[:5000])

    def test_refused(self):
        """
        Where the server does not listen, a client is reset; later ones are served.
        """
        relay = self.relay()
        there = relay.server
        with socket.create_server(("127.0.0.1", 0)) as gone:
            relay.server = gone.getsockname()
        with self.assertRaises(ConnectionResetError):
            self.client(relay).recv(1)
        relay.server = there
        client, server = self.connect(relay)
        server.sendall(b"+OK\r\n")
        self.assertEqual(read(client, 5), b"+OK\r\n")

    def test_slowly(self):
        """
        A rate and a delay change nothing but the time.
        """
        relay = self.relay(rate=2_000_000, delay=0.02, cut_after=400_000)
        client, server = self.connect(relay)
        client.sendall(LARGE[:1000])
        self.say(server, LARGE)
        self.assertTrue(read(server, 1000) == LARGE[:1000])
        self.assertTrue(read_all(client) == (LARGE[:400_000], "close"))

    def test_stop(self):
        """
        A relay that is stopped leaves no connection, no listener and no thread.
        """
        relay = self.relay()
        client, server = self.connect(relay)
        relay.stop()
        self.assertEqual([read_all(each)[0] for each in (client, server)], [b"", b""])
        self.assertRaises(ConnectionRefusedError, self.client, relay)
        self.assertNotIn(relay._thread, threading.enumerate())


class CutTests(RelayCase):
    """
    Connections that are cut.
    """

    def test_exactly(self):
        """
        A cut leaves the client exactly so many octets, however they were sent, whether
        or not the client has said what nobody reads.
        """
        for how, first in (("close", 0), ("reset", 1)):
            received = 0
            limits = [first, 77, 65_535, 65_536, 1 << 20, len(LARGE)]
            relay = self.relay(how=how, cut_after=lambda n: limits[n - 1])  # noqa: B023
            for limit in limits:
                client, server = self.connect(relay)
                client.sendall(b"RETR 1\r\n" * 1000)
                self.say(server, LARGE)
                if how == "close":
                    self.say(client, LARGE)
                octets, end = read_all(client)
                self.assertTrue(octets == LARGE[:limit], (how, limit, len(octets)))
                self.assertEqual(end, how)
                received += limit
                self.assertEqual(relay.received, received)
            self.assertEqual((relay.cuts, relay.connections), (len(limits),) * 2)

    def test_slowReader(self):
        """
        A client that reads late has lost nothing by a reset.
        """
        relay = self.relay(how="reset", cut_after=len(LARGE) - 1)
        client, server = self.connect(relay)
        self.say(server, LARGE)
        wait_until(lambda: relay.received)
        time.sleep(A_WHILE)
        octets, end = read_all(client)
        self.assertTrue(octets == LARGE[:-1], len(octets))
        self.assertEqual(end, "reset")

    def test_serverIsTold(self):
        """
        A connection that is closed or reset has an end for the server as well.
        """
        for how in ("close", "reset"):
            relay = self.relay(how=how, cut_after=3)
            client, server = self.connect(relay)
            server.sendall(b"+OK\r\n")
            self.assertEqual(read_all(client), (b"+OK", how))
            self.assertEqual(read_all(server)[0], b"")

    def test_byNumber(self):
        """
        Each connection may have its own limit, or none.
        """
        numbers = []

        def limit(number):
            numbers.append(number)
            return None if number == 3 else 10 * number

        relay = self.relay(cut_after=limit)
        for wanted in (10, 20, 1000):
            client, server = self.connect(relay)
            server.sendall(LARGE[:1000])
            server.close()
            octets, _ = read_all(client)
            self.assertEqual(len(octets), wanted)
        self.assertEqual(numbers, [1, 2, 3])
        self.assertEqual((relay.cuts, relay.received), (2, 1030))

    def test_silence(self):
        """
        A silent link gives neither side anything, not even the other's end.
        """
        relay = self.relay(how="silence", cut_after=10)
        client, server = self.connect(relay)
        server.sendall(LARGE[:1000])
        self.assertEqual(read(client, 10), LARGE[:10])
        wait_until(lambda: relay.cuts == 1)
        client.sendall(b"QUIT\r\n")
        self.assertHeldBack(client)
        self.assertHeldBack(server)
        client.close()
        self.assertHeldBack(server)
        self.assertEqual((relay.received, relay.sent), (10, 0))

    def test_silenceOfOne(self):
        """
        While one connection is silent, others are served.
        """
        relay = self.relay(how="silence", cut_after=lambda n: 1 if n == 1 else None)
        client, server = self.connect(relay)
        server.sendall(b"+OK\r\n")
        read(client, 1)
        other, others_server = self.connect(relay)
        others_server.sendall(b"+OK\r\n")
        self.assertEqual(read(other, 5), b"+OK\r\n")
        self.assertHeldBack(client)

    def test_stall(self):
        """
        A link that stalls still carries what the client says, and its end.
        """
        relay = self.relay(how="stall", cut_after=10)
        client, server = self.connect(relay)
        server.sendall(LARGE[:1000])
        self.assertEqual(read(client, 10), LARGE[:10])
        self.assertHeldBack(client)
        client.sendall(b"QUIT\r\n")
        self.assertEqual(read(server, 6), b"QUIT\r\n")
        client.close()
        self.assertEqual(read_all(server)[0], b"")
        self.assertEqual((relay.received, relay.sent), (10, 6))

    def test_stallOfAServerThatGoes(self):
        """
        Where a link stalls, the client is not told that the server has gone either.
        """
        relay = self.relay(how="stall", cut_after=10)
        client, server = self.connect(relay)
        server.sendall(LARGE[:10])
        read(client, 10)
        wait_until(lambda: relay.cuts == 1)
        server.close()
        for _ in range(3):
            client.sendall(b"NOOP\r\n")
            self.assertHeldBack(client)

    def test_errors(self):
        """
        A cut of an unknown kind is refused; what a limit raises is raised by stop.
        """
        self.assertRaises(ValueError, self.relay, how="softly")
        relay = Relay(self.listener.getsockname(), cut_after=lambda n: 1 // (n - 1))
        self.client(relay)
        wait_until(lambda: not relay._thread.is_alive())
        self.assertRaises(ZeroDivisionError, relay.stop)


class PipeTests(SynchronousTestCase):
    """
    One direction, by a clock of the test's.
    """

    def pipe(self, **arguments):
        ends = [*socket.socketpair(), *socket.socketpair()]
        for each in ends:
            each.setblocking(False)
            self.addCleanup(each.close)
        self.says, source, sink, self.hears = ends
        return Pipe(source, sink, **arguments)

    def heard(self):
        try:
            return self.hears.recv(1 << 20)
        except BlockingIOError:
            return None

    def test_delay(self):
        """
        Pieces arrive in order, each so long after it was said; none waits for another.
        """
        pipe = self.pipe(delay=5.0)
        for second in range(4):
            self.says.send(b"%d" % second)
            self.assertTrue(pipe.wants_to_read(second))
            pipe.read(second)
            pipe.write(second)
        self.says.close()
        pipe.read(4)
        self.assertIsNone(self.heard())
        self.assertEqual(pipe.next_change(4), 5.0)
        for second in range(5, 9):
            self.assertFalse(pipe.wants_to_write(second - 0.01))
            self.assertTrue(pipe.wants_to_write(second))
            pipe.write(second)
            self.assertEqual(self.heard(), b"%d" % (second - 5))
        self.assertFalse(pipe.finished)
        pipe.write(9)
        self.assertTrue(pipe.finished)
        self.assertEqual(self.heard(), b"")
        self.assertEqual(pipe.carried, 4)

    def test_rate(self):
        """
        By any time, as much has passed as the rate allows, to a hundredth of a second.
        """
        for rate in (50, 1000, 123_456):
            pipe = self.pipe(rate=rate)
            said = self.says.send(b"x" * 100_000)
            begun = now = 7.0
            while pipe.carried < min(3 * rate, said):
                if pipe.wants_to_read(now):
                    pipe.read(now)
                pipe.write(now)
                self.heard()
                allowed = (now - begun) * rate
                slack = max(1, rate * 0.01) + 1
                self.assertLessEqual(pipe.carried, allowed + slack)
                self.assertGreaterEqual(pipe.carried, allowed - 2 * slack)
                # Where it has time to make up for, the next piece enters at once.
                now = pipe.next_change(now) or now

    def test_late(self):
        """
        What is read late costs no rate, as long as it is a little late.
        """
        pipe = self.pipe(rate=10_000)
        self.assertEqual(self.says.send(b"x" * 10_000), 10_000)
        now = 0.0
        while pipe.carried < 10_000:
            if pipe.wants_to_read(now):
                pipe.read(now)
            pipe.write(now)
            self.heard()
            now += 0.004
        self.assertLess(abs(now - 1.0), 0.03)

    def test_limit(self):
        """
        At the limit it is full, in the middle of a piece, and stays so.
        """
        pipe = self.pipe(limit=7)
        self.says.send(b"0123456789")
        pipe.read(0)
        self.assertFalse(pipe.is_full)
        pipe.write(0)
        pipe.write(1)
        self.assertTrue(pipe.is_full)
        self.assertEqual((pipe.carried, self.heard()), (7, b"0123456"))

    def test_fullSink(self):
        """
        A sink that takes no more stops the source in the end; then all arrives.
        """
        pipe = self.pipe()
        said = heard = 0
        while pipe.wants_to_read(0):
            try:
                said += self.says.send(b"x" * 50_000)
            except BlockingIOError:
                pass
            pipe.read(0)
            pipe.write(0)
        self.assertLess(said, 10_000_000)
        self.says.close()
        while not pipe.finished:
            heard += len(self.heard() or b"")
            if pipe.wants_to_read(0):
                pipe.read(0)
            pipe.write(0)
        while octets := self.heard():
            heard += len(octets)
        self.assertEqual((heard, pipe.carried), (said, said))

    def test_sinkGone(self):
        """
        Without its sink it loses what comes, and is finished at the source's end.
        """
        pipe = self.pipe()
        self.hears.close()
        for _ in range(2):
            self.says.send(b"x")
            pipe.read(0)
            pipe.write(0)
        self.assertFalse(pipe.finished)
        self.assertFalse(pipe.wants_to_write(0))
        self.says.close()
        pipe.read(0)
        self.assertTrue(pipe.finished)
        self.assertEqual(pipe.carried, 0)
