"""
`extretr.stores.paths`: where a user's mail lies.
"""

from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import UnsafeUser
from extretr.stores.paths import PathTemplate


class PathTemplateTests(SynchronousTestCase):
    """
    A path with a place for the user's name.
    """

    def test_expand(self):
        """
        %u, %n, %d and %% stand for what they say.
        """
        for path, user, expanded in [
            (b"/srv/mail/%u", b"bob", b"/srv/mail/bob"),
            (b"/srv/%d/%n/Maildir", b"bob@a.org", b"/srv/a.org/bob/Maildir"),
            (b"/srv/%u/%u", b"b@a", b"/srv/b@a/b@a"),
            (b"/srv/100%%/%n", b"bob", b"/srv/100%/bob"),
            (b"/var/mail/bob", b"anyone", b"/var/mail/bob"),
            (b"/srv/%u", b"b\xf6b", b"/srv/b\xf6b"),
            (b"/srv/%%(d)s%%u/%n", b"%n", b"/srv/%(d)s%u/%n"),
        ]:
            self.assertEqual(PathTemplate(path).expand(user), expanded)

    def test_unsafe(self):
        """
        No user name leads out of the mail root, nor does one lack what is asked for.
        """
        template = PathTemplate(b"/srv/mail/%u")
        for user in (b"", b"..", b"../x", b"a/b", b".x", b"a\0", b"a@..", b"@a"):
            self.assertRaises(UnsafeUser, template.expand, user)
        self.assertRaises(UnsafeUser, PathTemplate(b"/srv/%d/%n").expand, b"bob")

    def test_root(self):
        """
        The root is the folder that must be there before any user's.
        """
        for path, root in [
            (b"/srv/mail/%u", b"/srv/mail"),
            (b"/srv/mail-%u/x", b"/srv"),
            (b"/%u", b"/"),
            (b"%u", b"."),
            (b"/srv/100%%/%d/%n", b"/srv/100%"),
            (b"/srv/mail", b"/srv/mail"),
        ]:
            self.assertEqual(PathTemplate(path).root, root)

    def test_unknown(self):
        """
        Any other sequence is an error that names it.
        """
        for path, name in ((b"/srv/%h", "%h"), (b"/srv/%", "%"), (b"/%U", "%U")):
            error = self.assertRaises(ValueError, PathTemplate, path)
            self.assertIn(name, str(error))

    def test_empty(self):
        """
        So is no path at all.
        """
        self.assertRaises(ValueError, PathTemplate, b"")
