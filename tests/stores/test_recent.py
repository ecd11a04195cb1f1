"""
`extretr.stores.recent`: what was read of files that have not changed.
"""

import os

from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import recent
from extretr.stores.recent import Recent
from extretr.stores.settled import SETTLED


class RecentTests(SynchronousTestCase):
    """
    A file is read again only where it may have changed.
    """

    def setUp(self):
        self.path = os.fsencode(self.mktemp())
        self.now = 1000.0
        self.reads = 0
        self.recent = Recent(lambda: self.now)
        self.write(b"one", 900)

    def write(self, octets, when):
        with open(self.path, "wb") as file:
            file.write(octets)
        os.utime(self.path, (when, when))
        # Nobody can set the time of a change of the inode.
        self.now = os.stat(self.path).st_ctime + SETTLED + 1

    def read(self):
        self.reads += 1
        with open(self.path, "rb") as file:
            return {b"octets": file.read()}

    def get(self):
        return self.recent.get(self.path, self.read)[b"octets"]

    def test_unchanged(self):
        """
        What has not changed is read once, and whoever gets it gets a copy.
        """
        for _ in range(3):
            found = self.recent.get(self.path, self.read)
            self.assertEqual(found, {b"octets": b"one"})
            found.clear()
        self.assertEqual(self.reads, 1)

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
        What was changed just now may change again within the same tick of the clock.
        """
        self.now -= 1.5
        self.get()
        self.get()
        self.assertEqual(self.reads, 2)
        self.now += 1.5
        self.get()
        self.get()
        self.assertEqual(self.reads, 3)

    def test_nothing(self):
        """
        What could not be read is tried again; what is not there is an OSError.
        """
        for _ in range(2):
            self.assertIsNone(self.recent.get(self.path, lambda: None))
        os.unlink(self.path)
        self.assertRaises(FileNotFoundError, self.get)

    def test_bounded(self):
        """
        Large contents are not kept, and of many those that were used last.
        """
        self.patch(recent, "MOST_OF_ONE", 1000)
        self.patch(recent, "MOST_OF_ALL", 2500)
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
