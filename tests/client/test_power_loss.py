"""
The power goes in the middle of a fetch: journal, partials, target and server together.
"""

import os
import random
import re
import sqlite3
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from twisted.internet.error import ConnectionLost

from extretr.client import download, journal, partial
from extretr.stores import maildir_append
from extretr.stores.line_ends import LineEnds
from extretr.stores.maildir_append import MaildirAppender
from extretr.stores.mbox_append import MboxAppender
from extretr.stores.mbox_lock import MailboxLocks
from tests.client.fetching import FetchCase
from tests.client.network import Cut, Network, canonical
from tests.client.power import Disk
from tests.interop.fetching import in_maildir, in_mbox
from tests.stores.mboxes import Crash

MESSAGES = {
    b"uid-1": b"Subject: one\n\none\n.dot\n",
    b"uid-2": b"Subject: two\n\n" + b"From a long one\n" * 12 + b"\r\r\n",
    b"uid-3": b"Subject: three\n\nFrom three\n",
    b"uid-4": b"Subject: four\n\n\nfour",
}


class NotSyncing(sqlite3.Connection):
    """
    SQLite as it is where the disk takes no time: its own care is not what is tested.
    """

    def execute(self, query, *arguments):
        return super().execute(query.replace("= FULL", "= OFF"), *arguments)


class PowerLossCase(FetchCase):
    messages = MESSAGES
    #: How often each point is tried, each time with another disk.
    seeds = 3

    def setUp(self):
        super().setUp()
        connect = sqlite3.connect
        self.patch(
            sqlite3, "connect", lambda path, **more: connect(path, factory=NotSyncing)
        )
        # The second message goes to a partial, which is synced as it grows.
        self.patch(download, "SPILL", 100)
        self.patch(download, "OVERLAP", 10)
        self.patch(download, "SYNC_EVERY", 0.0)
        self.patch(maildir_append, "SLOW", float("inf"))
        self.patch(journal, "_open", self.opened(journal._open))
        self.patch(journal.Journal, "_changing", self.changed())

    def opened(self, original):
        def opens(path):
            database = original(path)
            self.disk.sync_names(os.path.abspath(bytes(path.parent)))
            return database

        return opens

    def changed(self):
        original = journal.Journal._changing

        @contextmanager
        def changing(account):
            self.disk.step()
            with original(account) as database:
                yield database
            # SQLite syncs the folder of the file by which it can go back.
            self.disk.sync_names(os.path.abspath(bytes(account.folder)))

        return changing

    def life(self, boot, at=None, cuts=()):
        """
        Run a fetch that ends with a loss of power, or by itself; tell which.
        """
        self.patch(partial, "boot", lambda: f"boot {boot}")
        now = self.network.clock.seconds()
        self.network = Network(self.server)
        self.network.clock.advance(now + 1)
        self.network.cuts = list(cuts)
        self.target = self.make_target()
        self.target.batch = 2
        with self.disk.running(at):
            try:
                self.fetch(delete_after=0)
            except Crash:
                pass
        for connection in self.network.connections:
            connection.lose(ConnectionLost)
        return self.disk.crashed

    def begin(self):
        root = Path(tempfile.mkdtemp(dir=self.temporary)).resolve()
        self.root, self.folder = root, root / "state" / "fetch" / "account"
        self.disk = Disk(root)
        self.server = self.make_server()

    def assertHeld(self):
        """
        See that what the server no longer has is on the disk.
        """
        for name in set(MESSAGES) - set(self.server.messages):
            self.assertTrue(self.holds(MESSAGES[name]), name)

    def check(self):
        """
        Lose the power at each change, and once more later; fetch on, and compare.
        """
        self.temporary = Path(self.mktemp())
        self.temporary.mkdir()
        everything = sorted(map(canonical, MESSAGES.values()))
        crashed = 0
        for seed in range(self.seeds):
            for at in count():
                self.begin()
                # The link does not last as long as the second message.
                if not self.life(1, at, [Cut(down=420)]):
                    break
                crashed += 1
                with self.subTest(seed=seed, at=at):
                    dice = random.Random(f"{seed} {at}")
                    self.disk.lose_power(dice.random())
                    self.assertHeld()
                    if self.life(2, dice.choice([None, dice.randrange(60)])):
                        self.disk.lose_power(dice.random())
                        self.assertHeld()
                    self.life(3)
                    self.assertEqual(self.server.messages, {})
                    self.assertEqual(self.delivered(), everything)
                self.disk.close()
            self.disk.close()
            self.assertEqual(self.delivered(), everything)
        return crashed


class MaildirTests(PowerLossCase):
    """
    Into a Maildir.
    """

    def make_target(self):
        clock = self.network.clock
        return MaildirAppender(bytes(self.root / "mail"), wall=clock.seconds)

    def delivered(self):
        mail = self.root / "mail"
        return in_maildir(mail) if (mail / "cur").exists() else []

    def test_everyChange(self):
        """
        Whenever the power goes, no message is lost, none truncated, and none doubled.
        """
        self.assertGreater(self.check(), 50 * self.seeds)

    def holds(self, stored):
        return canonical(stored) in self.delivered()


class MboxTests(PowerLossCase):
    """
    Into an mbox.
    """

    def make_target(self):
        clock = self.network.clock
        locks = MailboxLocks(clock, 5.0, clock.seconds)
        return MboxAppender(bytes(self.root / "mail"), locks, wall=clock.seconds)

    def delivered(self):
        return in_mbox(self.root / "mail", self.temporary / "server")

    def holds(self, stored):
        # What was left by half is not taken out as yet.
        line_ends = LineEnds()
        text = line_ends.feed(canonical(stored)) + line_ends.finish()
        text = re.sub(rb"^(>*From )", rb">\1", text, flags=re.MULTILINE)
        return text in (self.root / "mail").read_bytes()

    def test_everyChange(self):
        """
        Whenever the power goes, no message is lost, none truncated, and none doubled.
        """
        self.assertGreater(self.check(), 50 * self.seeds)
