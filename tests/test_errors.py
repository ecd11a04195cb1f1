"""
`extretr.errors`: one family, and what a client is told.
"""

from twisted.trial.unittest import SynchronousTestCase

from extretr import errors


class RefusalTests(SynchronousTestCase):
    """
    A refusal carries its answer.
    """

    def test_replies(self):
        """
        The codes and texts are those of the draft, section 3, and of RFC 2449.
        """
        for kind, reply in [
            (errors.OffsetOverrun, b"[OFFSET-OVERRUN] message exists"),
            (errors.NoSuchMessage, b"[NON-EXISTENT] no such message"),
            (errors.InUse, b"[IN-USE] maildrop is in use by another session"),
            (errors.BadSyntax, b"bad argument"),
        ]:
            self.assertEqual(kind().reply, reply)
            self.assertEqual(str(kind()), reply.decode())

    def test_nothingElseGoesOut(self):
        """
        Whatever an exception was made with, its reply is the fixed one, and short.
        """
        for kind in vars(errors).values():
            if isinstance(kind, type) and issubclass(kind, errors.Refusal):
                self.assertNotIn(b"/secret", kind("/secret").reply)
                self.assertLess(len(kind().reply), 400)

    def test_oneRoot(self):
        """
        Everything that is raised on purpose can be caught by one name.
        """
        for name, kind in vars(errors).items():
            if isinstance(kind, type) and kind.__module__ == errors.__name__:
                self.assertTrue(issubclass(kind, errors.ExtRetrError), name)
