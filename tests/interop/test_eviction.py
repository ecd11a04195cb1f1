"""
A client whose link goes down in a download gets in again, and resumes.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.wire import Decoder
from tests import models
from tests.certificates import for_loopback
from tests.interop import program, suite_of
from tests.interop.running import PATIENCE, ROOT, RunningServer
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

#: Seconds that a login waits for a sign of life of the other session.
TAKEOVER_AFTER = 4

#: From the range for tests between networks (RFC 2544), seen by nobody else; each
#: process has four of its own, for some may run at once.
_FIRST = os.getpid() % 2**14 * 4
SERVER, CLIENT = (f"198.18.{_FIRST >> 8}.{(_FIRST & 255) + each}" for each in (1, 2))


class EvictionTests(SynchronousTestCase):
    """
    The whole server, and a client at the other end of a cable.
    """

    def setUp(self):
        self.ip = program("ip")
        self.side = f"extretr-{os.getpid()}-far"
        self.run_ip("netns", "add", self.side)
        self.addCleanup(self.run_ip, "netns", "delete", self.side)
        near = f"extretr{os.getpid()}"[:15]
        pair = ["type", "veth", "peer", "name", "far", "netns", self.side]
        self.run_ip("link", "add", near, *pair)
        self.run_ip("address", "add", f"{SERVER}/30", "dev", near)
        self.run_ip("link", "set", near, "up")
        self.run_ip("-netns", self.side, "address", "add", f"{CLIENT}/30", "dev", "far")
        self.run_ip("-netns", self.side, "link", "set", "far", "up")
        options = [
            "--listen",
            f"tcp:0:interface={SERVER}",
            "--allow-plaintext",
            "--takeover-after",
            str(TAKEOVER_AFTER),
            "--certificate",
            self.pem(),
        ]
        self.server = RunningServer(options=options)
        self.addCleanup(self.server.stop)

    def pem(self):
        path = Path(self.mktemp()).resolve()
        path.write_bytes(for_loopback().certificate + for_loopback().key)
        return str(path)

    def run_ip(self, *arguments):
        subprocess.run([self.ip, *arguments], check=True)

    def far_client(self, *commands):
        """
        Start a client in the other namespace, and wait until it has got much.
        """
        script = ROOT / "tests" / "interop" / "lock_client.py"
        client = subprocess.Popen(
            [
                *(self.ip, "netns", "exec", self.side, sys.executable, str(script)),
                *(SERVER, str(self.server.port)),
                *(command + "\r" for command in commands),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait, PATIENCE)
        self.addCleanup(client.kill)
        for line in client.stdout:
            if line == "much\n":
                return client
        raise AssertionError("the client was not served")

    def cut_off(self, *before):
        """
        Have the client's link go down while mail is sent to it.
        """
        commands = (*before, "USER alice", "PASS secret", "DELE 2", "RETR 1")
        client = self.far_client(*commands)
        # It reads no more, but its kernel is alive still: the maildrop is its own.
        client.send_signal(signal.SIGSTOP)
        with self.assertRaisesRegex(ConnectionError, "IN-USE"):
            Wire(self.server.port, SERVER).login()
        self.run_ip("-netns", self.side, "link", "set", "far", "down")

    def test_underTLS(self):
        """
        So it is where the session had gone over to TLS.
        """
        self.server.deliver(b"alice", b"1.a", b"0123456789abcdef\n" * 2_000_000)
        self.server.deliver(b"alice", b"2.a", b"Subject: stays\n\nx\n")
        self.cut_off("STLS")
        wire = Wire(self.server.port, SERVER).login()
        self.assertEqual(wire.command(b"STAT").split()[1], b"2")
        self.server.wait_for_log("another session took the maildrop over")

    def test_resume(self):
        """
        The link goes down in RETR, without a FIN: the next login takes the maildrop
        over and resumes; what the lost session had marked as deleted is there.
        """
        self.check_resumed(b"0123456789abcdef\n" * 4_000_000)

    def test_straightFromTheFile(self):
        """
        So it is where the kernel sends the message, which is stored as it is sent.
        """
        self.check_resumed(b"0123456789abcdef\r\n" * 4_000_000)

    def check_resumed(self, stored):
        """
        Lose a session in RETR, take its maildrop over, and get the rest.
        """
        whole = models.canonical(stored)
        self.server.deliver(b"alice", b"1.a", stored)
        self.server.deliver(b"alice", b"2.a", b"Subject: stays\n\nx\n")
        self.cut_off()
        wire = Wire(self.server.port, SERVER).login()
        self.assertEqual(wire.command(b"STAT").split()[1], b"2")
        offset = 10_000_000
        wire.command(b"RETR 1 %d" % offset)
        decoder = Decoder()
        rest = [decoder.feed(wire.buffer)]
        while not decoder.finished:
            rest.append(decoder.feed(wire.socket.recv(1 << 20)))
        self.assertTrue(whole[:offset] + b"".join(rest) == whole)
        self.server.wait_for_log("another session took the maildrop over")
        wire.buffer = b""
        wire.command(b"QUIT")
