"""
A disk that is full or broken, folders that are gone, an index that is garbage.

Each is a clear -ERR of the real server, or a dropped connection where a response has
begun; when the fault is over, all the mail is there.
"""

import random
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import program, suite_of
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

MESSAGES = [
    b"Subject: one\n\n.dot\n",
    b"Subject: two\r\n\r\n" + b"a line\r\n" * 40_000,
    b"Subject: three\n\nend\n",
]

SYS_TEMP = b"-ERR [SYS/TEMP] "

#: Octets of the file system that can be filled.
SMALL = 2 * 1024 * 1024


class Faults(Wire):
    """
    A client that takes a refusal for an answer.
    """

    def ask(self, text):
        self.socket.sendall(text + b"\r\n")
        return self.line()

    def log_in(self):
        self.ask(b"USER alice")
        return self.ask(b"PASS secret")

    def body(self, number):
        """
        Give the body of a message; None where the connection is dropped within it.
        """
        status = self.ask(b"RETR %d" % number)
        assert status.startswith(b"+OK"), status
        while not (b"\r\n" + self.buffer).endswith(b"\r\n.\r\n"):
            try:
                octets = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not octets:
                return None
            self.buffer += octets
        body, self.buffer = self.buffer, b""
        return body


class FaultCase(SynchronousTestCase):
    """
    A server on a small file system of its own.
    """

    kind = "maildir"
    options = ()

    def setUp(self):
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(parents=True)
        mount = f"mount -t tmpfs -o size={SMALL} none {self.place}"
        self.server = RunningServer(
            f"{self.kind}:{self.place}/mail/%u",
            # A lock that could not be given up is soon taken over.
            options=[
                "--takeover-after=2",
                *(option.format(self.place) for option in self.options),
            ],
            # Seen by nobody else, and gone with the server.
            launcher=[
                *(program("unshare"), "--mount", "sh", "-ec"),
                f'{mount}; mkdir {self.place}/mail; exec "$@"',
                "sh",
            ],
        )
        self.addCleanup(self.server.stop)
        self.clients = []
        self.inside = Path(f"/proc/{self.server.pid}/root{self.place}")
        self.mail = self.inside / "mail" / "alice"
        self.fill()

    def fill(self):
        for folder in ("tmp", "new", "cur"):
            (self.mail / folder).mkdir(parents=True)
        for number, stored in enumerate(MESSAGES, 1):
            (self.mail / "new" / f"{number}.a").write_bytes(stored)

    def within(self, *command):
        """
        Run a command in the server's view of the file systems.
        """
        enter = [program("nsenter"), "--mount", "-t", str(self.server.pid)]
        subprocess.run([*enter, *command], check=True)

    @contextmanager
    def injected(self, calls, error, *options):
        """
        Let system calls of the server fail.
        """
        names = ",".join(f"?{name}" for name in calls.split(","))
        strace = subprocess.Popen(
            [
                *(program("strace"), "-qq", "-o", str(self.place / "trace")),
                *("-e", f"trace={names}", "-e", f"inject={names}:error={error}"),
                *(*options, "-p", str(self.server.pid)),
            ],
        )
        status = Path(f"/proc/{self.server.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while "TracerPid:\t0\n" in status.read_text():
            self.assertIsNone(strace.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        try:
            yield
        finally:
            strace.terminate()
            strace.wait()

    @contextmanager
    def full(self):
        """
        Fill the file system to the last octet.
        """
        ballast = self.inside / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass
        yield
        ballast.unlink()

    def client(self):
        client = Faults(self.server.port)
        self.addCleanup(client.socket.close)
        self.clients.append(client)
        return client

    def logged_in(self):
        client = self.client()
        answer = client.log_in()
        self.assertTrue(answer.startswith(b"+OK"), answer)
        return client

    def refused(self, answer):
        self.assertTrue(answer.startswith(SYS_TEMP), answer)

    def check(self, deleted=()):
        """
        Log in anew, and find all mail but what was deleted.
        """
        while self.clients:
            self.clients.pop().socket.close()
        client = self.logged_in()
        left = [
            stored for number, stored in enumerate(MESSAGES, 1) if number not in deleted
        ]
        self.assertEqual(client.ask(b"STAT").split()[1], b"%d" % len(left))
        for number, stored in enumerate(left, 1):
            expected = models.wire(models.canonical(stored))
            self.assertTrue(client.body(number) == expected, number)
        self.assertTrue(client.ask(b"QUIT").startswith(b"+OK"))


class DiskTests(FaultCase):
    """
    Maildirs, their state in them.
    """

    def test_full(self):
        """
        Where no lock can be written nobody logs in; who is in can read and delete.
        """
        client = self.logged_in()
        with self.full():
            self.refused(self.client().log_in())
            self.assertEqual(client.ask(b"STAT").split()[:2], [b"+OK", b"3"])
            self.assertTrue(client.body(1))
            client.ask(b"DELE 1")
            self.assertTrue(client.ask(b"QUIT").startswith(b"+OK"))
        self.check(deleted=(1,))

    def test_broken(self):
        """
        A file that cannot be read is no message that has changed; in mid-message the
        connection is dropped.
        """
        client = self.logged_in()
        client.ask(b"STAT")
        for error in ("EIO", "EACCES", "EMFILE"):
            with self.injected(
                "openat", error, "-P", f"{self.place}/mail/alice/new/1.a"
            ):
                self.refused(client.ask(b"RETR 1"))
                self.refused(client.ask(b"RETR 1 5"))
                self.refused(client.ask(b"TOP 1 0"))
                self.assertTrue(client.body(3))
        name = f"{self.place}/mail/alice/new/2.a"
        with self.injected("read,pread64", "EIO:when=3", "-P", name):
            self.assertIsNone(client.body(2))
        self.check()

    def test_brokenFromTheBeginning(self):
        """
        A maildrop of which nothing can be read does not look empty.
        """
        client = self.logged_in()
        files = [f"-P{self.place}/mail/alice/new/{number}.a" for number in (1, 2, 3)]
        for error in ("EIO", "EACCES"):
            with self.injected("openat", error, *files):
                self.refused(client.ask(b"STAT"))
                self.refused(client.ask(b"LIST"))
        self.assertEqual(client.ask(b"STAT").split()[:2], [b"+OK", b"3"])
        self.check()

    def test_update(self):
        """
        What cannot be removed is told by QUIT, and still there.
        """
        for calls, error, deleted in (
            ("unlink,unlinkat", "EIO", ()),
            ("unlink,unlinkat", "EACCES", ()),
            ("unlink,unlinkat", "EROFS", ()),
            # The folder could not be synced: they may come back, or not.
            ("fsync", "EIO", (1, 2)),
        ):
            client = self.logged_in()
            client.ask(b"DELE 1")
            client.ask(b"DELE 2")
            with self.injected(calls, error):
                self.refused(client.ask(b"QUIT"))
            self.check(deleted)

    def test_gone(self):
        """
        A Maildir, or the mail root, that is gone is no empty maildrop to who has it
        open, nor is the root to anybody.
        """
        for path in (self.mail, self.mail.parent):
            client = self.logged_in()
            path.rename(path.with_name("away"))
            if path != self.mail:
                self.refused(self.client().log_in())
            self.refused(client.ask(b"RETR 1"))
            client.ask(b"DELE 3")
            self.refused(client.ask(b"QUIT"))
            path.with_name("away").rename(path)
            self.check()

    def test_corrupt(self):
        """
        Whatever the index holds, the mail is served as it is.
        """
        index = self.mail / "extretr" / "index"
        self.check()
        whole = index.read_bytes()
        dice = random.Random(1)
        for turn in range(40):
            octets = bytearray(whole)
            if turn % 4 == 0:
                octets = octets[: dice.randrange(len(octets))]
            elif turn % 4 == 1:
                octets = bytearray(dice.randbytes(len(octets)))
            else:
                for _ in range(1 + turn):
                    octets[dice.randrange(len(octets))] = dice.randrange(256)
            index.write_bytes(octets)
            self.check()
        index.unlink()
        index.mkdir()
        self.check()
        lock = index.with_name("lock")
        for octets in (b"", b"{", b"\0" * 9000, b"[" * 4000):
            lock.write_bytes(octets)
            self.check()


class StateTests(FaultCase):
    """
    Maildirs, their state in a folder of its own.
    """

    options = ("--state", "{}/state")

    def test_readOnly(self):
        """
        Where the state cannot be written nobody logs in, and nothing is deleted.
        """
        client = self.logged_in()
        client.ask(b"DELE 1")
        self.within("mount", "-o", "remount,ro", str(self.place))
        self.refused(client.ask(b"QUIT"))
        self.refused(self.client().log_in())
        self.within("mount", "-o", "remount,rw", str(self.place))
        self.check()

    def test_gone(self):
        """
        A Maildir that is gone when its messages are to be deleted is told by QUIT.
        """
        client = self.logged_in()
        client.ask(b"DELE 1")
        self.mail.rename(self.mail.with_name("away"))
        self.refused(client.ask(b"STAT"))
        self.refused(client.ask(b"QUIT"))
        self.mail.with_name("away").rename(self.mail)
        self.check()


class MboxTests(FaultCase):
    """
    An mbox.
    """

    kind = "mbox"
    options = ("--state", "{}/state")

    def fill(self):
        self.mail.write_bytes(
            b"".join(b"From x Thu Jan  1 00:00:00 1970\n%b\n" % one for one in MESSAGES)
        )

    def delete(self, *numbers):
        client = self.logged_in()
        for number in numbers:
            client.ask(b"DELE %d" % number)
        return client

    def test_full(self):
        """
        Without room for the safety copy nothing is deleted.
        """
        before = self.mail.read_bytes()
        client = self.delete(1)
        with self.full():
            self.refused(self.client().log_in())
            self.refused(client.ask(b"QUIT"))
            self.assertTrue(self.mail.read_bytes() == before)
        self.check()
        self.delete(1).ask(b"QUIT")
        self.check(deleted=(1,))

    def test_broken(self):
        """
        Whatever fails in a rewrite, the next session has all or finishes it.
        """
        for calls, whole in (
            ("pwrite64", "EIO"),
            ("pwrite64", "ENOSPC:when=2+"),
            ("fsync,fdatasync", "EIO:when=2+"),
            ("ftruncate", "EIO"),
            ("rename,renameat", "EIO"),
        ):
            before = self.mail.read_bytes()
            client = self.delete(1)
            with self.injected(calls, whole):
                self.refused(client.ask(b"QUIT"))
            client = self.logged_in()
            count = int(client.ask(b"STAT").split()[1])
            self.assertIn(count, (2, 3))
            client.ask(b"QUIT")
            self.check(deleted=(1,) if count == 2 else ())
            self.mail.write_bytes(before)

    def test_unreadable(self):
        """
        A mailbox that cannot be read is not empty, and in mid-message the connection is
        dropped.
        """
        for error in ("EIO", "EACCES"):
            with self.injected("openat", error, "-P", f"{self.place}/mail/alice"):
                self.refused(self.client().log_in())
        client = self.logged_in()
        with self.injected(
            "read,pread64", "EIO:when=3", "-P", f"{self.place}/mail/alice"
        ):
            self.assertIsNone(client.body(2))
        self.check()

    def test_gone(self):
        """
        A mailbox that is gone during a session is told, and not made anew.
        """
        client = self.delete(1)
        away = self.mail.with_name("away")
        self.mail.rename(away)
        self.assertTrue(client.ask(b"RETR 2").startswith(b"-ERR"))
        self.refused(client.ask(b"QUIT"))
        self.assertFalse(self.mail.exists())
        away.rename(self.mail)
        self.check()
