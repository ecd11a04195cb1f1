"""
The fetch journal.
"""

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.client import journal as module
from extretr.client.journal import (
    FILTERED,
    HEADER,
    REMEMBERED_DAYS,
    WHOLE,
    AlreadyRunningError,
    Delivered,
    Done,
    Intent,
    Journal,
    JournalDamagedError,
)

DAY = 86400.0


class JournalTests(SynchronousTestCase):
    """
    The journal of one account.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()) / "user@host"
        self.now = 1000.0

    def open(self):
        journal = Journal(self.folder, lambda: self.now)
        self.addCleanup(journal.close)
        return journal

    def test_delivered(self):
        """
        What is done with is remembered, with when, and what of it.
        """
        journal = self.open()
        journal.settle([Done(b"a", WHOLE), Done(b"\xff\x00", HEADER)], [])
        self.now = 2000.0
        journal.settle([Done(b"c", FILTERED)], [])
        journal.close()
        self.assertEqual(
            self.open().delivered(),
            {
                b"a": Delivered(1000.0, WHOLE),
                b"\xff\x00": Delivered(1000.0, HEADER),
                b"c": Delivered(2000.0, FILTERED),
            },
        )

    def test_wholeAfterHeader(self):
        """
        A message that is delivered again, whole now, is remembered as that.
        """
        journal = self.open()
        journal.settle([Done(b"a", HEADER)], [])
        self.now = 5000.0
        journal.settle([Done(b"a", WHOLE)], [])
        self.assertEqual(journal.delivered(), {b"a": Delivered(5000.0, WHOLE)})

    def test_intents(self):
        """
        What was intended stays until it is settled, one way or the other.
        """
        journal = self.open()
        intents = [
            Intent(b"a", "maildir:/x", {"name": "1.M2"}),
            Intent(b"b", "maildir:/x", {"length": 5}, HEADER),
            Intent(b"c", "maildir:/x", {}),
        ]
        journal.intend(intents)
        journal.close()
        journal = self.open()
        self.assertEqual(journal.intents(), intents)
        journal.settle([Done(b"a", WHOLE)], [b"b"])
        self.assertEqual(journal.intents(), intents[2:])
        self.assertEqual(list(journal.delivered()), [b"a"])

    def test_oneRun(self):
        """
        There is one run at a time.
        """
        first = self.open()
        self.assertRaises(AlreadyRunningError, self.open)
        first.close()
        self.open().close()
        first.close()

    def test_private(self):
        """
        Nobody else may read it.
        """
        self.open().settle([Done(b"a", WHOLE)], [])
        for path in [self.folder, *self.folder.iterdir()]:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)

    def test_forgets(self):
        """
        What the server has not listed for a long time is forgotten; one look that
        shows nothing is not a long time.
        """
        journal = self.open()
        journal.settle([Done(b"a", WHOLE), Done(b"b", WHOLE), Done(b"c", WHOLE)], [])
        journal.listed({b"a", b"b"})
        journal.listed(set())
        self.now += REMEMBERED_DAYS * DAY - 1
        journal.listed([b"a"])
        self.assertEqual(sorted(journal.delivered()), [b"a", b"b", b"c"])
        self.now += 2
        journal.listed([b"a"])
        self.assertEqual(sorted(journal.delivered()), [b"a"])
        self.now += REMEMBERED_DAYS * DAY * 2
        journal.listed([b"a"])
        self.assertEqual(sorted(journal.delivered()), [b"a"])

    def test_deleted(self):
        """
        What the server has deleted is gone, with the size that it had; until it is
        listed again, or delivered again.
        """
        journal = self.open()
        journal.settle([Done(b"a", WHOLE, 5)], [])
        self.assertEqual(journal.delivered()[b"a"], Delivered(1000.0, WHOLE, 5))
        journal.deleted([b"a", b"never"])
        gone = Delivered(1000.0, WHOLE, 5, True)
        self.assertEqual(journal.delivered(), {b"a": gone})
        journal.listed([])
        self.assertEqual(journal.delivered(), {b"a": gone})
        journal.listed([b"a"])
        self.assertFalse(journal.delivered()[b"a"].gone)
        journal.deleted([b"a"])
        journal.settle([Done(b"a", WHOLE, 7)], [])
        self.assertEqual(journal.delivered()[b"a"], Delivered(1000.0, WHOLE, 7))

    def test_damaged(self):
        """
        A journal that cannot be read is said to be so, and stays as it is.
        """
        self.open().close()
        path = self.folder / "journal"
        damage = os.urandom(8192)
        path.write_bytes(damage)
        with self.assertRaises(JournalDamagedError) as caught:
            self.open()
        self.assertIn(str(path), str(caught.exception))
        self.assertEqual(path.read_bytes(), damage)
        path.unlink()
        self.open().close()

    def test_fullDiskAtFirst(self):
        """
        One that cannot be made, as the disk is full, is not damaged.
        """
        schema = module._SCHEMA
        self.patch(module, "_SCHEMA", "PRAGMA max_page_count = 1;" + schema)
        error = self.assertRaises(OSError, self.open)
        self.assertIn("full", str(error))
        self.patch(module, "_SCHEMA", schema)
        self.open().close()

    def test_fullDisk(self):
        """
        A journal that cannot be written fails as files do, and holds what it held.
        """
        journal = self.open()
        journal.settle([Done(b"a", WHOLE)], [])
        journal._database.execute("PRAGMA max_page_count = 1")
        many = [Done(b"%d" % number * 100, WHOLE) for number in range(1000)]
        self.assertRaises(OSError, journal.settle, many, [])
        self.assertEqual(list(journal.delivered()), [b"a"])
