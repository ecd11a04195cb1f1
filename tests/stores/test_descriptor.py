"""
`extretr.stores.descriptor`: a message's file by its bare descriptor.
"""

import os

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.interfaces import IWholeFile
from extretr.stores.descriptor import StoredFile


class StoredFileTests(SynchronousTestCase):
    """
    It reads, seeks, and closes once.
    """

    octets = bytes(range(256)) * 20000

    def setUp(self):
        self.path = self.mktemp()
        with open(self.path, "wb") as file:
            file.write(self.octets)

    def open(self):
        self.descriptor = os.open(self.path, os.O_RDONLY)
        return StoredFile(self.descriptor)

    def is_open(self):
        try:
            os.fstat(self.descriptor)
        except OSError:
            return False
        return True

    def test_interface(self):
        """
        It provides IWholeFile.
        """
        with self.open() as file:
            verifyObject(IWholeFile, file)

    def test_read(self):
        """
        It gives as many octets as were asked for, or all, and none at the end.
        """
        with self.open() as file:
            self.assertEqual(file.read(3), b"\0\1\2")
            self.assertEqual(file.read(0), b"")
            self.assertTrue(file.read() == self.octets[3:])
            self.assertEqual(file.read(3), b"")

    def test_seek(self):
        """
        It goes to any octet, forth and back.
        """
        with self.open() as file:
            for position in (1000, 5):
                file.seek(position)
                self.assertEqual(file.read(1), self.octets[position : position + 1])

    def test_closedOnce(self):
        """
        Closing twice closes nobody else's descriptor; a closed file does not read.
        """
        file = self.open()
        file.close()
        other = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, other)
        self.assertEqual(other, self.descriptor)
        file.close()
        del file
        self.assertTrue(self.is_open())
        closed = self.open()
        closed.close()
        self.assertRaises(OSError, closed.read, 1)

    def test_forgotten(self):
        """
        One that nobody closes is closed when nobody has it any more.
        """
        file = self.open()
        self.assertTrue(self.is_open())
        del file
        self.assertFalse(self.is_open())
