"""
``extretr fetch`` at a terminal: the question for the password, bars, Ctrl-C.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import suite_of
from tests.interop.fetching import START, in_maildir
from tests.interop.running import PATIENCE, RunningServer, environment

test_suite = suite_of(__name__)

MESSAGE = b"Subject: large\n\n" + b"x" * 63 * 1024 * 48


class Terminal:
    """
    A terminal with a fetch in it.
    """

    def __init__(self, home, columns, *arguments):
        self.master, slave = os.openpty()
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "fetch", *arguments],
            cwd=home,
            env=environment(
                HOME=str(home), XDG_STATE_HOME=str(home / "state"), TERM="xterm"
            ),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # What Ctrl-C goes to, and what the password is asked for at.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def type(self, octets):
        os.write(self.master, octets)

    def wait_for(self, pattern):
        """
        Read until something is there.
        """
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.said):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(self.said[-1000:].decode())

    def end(self):
        """
        Give the exit status, when all is read.
        """
        while self._read(PATIENCE):
            pass
        os.close(self.master)
        return self.process.wait(PATIENCE)

    def _read(self, timeout):
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            octets = os.read(self.master, 65536)
        except OSError:
            # So a terminal says that nobody has it any more.
            return False
        self.said += octets
        return bool(octets)


class TerminalTests(SynchronousTestCase):
    """
    A message that takes some seconds.
    """

    def setUp(self):
        self.server = RunningServer()
        self.addCleanup(self.server.stop)
        self.server.deliver(b"alice", b"1", MESSAGE)
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir()

    def fetch(self, *options, columns=100):
        url = f"pop3://alice@127.0.0.1:{self.server.port}"
        terminal = Terminal(self.home, columns, url, "--to", "maildir:mail", *options)
        self.addCleanup(terminal.process.kill)
        return terminal

    def test_plugPulled(self):
        """
        The password is asked for, and not shown; Ctrl-C leaves what is held, and the
        next run says beside its bar where it goes on.
        """
        slowly = self.fetch("--limit-rate", "500K")
        slowly.wait_for(rb"Password for alice at 127.0.0.1: ")
        slowly.type(b"secret\n")
        slowly.wait_for(rb"message 1 .*m[12]\.\d/3\.1 MB")
        slowly.type(b"\x03")
        self.assertEqual(slowly.end(), 75, slowly.said)
        self.assertIn(b"stopped; what is held is kept", slowly.said)
        again = self.fetch("--limit-rate", "1M", columns=160)
        again.wait_for(rb"Password")
        again.type(b"secret\n")
        again.wait_for(rb"resumed at \d\d %, \S+ [kM]B saved")
        self.assertEqual(again.end(), 0, again.said)
        for terminal in (slowly, again):
            self.assertNotIn(b"secret", terminal.said)
            self.assertNotIn(b"Traceback", terminal.said)
            # The cursor that the bars have hidden is there again.
            hidden = terminal.said.rindex(b"\x1b[?25l")
            self.assertIn(b"\x1b[?25h", terminal.said[hidden:])
        self.assertEqual(len(in_maildir(self.home / "mail")), 1)

    def test_atTheQuestion(self):
        """
        Ctrl-C ends the question for the password at once, in clear words.
        """
        terminal = self.fetch()
        terminal.wait_for(rb"Password for ")
        terminal.type(b"\x03")
        self.assertEqual(terminal.end(), 75, terminal.said)
        self.assertRegex(
            terminal.said, rb"127\.0\.0\.1: \r\n\S+: stopped; [^\r]+\r\n\Z"
        )

    def test_narrow(self):
        """
        On a narrow terminal too, no line is wider than it.
        """
        terminal = self.fetch("--passwordeval", "echo secret", columns=40)
        self.assertEqual(terminal.end(), 0, terminal.said)
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", terminal.said).decode()
        lines = re.split(r"[\r\n]+", plain)
        self.assertLessEqual(max(map(len, lines)), 40, lines)
