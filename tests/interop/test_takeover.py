"""
The session lock between real processes, and under clients that really vanish.

The clients are in a network namespace of their own, so that a link can be taken down
between them and the server: no FIN, no RST, just silence.  That takes root.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import program, suite_of
from tests.interop.running import environment

test_suite = suite_of(__name__)

#: Seconds after which something that should have happened will not.
PATIENCE = 25.0

#: Seconds that a login waits for a sign of life of the holder.
TAKEOVER_AFTER = 3.0

#: The same, where waiting for it would fail the test.
FOREVER = 60.0

IN_USE = "[IN-USE] maildrop is in use by another session"

PEERS = [sys.executable, "-m", "tests.interop.lock_peers"]
CLIENT = [sys.executable, "-m", "tests.interop.lock_client"]


class Running:
    """
    A program that runs, and the lines that it has printed.
    """

    def __init__(self, case, command):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._case = case
        self.lines = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._came:
                self.lines.append(line.rstrip("\n"))
                self._came.notify_all()

    def expect(self, *lines):
        """
        Wait until all of *lines* were printed, in whatever order.
        """
        with self._came:
            if not self._came.wait_for(lambda: set(lines) <= set(self.lines), PATIENCE):
                self._case.fail(f"{lines} did not come, but {self.lines}")

    def starting(self, start):
        """
        Wait for a line that begins with a word, and give the other.
        """

        def found():
            return [line for line in self.lines if line.startswith(start)]

        with self._came:
            if not self._came.wait_for(found, PATIENCE):
                self._case.fail(f"{start} did not come, but {self.lines}")
            return found()[0].split()[1]

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """
        End the program, whatever state it is in.
        """
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class ProcessTests(SynchronousTestCase):
    """
    Two processes that want the same maildrop.
    """

    def setUp(self):
        self.path = os.path.abspath(self.mktemp())

    def holder(self, lives="silent", takeover_after=FOREVER):
        command = [*PEERS, "holder", self.path, str(takeover_after), lives]
        running = Running(self, command)
        self.addCleanup(running.end)
        return running

    def first(self, lives="silent"):
        running = self.holder(lives)
        running.expect("held")
        return running

    def test_killed(self):
        """
        The maildrop of a process that was killed is free at once, though nobody has
        taken note of its end yet.
        """
        first = self.first("lives")
        first.signal(signal.SIGKILL)
        second = self.holder()
        second.expect("held")
        self.assertNotIn("challenged", second.lines)

    def test_killedMeanwhile(self):
        """
        Where it is killed while a login waits, that login gets it.
        """
        first = self.first()
        second = self.holder()
        first.expect("challenged")
        self.assertEqual(second.lines, [])
        first.signal(signal.SIGKILL)
        second.expect("held")

    def test_stopped(self):
        """
        A process that is stopped loses the lock; once continued it finds that out, and
        nothing that it wants to do under the lock is done.
        """
        first = self.first("lives")
        first.tell("act")
        first.expect("acted")
        # Who is stopped in the middle of what it does under the lock keeps the lock.
        first.tell("idle")
        first.expect("idle")
        first.signal(signal.SIGSTOP)
        second = self.holder(takeover_after=TAKEOVER_AFTER)
        second.expect("held")
        first.tell("act")
        self.assertEqual(first.lines, ["held", "acted", "idle"])
        first.signal(signal.SIGCONT)
        first.expect("lost", "evicted")
        self.assertEqual(first.lines.count("acted"), 1)
        # Nor does it take anything away from the second as it goes.
        first.tell("release")
        first.expect("released")
        second.tell("act")
        second.expect("acted")
        self.assertNotIn("evicted", second.lines)

    def test_living(self):
        """
        A holder that lives keeps the lock, and the second is told so.
        """
        first = self.first("lives")
        second = self.holder()
        second.expect(IN_USE)
        first.expect("challenged")
        first.tell("act")
        first.expect("acted")
        self.assertNotIn("evicted", first.lines)

    def test_silent(self):
        """
        A process that lives, whose client does not, gives the lock up.
        """
        first = self.first()
        second = self.holder(takeover_after=TAKEOVER_AFTER)
        second.expect("held")
        first.expect("challenged", "evicted")
        first.tell("act")
        first.expect("lost")

    def test_released(self):
        """
        A lock that is released while a login waits is that login's.
        """
        first = self.first()
        second = self.holder()
        first.expect("challenged")
        first.tell("release")
        second.expect("held")

    def test_many(self):
        """
        Of many that come at once, when the holder is silent, one alone has the lock.
        """
        first = self.first()
        others = [self.holder("lives", TAKEOVER_AFTER) for _ in range(4)]
        first.expect("evicted")
        deadline = time.monotonic() + PATIENCE
        while not all(other.lines for other in others):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        said = sorted(
            line for other in others for line in other.lines if line != "challenged"
        )
        self.assertEqual(said, [IN_USE, IN_USE, IN_USE, "held"])


def run(*command):
    subprocess.run(command, check=True)


class VanishTests(SynchronousTestCase):
    """
    Clients whose link goes down, between two network namespaces.
    """

    def setUp(self):
        self.ip = program("ip")
        self.server_side = f"extretr-{os.getpid()}-server"
        self.client_side = f"extretr-{os.getpid()}-client"
        for side in (self.server_side, self.client_side):
            run(self.ip, "netns", "add", side)
            self.addCleanup(run, self.ip, "netns", "delete", side)
        pair = ["type", "veth", "peer", "name", "there", "netns", self.client_side]
        run(self.ip, "link", "add", "here", "netns", self.server_side, *pair)
        # From the range for tests between networks (RFC 2544), seen by nobody else.
        for side, link, address in (
            (self.server_side, "here", "198.18.0.1/30"),
            (self.client_side, "there", "198.18.0.2/30"),
        ):
            run(self.ip, "-netns", side, "address", "add", address, "dev", link)
            for each in ("lo", link):
                run(self.ip, "-netns", side, "link", "set", each, "up")
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        self.server = self.within(
            self.server_side, [*PEERS, "server", folder, str(TAKEOVER_AFTER)]
        )
        self.port = self.server.starting("port")

    def within(self, side, command):
        running = Running(self, [self.ip, "netns", "exec", side, *command])
        self.addCleanup(running.end)
        return running

    def remote(self, *lines):
        """
        Start a client at the other end of the link.
        """
        command = [*CLIENT, "198.18.0.1", self.port, *lines]
        return self.within(self.client_side, command)

    def local(self, *lines):
        """
        Start a client that needs no link.
        """
        return self.within(self.server_side, [*CLIENT, "127.0.0.1", self.port, *lines])

    def unplug(self):
        run(self.ip, "-netns", self.client_side, "link", "set", "there", "down")

    def test_living(self):
        """
        A client that is stopped has a kernel that acknowledges: it keeps its maildrop,
        idle as it is, whereas one whose link is down loses it.
        """
        first = self.remote("LOGIN first idle")
        first.expect("+OK")
        first.signal(signal.SIGSTOP)
        # Longer than the lock waits: what was acknowledged before does not count.
        time.sleep(TAKEOVER_AFTER)
        second = self.local("LOGIN second idle")
        second.expect("-ERR " + IN_USE)
        self.assertNotIn("first evicted", self.server.lines)
        self.unplug()
        # Nobody is evicted without a new login.
        time.sleep(TAKEOVER_AFTER)
        self.assertNotIn("first evicted", self.server.lines)
        third = self.local("LOGIN third idle")
        third.expect("+OK")
        self.server.expect("first evicted", "first gone")
        self.assertNotIn("second evicted", self.server.lines)

    def test_transfer(self):
        """
        A client that fetches keeps its maildrop, and loses it where its link goes down
        on the way.
        """
        first = self.remote("LOGIN first busy", "RETR")
        first.expect("+OK", "much")
        second = self.local("LOGIN second busy")
        second.expect("-ERR " + IN_USE)
        self.unplug()
        third = self.local("LOGIN third busy")
        third.expect("+OK")
        self.server.expect("first evicted", "first gone")

    def test_closed(self):
        """
        A client that is killed has a kernel that says so: the next one need not wait.
        """
        first = self.remote("LOGIN first gone")
        first.expect("+OK")
        first.signal(signal.SIGKILL)
        self.server.expect("first gone")
        second = self.local("LOGIN second gone")
        second.expect("+OK")
        self.assertNotIn("first evicted", self.server.lines)
