"""
`extretr.interrupted`: what was being measured when its client hung up.
"""

import os
from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase

from extretr import interrupted
from extretr.interrupted import Interrupted, identity_of
from extretr.offsets import Measurer
from extretr.stores.descriptor import StoredFile


class InterruptedTests(SynchronousTestCase):
    """
    Measurers are found again by the files that they were reading.
    """

    def opened(self, path):
        file = StoredFile(os.open(path, os.O_RDONLY))
        self.addCleanup(file.close)
        return file

    def written(self, octets):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(octets)
        return path

    def keep(self, kept, path, measurer):
        file = self.opened(path)
        kept.keep(file, measurer, file.identity())

    def test_again(self):
        """
        The same file goes on where it was given up, once.
        """
        kept = Interrupted()
        path = self.written(b"one\ntwo\n")
        measurer = Measurer()
        measurer.feed(b"one\n")
        self.keep(kept, path, measurer)
        file = self.opened(path)
        self.assertIs(kept.take(file), measurer)
        self.assertEqual(file.read(9), b"two\n")
        self.assertIsNot(kept.take(self.opened(path)), measurer)

    def test_changed(self):
        """
        One that has changed since is measured from its beginning.
        """
        kept = Interrupted()
        path = self.written(b"one\ntwo\n")
        measurer = Measurer()
        measurer.feed(b"one\n")
        self.keep(kept, path, measurer)
        os.utime(path, (1, 1))
        file = self.opened(path)
        self.assertEqual(kept.take(file).stored, 0)
        self.assertEqual(file.read(9), b"one\ntwo\n")

    def test_nameless(self):
        """
        A file that does not tell what it is is not remembered.
        """
        kept = Interrupted()
        file = BytesIO(b"one\n")
        measurer = Measurer()
        kept.keep(file, measurer, identity_of(file))
        self.assertIsNot(kept.take(file), measurer)

    def test_bounded(self):
        """
        Of too many the oldest is forgotten.
        """
        self.patch(interrupted, "MOST", 2)
        kept = Interrupted()
        measurers = [Measurer() for _ in range(3)]
        paths = [self.written(b"a\n") for _ in measurers]
        for path, measurer in zip(paths, measurers, strict=True):
            self.keep(kept, path, measurer)
        taken = [kept.take(self.opened(path)) for path in paths]
        self.assertIsNot(taken[0], measurers[0])
        self.assertEqual(taken[1:], measurers[1:])
