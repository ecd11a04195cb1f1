"""
A real server that is reloaded and stopped by signals.
"""

import signal
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import suite_of
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

#: More than the buffers of both kernels hold.
LONG = b"Subject: long\n\n" + (b"x" * 900 + b"\n") * 20_000


class RunningTests(SynchronousTestCase):
    """
    Signals to ``twistd extretr run``.
    """

    def server(self, *options, **more):
        server = RunningServer(options=options, **more)
        self.addCleanup(server.stop)
        return server

    def signal(self, server, number):
        server._process.send_signal(number)

    def exit_status(self, server):
        return server._process.wait(PATIENCE)

    def begin_long(self, server):
        """
        Begin to receive a long message.
        """
        server.deliver(b"alice", b"1.a", LONG)
        wire = Wire(server.port).login()
        wire.socket.sendall(b"RETR 1\r\n")
        self.assertTrue(wire.line().startswith(b"+OK"))
        return wire

    def read_long(self, wire):
        octets = bytearray(wire.buffer)
        while not octets.endswith(b"\r\n.\r\n"):
            more = wire.socket.recv(1 << 20)
            self.assertTrue(more)
            octets += more
        wire.buffer = b""
        return octets.count(b"\n") - 1

    def read_to_end(self, wire):
        while wire.socket.recv(1 << 20):
            pass

    def test_reload(self):
        """
        SIGHUP reads the users again and says so; sessions go on.
        """
        server = self.server()
        wire = Wire(server.port).login()
        users = server.folder / "users"
        users.write_text("alice:{PLAIN}secret\nbob:{PLAIN}other\n")
        self.signal(server, signal.SIGHUP)
        server.wait_for_log(f"reloaded: users file {users} (2 accounts)")
        users.unlink()
        self.signal(server, signal.SIGHUP)
        server.wait_for_log("cannot be reloaded, it stays as it was: No such file")
        wire.command(b"NOOP")

    def test_stop(self):
        """
        SIGTERM ends a server without transfers at once, with status 0; an idle session
        is closed without a word.
        """
        server = self.server("--stop-after", "600")
        wire = Wire(server.port).login()
        time.sleep(2.5)
        self.signal(server, signal.SIGTERM)
        self.assertEqual(self.exit_status(server), 0)
        self.assertEqual(wire.socket.recv(100), b"")
        self.assertIn("the server was stopped", server.log())

    def test_transfer(self):
        """
        A transfer that runs ends, its client may delete the message and say QUIT, and
        nobody else gets in meanwhile.
        """
        server = self.server("--stop-after", "600")
        wire = self.begin_long(server)
        early = Wire(server.port)
        self.signal(server, signal.SIGTERM)
        server.wait_for_log("stopping: 2 sessions, 1 of them")
        early.socket.sendall(b"USER alice\r\n")
        self.assertIn(b"[SYS/TEMP]", early.line())
        self.assertRaises(ConnectionRefusedError, Wire, server.port)
        self.assertEqual(self.read_long(wire), LONG.count(b"\n"))
        wire.command(b"DELE 1")
        wire.command(b"QUIT")
        self.assertEqual(self.exit_status(server), 0)
        self.assertEqual(list((server.maildir(b"alice") / "new").iterdir()), [])

    def test_tooLong(self):
        """
        A transfer that takes longer than it gets is cut.
        """
        server = self.server("--stop-after", "1")
        wire = self.begin_long(server)
        self.signal(server, signal.SIGTERM)
        self.assertEqual(self.exit_status(server), 0)
        self.assertRaises(OSError, self.read_to_end, wire)
        self.assertEqual(len(list((server.maildir(b"alice") / "new").iterdir())), 1)

    def test_twice(self):
        """
        A second SIGTERM cuts it at once.
        """
        server = self.server("--stop-after", "600")
        wire = self.begin_long(server)
        self.signal(server, signal.SIGTERM)
        server.wait_for_log("stopping: 1 sessions")
        self.assertRaises(subprocess.TimeoutExpired, server._process.wait, 1)
        self.signal(server, signal.SIGTERM)
        self.assertEqual(self.exit_status(server), 0)
        self.assertRaises(OSError, self.read_to_end, wire)
