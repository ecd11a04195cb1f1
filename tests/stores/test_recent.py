"""
`extretr.stores.recent`: what was read of files that have not changed.
"""

import os

from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import recent
from extretr.stores.recent import BESIDES, Recent
from extretr.stores.settled import SETTLED


class RecentTests(SynchronousTestCase):
    """
    A file is read again only where it may have changed.
    """

    def setUp(self):
        self.path = os.fsencode(self.mktemp())
        self.now = 1000.0
        self.reads = 0
        #: How often the file was changed; nothing where there is no telling.
        self.changes = b""
        self.asked = 0
        self.recent = Recent(self.changesOf, lambda: self.now)
        self.write(b"one", 900)

    def changesOf(self, path):
        self.assertEqual(path, self.path)
        self.asked += 1
        return self.changes

    def write(self, octets, when):
        with open(self.path, "wb") as file:
            file.write(octets)
        os.utime(self.path, (when, when))
        # Nobody can set the time of a change of the inode.
        self.now = os.stat(self.path).st_ctime + SETTLED + 1

    def get(self):
        """
        Give what is in the file, read where that is not known.
        """
        kept = self.recent.look(self.path)
        if kept.packed is not None:
            return kept.packed
        self.reads += 1
        with open(self.path, "rb") as file:
            octets = file.read()
        self.recent.keep(self.path, kept, octets)
        return octets

    def test_unchanged(self):
        """
        What has not changed is read once, and never asked how often it has.
        """
        for _ in range(3):
            self.assertEqual(self.get(), b"one")
        self.assertEqual((self.reads, self.asked), (1, 0))

    def test_changed(self):
        """
        What has changed is read again: by its time, its length, or as another file.
        """
        self.get()
        self.write(b"two", 901)
        self.assertEqual(self.get(), b"two")
        self.write(b"three", 901)
        self.assertEqual(self.get(), b"three")
        before = os.stat(self.path)
        os.rename(self.path, self.path + b".old")
        self.write(b"other", 901)
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(self.get(), b"other")

    def test_notSettled(self):
        """
        What was changed just now may change again within the same tick of the clock:
        where nothing tells whether it has it is read again.
        """
        self.now -= 1.5
        self.get()
        self.get()
        self.assertEqual(self.reads, 2)
        self.now += 1.5
        self.get()
        self.get()
        self.assertEqual(self.reads, 3)

    def test_counted(self):
        """
        Where something does it is read once for each change, though it looks the same.
        """
        self.now -= 1.5
        self.patch(recent, "state_of", lambda status: (1, 2, 3, 4, 5))
        for changes, octets in ((b"1", b"one"), (b"2", b"two"), (b"3", b"six")):
            now = self.now
            self.write(octets, 900)
            self.now, self.changes = now, changes
            for _ in range(3):
                self.assertEqual(self.get(), octets)
        self.assertEqual(self.reads, 3)

    def test_countedWhileRead(self):
        """
        What changes while it is read is read again.
        """
        self.now -= 1.5
        self.changes = b"1"
        kept = self.recent.look(self.path)
        self.changes = b"2"
        self.recent.keep(self.path, kept, b"cut")
        self.assertEqual(self.get(), b"one")

    def test_settles(self):
        """
        Once it was left alone, and was then found the same, its state tells enough.
        """
        self.now -= 1.5
        self.changes = b"1"
        self.get()
        self.get()
        self.assertEqual(self.asked, 2)
        self.now += 1.5
        for _ in range(3):
            self.get()
        self.assertEqual((self.reads, self.asked), (1, 3))

    def test_settledWithAnother(self):
        """
        What changed in the meantime, within the same tick, is not what was read.
        """
        self.now -= 1.5
        self.changes = b"1"
        self.patch(recent, "state_of", lambda status: (1, 2, 3, 4, 5))
        self.get()
        self.now += 1.5
        self.changes = b"2"
        self.get()
        self.assertEqual(self.reads, 2)

    def test_nothing(self):
        """
        What could not be read is tried again; what is not there is an OSError.
        """
        for _ in range(2):
            self.assertIsNone(self.recent.look(self.path).packed)
        os.unlink(self.path)
        self.assertRaises(FileNotFoundError, self.get)

    def test_listed(self):
        """
        What was made of the contents stays with them, and goes with them.
        """
        self.get()
        kept = self.recent.look(self.path)
        self.recent.keep(self.path, kept, b"uno", b"listed")
        again = self.recent.look(self.path)
        self.assertEqual((again.packed, again.listed), (b"uno", b"listed"))
        self.assertEqual(self.recent._octets, len(b"uno" + b"listed") + BESIDES)
        self.write(b"two", 901)
        self.assertIsNone(self.recent.look(self.path).listed)
        self.assertEqual(self.recent._octets, 0)

    def test_late(self):
        """
        Who read a file that has changed since does no harm.
        """
        kept = self.recent.look(self.path)
        self.write(b"two", 901)
        self.get()
        self.recent.keep(self.path, kept, b"one", b"listed")
        self.assertEqual(self.get(), b"two")

    def test_bounded(self):
        """
        Large contents are not kept, and of many those that were used last.
        """
        self.patch(recent, "MOST_OF_ONE", 1000)
        self.patch(recent, "MOST_OF_ALL", 2500 + 2 * BESIDES)
        self.write(b"x" * 1001, 900)
        self.get()
        self.get()
        self.assertEqual(self.reads, 2)
        paths = []
        for number in range(3):
            self.path = os.fsencode(self.mktemp())
            self.write(b"%d" % number * 900, 900)
            paths.append(self.path)
        for path, reads in zip(paths[:2] + paths, (1, 1, 0, 0, 1), strict=True):
            self.path, self.reads = path, 0
            self.get()
            self.assertEqual(self.reads, reads)
        self.path, self.reads = paths[0], 0
        self.get()
        self.assertEqual(self.reads, 1)
