"""
Connections that are cut at random octets, hundreds of them, and resumed.
"""

import random
import socket

from twisted.trial.unittest import SynchronousTestCase

from extretr.wire import Decoder
from tests import models
from tests.interop import suite_of
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

CUTS = 150


class Wire:
    """
    A client as plain as can be: a socket, and lines of the server's.
    """

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=30)
        self.buffer = b""
        self.line()

    def line(self):
        while b"\r\n" not in self.buffer:
            octets = self.socket.recv(65536)
            if not octets:
                raise ConnectionError("closed")
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def command(self, text):
        self.socket.sendall(text + b"\r\n")
        line = self.line()
        if not line.startswith(b"+OK"):
            raise ConnectionError(line)
        return line

    def login(self):
        self.command(b"USER alice")
        self.command(b"PASS secret")
        return self


class ChaosTests(SynchronousTestCase):
    """
    Whatever is cut, the copy is identical in the end.
    """

    def message(self, noise, line_end):
        """
        Make an awkward message of some megabytes.
        """
        lines = []
        while sum(map(len, lines)) < 3_000_000:
            kind = noise.randrange(6)
            if kind == 0:
                lines.append(b"." * noise.randrange(1, 4))
            elif kind == 1:
                lines.append(
                    b"." + noise.randbytes(noise.randrange(20000)).hex().encode()
                )
            elif kind == 2:
                lines.append(b"")
            elif kind == 3:
                lines.append(b"caf\xe9\0\r x")
            else:
                lines.append(b"y" * noise.randrange(200000))
        return line_end.join(lines)

    def fetch(self, port, noise, whole):
        """
        Fetch by cuts and resumes, and give the copy and the number of cuts.
        """
        held, cuts = b"", 0
        while True:
            wire = Wire(port).login()
            offset = len(held) - (held[-1:] == b"\r")
            held = held[:offset]
            status = wire.command(b"RETR 1 %d" % offset)
            self.assertEqual(int(status.split()[1]), len(whole))
            left = noise.randrange(1, len(whole) // 40) if cuts < CUTS else 1 << 30
            decoder = Decoder()
            held += decoder.feed(wire.buffer[:left])
            left -= len(wire.buffer)
            wire.buffer = b""
            while not decoder.finished and left > 0:
                octets = wire.socket.recv(min(left, 65536))
                self.assertTrue(octets, "the server closed in mid-message")
                left -= len(octets)
                held += decoder.feed(octets)
            if decoder.finished:
                wire.command(b"QUIT")
                return held, cuts
            cuts += 1
            # Some vanish with a reset, some in good order.
            if noise.random() < 0.5:
                wire.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )
            wire.socket.close()

    def test_cuts(self):
        """
        Hundreds of cuts, on LF and on CRLF stores: each copy is the message.
        """
        cuts = 0
        for seed, line_end in enumerate((b"\n", b"\r\n")):
            noise = random.Random(seed)
            stored = self.message(noise, line_end)
            whole = models.canonical(stored)
            with RunningServer() as server:
                server.deliver(b"alice", b"1.M1P1.host", stored)
                while True:
                    copy, made = self.fetch(server.port, noise, whole)
                    self.assertTrue(copy == whole, line_end)
                    cuts += made
                    if cuts >= (seed + 1) * CUTS:
                        break
                self.assertNotIn("Traceback", server.log())
        self.assertGreaterEqual(cuts, 2 * CUTS)

    def test_nothingIsDeletedByACut(self):
        """
        f20, g02: RETR, DELE and QUIT in one packet, and a reset: the mail stays.
        """
        with RunningServer() as server:
            path = server.deliver(b"alice", b"1.M1P1.host", b"x\n" * 10_000_000)
            for _ in range(10):
                wire = Wire(server.port).login()
                wire.socket.sendall(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
                wire.socket.recv(1000)
                wire.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )
                wire.socket.close()
            wire = Wire(server.port).login()
            self.assertEqual(wire.command(b"STAT"), b"+OK 1 30000000")
            self.assertTrue(path.exists())
