"""
Where things are kept, and what is said of it.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.client import places
from extretr.client.places import make_folder, placed


class PlacedTests(SynchronousTestCase):
    """
    Errors of the disk, which know too little.
    """

    def fail_with(self, error):
        with placed("here"):
            raise error

    def test_placed(self):
        """
        An error that names no file is told where it happened; others are left alone.
        """
        for error, filename in [
            (OSError(28, "full"), "here"),
            (OSError(28, "full", "there"), "there"),
            (OSError("made by us"), None),
        ]:
            raised = self.assertRaises(OSError, self.fail_with, error)
            self.assertEqual(raised.filename, filename)
        self.assertRaises(ValueError, self.fail_with, ValueError())


class FolderTests(SynchronousTestCase):
    """
    Folders that are made.
    """

    def test_synced(self):
        """
        Each that is made is synced in the one that it is in; one that is there is not.
        """
        synced = []
        self.patch(places, "sync_folder", synced.append)
        root = Path(self.mktemp())
        root.mkdir()
        for _ in range(2):
            make_folder(root / "a" / "b")
            self.assertTrue((root / "a" / "b").is_dir())
        self.assertEqual(synced, [root, root / "a"])
