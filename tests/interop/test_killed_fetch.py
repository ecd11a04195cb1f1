"""
``extretr fetch`` killed at any step: no message is lost, doubled or truncated.
"""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import suite_of
from tests.interop.fetching import START, Fetcher, in_maildir, in_mbox
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

MESSAGES = {
    b"1": b"Subject: one\n\n.dot\nFrom here\n",
    b"2": b"Subject: two\r\n\r\n" + b"line of text\r\n" * 40_000,
    b"3": b"",
    b"4": b"Subject: four\n\n>From there\nno end",
    b"5": b"Subject: five\n\n" + b"another line\n" * 30_000,
}

#: The fetch in which a process kills itself instead of its n-th change of a file.
SUICIDE = """
import faulthandler, os, signal

faulthandler.enable()
left = int(os.environ["KILLED_AT"])

def killing(function):
    def call(*arguments, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call

for name in ("fsync", "fdatasync", "rename", "replace", "unlink", "ftruncate", "write",
             "pwrite", "truncate", "link", "open", "mkdir"):
    setattr(os, name, killing(getattr(os, name)))
import extretr.client.journal
journal = extretr.client.journal.Journal
for name in ("intend", "settle"):
    setattr(journal, name, killing(getattr(journal, name)))
"""


class KilledCase(SynchronousTestCase):
    """
    A server, and fetchers that come to a sudden end.
    """

    def setUp(self):
        self.server = RunningServer()
        self.addCleanup(self.server.stop)
        self.count = 0

    def fetcher(self, kind):
        """
        Fill the maildrop, and give a fetcher that was never run.
        """
        for name, stored in MESSAGES.items():
            self.server.deliver(b"alice", name, stored)
        self.count += 1
        folder = Path(self.mktemp())
        url = f"pop3://alice@127.0.0.1:{self.server.port}"
        return Fetcher(folder, url, f"{kind}:mail", "--delete")

    def check(self, fetcher, what):
        mail = fetcher.home / "mail"
        if fetcher.to.startswith("mbox"):
            found = in_mbox(mail, fetcher.home / "reader")
        else:
            found = in_maildir(mail)
        expected = sorted(map(models.canonical, MESSAGES.values()))
        self.assertEqual(len(found), len(expected), what)
        self.assertTrue(found == expected, what)
        left = list((self.server.maildir(b"alice") / "new").iterdir())
        self.assertEqual(left, [], what)
        self.assertEqual(list((fetcher.state / "partials").iterdir()), [], what)

    def start_killed(self, fetcher, at):
        """
        Run a fetch that is killed at its n-th change; tell whether it made as many.
        """
        process = fetcher.start(command=SUICIDE + START, KILLED_AT=str(at))
        try:
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # Where it stands is what one has to know.
            process.send_signal(signal.SIGABRT)
            _, errors = process.communicate()
            self.fail(f"{at}: {errors.decode()}\n{self.server.log()}")
        self.assertIn(process.returncode, (0, -9), errors)
        return process.returncode != 0

    def kill_at_each(self, kind):
        for at in range(1, 1000):
            fetcher = self.fetcher(kind)
            killed = self.start_killed(fetcher, at)
            fetcher.run()
            self.check(fetcher, at)
            if not killed:
                break
        return at


class EachStepTests(KilledCase):
    """
    Killed before each change of a file.
    """

    def test_maildir(self):
        """
        Into a Maildir each message comes once, wherever the process was killed.
        """
        self.assertGreater(self.kill_at_each("maildir"), 40)

    def test_mbox(self):
        """
        So it does into an mbox.
        """
        self.assertGreater(self.kill_at_each("mbox"), 30)

    def test_agent(self):
        """
        A delivery agent gets each message at least once, and whole.
        """
        expected = sorted(map(models.canonical, MESSAGES.values()))
        doubled = 0
        for at in range(1, 1000):
            fetcher = self.fetcher("mda")
            agent = "cat > got.$$ && mv got.$$ mail.$$"
            to = fetcher.arguments.index("mda:mail")
            fetcher.arguments[to] = f"mda:{agent}"
            killed = self.start_killed(fetcher, at)
            fetcher.run()
            found = [
                models.canonical(path.read_bytes())
                for path in fetcher.home.glob("mail.*")
            ]
            self.assertTrue(sorted(set(found)) == expected, at)
            doubled += len(found) - len(expected)
            left = list((self.server.maildir(b"alice") / "new").iterdir())
            self.assertEqual(left, [], at)
            if not killed:
                break
        self.assertGreater(at, 20)
        # Nothing less can be promised.
        self.assertGreater(doubled, 0)


class OutputTests(KilledCase):
    """
    Killed in the middle of what it writes to the standard output.
    """

    def read(self, fetcher, octets):
        mail = fetcher.home / "mail"
        mail.write_bytes(octets)
        return in_mbox(mail, fetcher.home / "reader")

    def test_anywhere(self):
        """
        Each message comes at least once, and whole; of one at most comes a part as
        well, the last that was written.
        """
        expected = sorted(map(models.canonical, MESSAGES.values()))
        size = sum(map(len, expected))
        dice = random.Random("output")
        halves = 0
        for turn in range(12):
            fetcher = self.fetcher("mbox")
            fetcher.arguments[fetcher.arguments.index("mbox:mail")] = "-"
            process = fetcher.start()
            # It waits for its reader, and so does not come much further.
            written = process.stdout.read(dice.randrange(size))
            process.kill()
            written += process.stdout.read()
            process.communicate(timeout=60)
            before = self.read(fetcher, written)
            after = self.read(fetcher, fetcher.run())
            parts = [each for each in before if each not in expected]
            self.assertLessEqual(len(parts), 1, turn)
            for part in parts:
                begin = part.removesuffix(b"\r\n")
                self.assertTrue(any(each.startswith(begin) for each in expected), turn)
            whole = [each for each in before if each in expected] + after
            self.assertEqual(set(after) - set(expected), set(), turn)
            self.assertTrue(sorted(set(whole)) == expected, turn)
            left = list((self.server.maildir(b"alice") / "new").iterdir())
            self.assertEqual(left, [], turn)
            halves += len(parts)
        self.assertGreater(halves, 0)


class AnyTimeTests(KilledCase):
    """
    Killed at any time, again and again.
    """

    def kill_often(self, kind, times):
        dice = random.Random(kind)
        for turn in range(times):
            fetcher = self.fetcher(kind)
            for _ in range(6):
                process = fetcher.start()
                time.sleep(dice.uniform(0.15, 0.6))
                process.kill()
                process.communicate()
            fetcher.run()
            self.check(fetcher, turn)

    def test_maildir(self):
        """
        Into a Maildir each message comes once.
        """
        self.kill_often("maildir", 8)

    def test_mbox(self):
        """
        So it does into an mbox.
        """
        self.kill_often("mbox", 8)


class SignalTests(KilledCase):
    """
    Asked to stop, and not killed.
    """

    def test_terminated(self):
        """
        SIGINT and SIGTERM leave a partial, a clear line and status 75, and the next run
        goes on from there.
        """
        for number in (2, 15):
            fetcher = self.fetcher("maildir")
            large = b"Subject: large\n\n" + b"x" * 40 * 1024 * 1024
            self.server.deliver(b"alice", b"6", large)
            process = fetcher.start("--limit-rate", "4M")
            self.wait_for_partial(fetcher, 1024 * 1024)
            os.kill(process.pid, number)
            output, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 75, output + errors)
            self.assertIn(b"stopped", errors)
            events = fetcher.events()
            (resumed,) = [one for one in events if one.get("resumed_at")][-1:]
            self.assertGreater(resumed["resumed_at"], 1024 * 1024)
            found = in_maildir(fetcher.home / "mail")
            expected = [*MESSAGES.values(), large]
            self.assertTrue(found == sorted(map(models.canonical, expected)))

    def test_idle(self):
        """
        One that waits for its next round, or for a password, ends at once without a
        word too many: with the status of the last round, or 75.
        """
        for number in (2, 15):
            fetcher = self.fetcher("maildir")
            process = fetcher.start("--every", "1h", "--json")
            while b'"finished"' not in process.stdout.readline():
                pass
            self.assertEnds(process, number, 0, b"")
            fetcher = self.fetcher("maildir")
            waiting = "touch asked; exec sleep 600"
            process = fetcher.start("--passwordeval", waiting)
            while not (fetcher.home / "asked").exists():
                time.sleep(0.01)
            self.assertEnds(process, number, 75, rb"\S+: stopped; .+\n")

    def assertEnds(self, process, number, status, said):
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, errors)
        self.assertTrue(re.fullmatch(said, errors), errors)

    def wait_for_partial(self, fetcher, octets):
        state = fetcher.home / "state"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for file in state.glob("extretr/fetch/*/*/*.part"):
                try:
                    if file.stat().st_size > octets:
                        return
                except FileNotFoundError:
                    # One of the other messages, that is delivered now.
                    pass
            time.sleep(0.001)
        self.fail("nothing is held")
