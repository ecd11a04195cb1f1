"""
`extretr.embedded`: what is served when nothing is told.
"""

import email
import os
import shlex
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

    def test_edited(self):
        """
        Accounts that the user has changed or added stay; where the password is not
        known any more, curl is told to ask for it.
        """
        first = Embedded(self.folder)
        for text, password in [
            ("# mine\nbob:{PLAIN}x\ndemo:{PLAIN}mine:1:1\n", "mine"),
            ("demo:{PLAIN}it is mine\nbob:{PLAIN}x\n", "it is mine"),
            ("demo:{ARGON2ID}$argon2id$x\n", None),
            ("demo:{PLAIN}\n", None),
            ("nonsense\xff\n", None),
        ]:
            first.users.write_text(text, "latin-1")
            embedded = Embedded(self.folder)
            self.assertEqual(embedded.password, password)
            self.assertEqual(embedded.users.read_text("latin-1"), text)
            account = "-u demo" if password is None else f"-u demo:{password}"
            self.assertIn(
                account, [" ".join(each[2:4]) for each in self.typed(embedded, True)]
            )

    def test_cutShort(self):
        """
        A first run that ends in the middle is made up for by the next.
        """
        self.patch(Path, "rename", self.fail)
        self.assertRaises(self.failureException, Embedded, self.folder)
        self.assertFalse((self.folder / "mail" / "demo").exists())
        self.flushLoggedErrors()
        self.patch(Path, "rename", Path.replace)
        (message,) = (Embedded(self.folder).maildir / "new").iterdir()
        self.assertEqual(message.read_bytes(), sample())

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

    def typed(self, embedded, shown):
        """
        Give the words of each curl command of the advice.
        """
        lines = embedded.advice(8110, shown).splitlines()
        return [shlex.split(line) for line in lines if line.startswith("  curl ")]

    def test_advice(self):
        """
        The advice names server, account, and how to resume.
        """
        embedded = Embedded(self.folder)
        advice = embedded.advice(8110, shown=True)
        self.assertIn(f"-u demo:{embedded.password}", advice)
        self.assertIn('-X "RETR 1 1000000" pop3://127.0.0.1:8110/', advice)

    def test_notShown(self):
        """
        Where the password must not be shown, curl takes it from a file of the user's
        own, which follows the account.
        """
        Embedded(self.folder)
        (self.folder / "users").write_text("demo:{PLAIN}other\n")
        embedded = Embedded(self.folder)
        self.assertNotIn("other", embedded.advice(8110, shown=False))
        for command in self.typed(embedded, shown=False):
            self.assertEqual(command[2:4], ["--netrc-file", str(self.folder / "netrc")])
        netrc = self.folder / "netrc"
        self.assertEqual(
            netrc.read_text(), "machine 127.0.0.1 login demo password other\n"
        )
        self.assertEqual(stat.S_IMODE(netrc.stat().st_mode), 0o600)

    def test_folder(self):
        """
        The folder follows the XDG base directories; a relative one is ignored.
        """
        self.patch(os, "environ", {"XDG_DATA_HOME": "/data", "HOME": "/home/bob"})
        self.assertEqual(data_folder(), Path("/data/extretr"))
        for relative in ("", "data"):
            os.environ["XDG_DATA_HOME"] = relative
            self.assertEqual(data_folder(), Path("/home/bob/.local/share/extretr"))
