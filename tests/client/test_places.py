"""
Where things are kept, and what is said of it.
"""

from twisted.trial.unittest import SynchronousTestCase

from extretr.client.places import placed


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
