"""
`extretr.message`: a measured message, open at any offset.
"""

import os
from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import MessageChanged, OffsetOverrun, SplitLineEnd
from extretr.interfaces import ISeekableMessage
from extretr.message import STEP, SeekableMessage, measuring
from extretr.stores.descriptor import StoredFile
from tests import models
from tests.test_offsets import measure


class SeekableMessageTests(SynchronousTestCase):
    """
    A message opens at an offset.
    """

    stored = b"H: h\n\n.line\nlast"

    def setUp(self):
        self.files = []
        self.message = SeekableMessage(measure(self.stored), self.open)

    def open(self):
        self.files.append(BytesIO(self.stored))
        return self.files[-1], lambda: True

    def test_interface(self):
        """
        It provides ISeekableMessage.
        """
        verifyObject(ISeekableMessage, self.message)

    def test_everyOffset(self):
        """
        At each offset the file stands at the position, and so many octets are left.
        """
        whole = models.canonical(self.stored)
        self.assertEqual(self.message.size, len(whole))
        for offset in range(len(whole) + 1):
            if not models.accepted(whole, offset):
                self.assertRaises(SplitLineEnd, self.message.openAt, offset)
                continue
            opened = self.message.openAt(offset)
            rest = opened.file.read()
            self.assertEqual(len(rest), opened.left)
            self.assertEqual(opened.position.seek, len(self.stored) - len(rest))

    def test_refusalClosesTheFile(self):
        """
        Where the offset is refused nothing stays open.
        """
        self.assertRaises(OffsetOverrun, self.message.openAt, 9999)
        self.assertRaises(SplitLineEnd, self.message.openAt, self.message.size - 1)
        self.assertTrue(all(file.closed for file in self.files))

    def test_changed(self):
        """
        What the opener refuses is refused.
        """

        def refuse():
            raise MessageChanged

        message = SeekableMessage(measure(self.stored), refuse)
        self.assertRaises(MessageChanged, message.openAt, 0)


class MeasuringTests(SynchronousTestCase):
    """
    A file is measured in steps.
    """

    def test_steps(self):
        """
        Each full step ends a turn; a small file takes none.
        """
        for length, turns in ((0, 0), (10, 0), (STEP, 1), (STEP * 3 + 1, 3)):
            results = []
            file = BytesIO(b"x" * length)
            steps = list(measuring(file, results.append))
            self.assertEqual(len(steps), turns)
            self.assertEqual(results, [measure(b"x" * length)])
            self.assertTrue(file.closed)

    def test_givenUp(self):
        """
        Steps that are given up close the file and give no result.
        """
        results = []
        file = BytesIO(b"x" * STEP * 2)
        steps = measuring(file, results.append)
        next(steps)
        steps.close()
        self.assertTrue(file.closed)
        self.assertEqual(results, [])

    def test_goesOn(self):
        """
        Who measures a file that another gave up goes on where that one stood.
        """
        stored = b"0123456\n" * (STEP // 2)
        reads = []

        class File(BytesIO):
            def identity(self):
                return "the same"

            def read(self, count=-1):
                reads.append(self.tell())
                return super().read(count)

        results = []
        for begun in range(3):
            steps = measuring(File(stored), results.append)
            for _ in range(begun):
                next(steps)
            steps.close()
        self.assertEqual(results, [])
        list(measuring(File(stored), results.append))
        self.assertEqual(results, [measure(stored)])
        self.assertEqual(reads[:4], [0, STEP, STEP * 2, STEP * 3])
        reads.clear()
        list(measuring(File(stored), results.append))
        self.assertEqual(reads[0], 0)

    def test_changedMeanwhile(self):
        """
        A file that was written to while it was measured is measured from its beginning
        by the next one, even if nobody has come to its end.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"0123456\n" * STEP)
        results = []
        steps = measuring(StoredFile(os.open(path, os.O_RDONLY)), results.append)
        next(steps)
        with open(path, "r+b") as file:
            file.write(b"01\n\n\n\n\n\n")
        os.utime(path, (1, 1))
        steps.close()
        list(measuring(StoredFile(os.open(path, os.O_RDONLY)), results.append))
        with open(path, "rb") as file:
            self.assertEqual(results, [measure(file.read())])
