"""
`extretr.embedded`: what is served when nothing is told.
"""

import email
import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.embedded import SAMPLE_OCTETS, Embedded, data_folder, sample
from extretr.server.accounts import parse_line


class EmbeddedTests(SynchronousTestCase):
    """
    One account, one Maildir, made once.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()) / "extretr"

    def test_made(self):
        """
        The first run makes an account and a Maildir with the sample, for the user only.
        """
        embedded = Embedded(self.folder)
        user, account = parse_line((self.folder / "users").read_bytes())
        self.assertEqual(user, b"demo")
        self.assertEqual(account, ("PLAIN", embedded.password))
        self.assertGreaterEqual(len(embedded.password), 16)
        (message,) = (embedded.maildir / "new").iterdir()
        self.assertEqual(message.read_bytes(), sample())
        for path, mode in [(self.folder, 0o700), (self.folder / "users", 0o600)]:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode)

    def test_kept(self):
        """
        A later run keeps the password and the mail, deleted or not.
        """
        first = Embedded(self.folder)
        (message,) = (first.maildir / "new").iterdir()
        message.unlink()
        second = Embedded(self.folder)
        self.assertEqual(second.password, first.password)
        self.assertEqual(list((second.maildir / "new").iterdir()), [])

    def test_brokenAccount(self):
        """
        A users file that is no account any more is made anew.
        """
        Embedded(self.folder)
        (self.folder / "users").write_text("nonsense\n")
        embedded = Embedded(self.folder)
        _, account = parse_line((self.folder / "users").read_bytes())
        self.assertEqual(account.hash, embedded.password)

    def test_anotherPasswordEachTime(self):
        """
        No two installations share a password.
        """
        other = Embedded(Path(self.mktemp()))
        self.assertNotEqual(Embedded(self.folder).password, other.password)

    def test_sample(self):
        """
        The sample is a MIME message of some megabytes, always the same.
        """
        self.assertEqual(sample(), sample())
        message = email.message_from_bytes(sample())
        _, attachment = message.get_payload()
        self.assertEqual(len(attachment.get_payload(decode=True)), SAMPLE_OCTETS)
        self.assertIn(b"\n.. and", sample())

    def test_advice(self):
        """
        The advice names server, account, and how to resume.
        """
        embedded = Embedded(self.folder)
        advice = embedded.advice("127.0.0.1", 8110)
        self.assertIn(f"-u demo:{embedded.password}", advice)
        self.assertIn('-X "RETR 1 1000000" pop3://127.0.0.1:8110/', advice)

    def test_folder(self):
        """
        The folder follows the XDG base directories; a relative one is ignored.
        """
        self.patch(os, "environ", {"XDG_DATA_HOME": "/data", "HOME": "/home/bob"})
        self.assertEqual(data_folder(), Path("/data/extretr"))
        for relative in ("", "data"):
            os.environ["XDG_DATA_HOME"] = relative
            self.assertEqual(data_folder(), Path("/home/bob/.local/share/extretr"))
