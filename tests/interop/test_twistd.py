"""
The real twistd: its errors, its log, the embedded default.
"""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.embedded import sample
from tests import models
from tests.interop import program, suite_of
from tests.interop.running import PATIENCE, RunningServer, environment, twistd_command
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)


class TwistdTests(SynchronousTestCase):
    """
    ``twistd extretr run`` as users run it.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def run_twistd(self, *arguments, stdout=subprocess.PIPE):
        return subprocess.run(
            twistd_command(*arguments),
            cwd=self.folder,
            env=environment(XDG_DATA_HOME=str(self.folder / "data")),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=PATIENCE,
        )

    def daemon(self, port, stdout=subprocess.PIPE):
        """
        Start a daemon on a loopback port with no option but that.
        """
        where = f"tcp:{port}:interface=127.0.0.1"
        return self.run_twistd(
            "--logfile=log", "extretr", "run", "-l", where, stdout=stdout
        )

    def test_oneLine(self):
        """
        What is wrong is one line on stderr, and a non-zero exit.
        """
        users = self.folder / "users"
        users.write_text("alice:{PLAIN}secret\n")
        mail = ("--mail", f"maildir:{self.folder}/%u", "--users")
        good = (*mail, str(users), "--listen")
        nowhere = ("--mail", "maildir:/nowhere/%u", "--users")
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            for arguments, says in [
                (("--listen", "tcp:1"), "--listen"),
                (("rum",), "rum"),
                (("run", "--nonsense"), "--nonsense"),
                (("run", *nowhere, str(users)), "/nowhere"),
                (("run", *mail, "/nowhere/users"), "/nowhere/users"),
                (("run", *good, "x:1"), "x:1"),
                (("run", *good, "systemd:domain=INET:index=0"), "systemd"),
                (("run", *good, f"tcp:{port}:interface=127.0.0.1"), "in use"),
                (("run", *good, "unix:/nowhere/socket"), "/nowhere/socket"),
            ]:
                run = self.run_twistd("-n", "--logfile=log", "extretr", *arguments)
                self.assertEqual(run.returncode, 1, run)
                self.assertEqual(run.stdout, "", arguments)
                self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
                self.assertIn(says, run.stderr)
                self.assertFalse((self.folder / "twistd.pid").exists(), arguments)
        self.assertNotIn("Traceback", (self.folder / "log").read_text())

    def test_busyPortOfADaemon(self):
        """
        A daemon that cannot listen tells it to who started it.
        """
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            run = self.daemon(port)
        self.assertEqual(run.returncode, 1)
        self.assertIn(f"Address already in use: tcp:{port}", run.stderr)
        log = (self.folder / "log").read_text()
        self.assertIn(f"cannot listen on tcp:{port}", log)
        self.assertNotIn("Traceback", log)

    def test_embedded(self):
        """
        With no option, what it prints to a terminal can be typed, and does what it
        says; the password is in no log; a second start keeps it.  Where there is no
        terminal, what it prints works just as well, without the password.
        """
        program("curl")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told = []
        for on_terminal in (True, True, False):
            shown = self.use_embedded(port, on_terminal)
            told.append(set(re.findall(r"-u demo:(\S+)", shown)))
            (password,) = told[0]
            self.assertNotIn(password, (self.folder / "log").read_text())
        self.assertEqual(told, [{password}, {password}, set()])
        self.assertNotIn(password, shown)

    def use_embedded(self, port, on_terminal):
        """
        Type what the embedded default says, and give what it said.
        """
        ours, terminal = os.openpty()
        self.addCleanup(os.close, ours)
        run = self.daemon(port, terminal if on_terminal else subprocess.PIPE)
        os.close(terminal)
        self.assertEqual(run.returncode, 0, run)
        try:
            shown = os.read(ours, 10000).decode() if on_terminal else run.stdout
            commands = [
                line.strip()
                for line in shown.splitlines()
                if line.strip().startswith("curl")
            ]
            self.assertEqual(len(commands), 3)
            for command in commands:
                typed = subprocess.run(
                    ["sh", "-c", command],
                    cwd=self.folder,
                    capture_output=True,
                    check=False,
                    text=True,
                    timeout=PATIENCE,
                )
            self.assertEqual(typed.stdout, "same\n", typed)
            part = (self.folder / "part.eml").read_bytes()
            self.assertTrue(part == models.canonical(sample()))
        finally:
            pid = int((self.folder / "twistd.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            while (self.folder / "twistd.pid").exists():
                time.sleep(0.05)
        return shown

    def test_auth(self):
        """
        Twisted's own checkers let in who they know, and nobody else.
        """
        mail = self.folder / "mail"
        mail.mkdir()
        options = ("--auth", "memory:alice:secret:bob:hidden")
        with RunningServer(f"maildir:{mail}/%u", {}, options) as server:
            Wire(server.port).login().command(b"STAT")
            wire = Wire(server.port)
            wire.command(b"USER bob")
            wire.socket.sendall(b"PASS secret\r\n")
            self.assertEqual(wire.line(), b"-ERR [AUTH] Authentication failed")

    def test_log(self):
        """
        Each session is one line in the log: who, whence, what was sent and saved.
        """
        with RunningServer() as server:
            server.deliver(b"alice", b"1.a", b"Subject: x\n\nbody\n")
            wire = Wire(server.port).login()
            wire.command(b"RETR 1 10")
            wire.socket.close()
            log = server.wait_for_log("session of alice from 127.0.0.1 ended")
            self.assertIn("10 saved by resuming", log)
            self.assertNotIn("secret", log)

    def test_slowHashesStallNobody(self):
        """
        While a slow hash is verified, other sessions are answered.
        """
        with RunningServer() as server:
            users = server.folder / "users"
            hashed = subprocess.run(
                [program("openssl"), "passwd", "-6", "-salt", "x", "secret"],
                capture_output=True,
                check=True,
                text=True,
            ).stdout.strip()
            slow = hashed.replace("$6$", "$6$rounds=2000000$")
            users.write_text(f"alice:{{PLAIN}}secret\nbob:{{CRYPT}}{slow}\n")
            busy = Wire(server.port)
            busy.command(b"USER bob")
            busy.socket.sendall(b"PASS wrong\r\n")
            time.sleep(0.1)
            Wire(server.port).login().command(b"STAT")
            # The other is not answered yet: nothing of it can be read.
            busy.socket.setblocking(False)
            self.assertRaises(BlockingIOError, busy.socket.recv, 1)
            busy.socket.settimeout(PATIENCE)
            self.assertEqual(busy.line(), b"-ERR [AUTH] Authentication failed")
