"""
``extretr password``: a line for the users file.
"""

import io
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from extretr.cli import main, password
from extretr.server.accounts import parse_line
from extretr.server.schemes import SCHEMES


class Terminal(io.StringIO):
    """
    A standard input that a person sits at.
    """

    def isatty(self):
        return True


class PasswordTests(SynchronousTestCase):
    """
    The command.
    """

    def call(self, *arguments, stdin=b"hush\n", typed=None):
        self.output, self.errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.output)
        self.patch(sys, "stderr", self.errors)
        if typed is None:
            self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        else:
            answers = iter(typed)
            self.patch(sys, "stdin", Terminal())
            self.patch(password.getpass, "getpass", lambda prompt: next(answers))
        try:
            return main(["password", *arguments])
        except SystemExit as leaving:
            return leaving.code

    def test_line(self):
        """
        With a user it prints the line that the users file takes, by default Argon2id.
        """
        self.assertEqual(self.call("bob@example.org"), 0)
        user, account = parse_line(self.output.getvalue().encode())
        self.assertEqual((user, account.scheme), (b"bob@example.org", "ARGON2ID"))
        self.assertTrue(SCHEMES["ARGON2ID"].verify(b"hush", account.hash))

    def test_everyScheme(self):
        """
        Each scheme, by its name in any case, makes what it verifies.
        """
        for scheme in SCHEMES:
            self.assertEqual(self.call("--scheme", scheme.lower(), "bob"), 0)
            _, account = parse_line(self.output.getvalue().encode())
            self.assertEqual(account.scheme, scheme)
            self.assertTrue(SCHEMES[scheme].verify(b"hush", account.hash))

    def test_withoutUser(self):
        """
        Without a user it prints the hash alone.
        """
        self.assertEqual(self.call("--scheme", "PLAIN"), 0)
        self.assertEqual(self.output.getvalue(), "{PLAIN}hush\n")

    def test_onATerminal(self):
        """
        On a terminal it asks twice, and refuses where the two differ.
        """
        self.assertEqual(self.call("--scheme", "PLAIN", typed=["a", "a"]), 0)
        self.assertEqual(self.output.getvalue(), "{PLAIN}a\n")
        self.assertEqual(self.call("--scheme", "PLAIN", typed=["a", "b"]), 1)
        self.assertEqual(self.output.getvalue(), "")
        self.assertIn("not the same", self.errors.getvalue())

    def test_refused(self):
        """
        What the file or the scheme cannot hold is one line, and status 1.
        """
        for arguments, stdin in [
            (("bob",), b""),
            (("bob",), b"\n"),
            (("bob",), b"a\0b\n"),
            (("a:b",), b"hush\n"),
            (("#bob",), b"hush\n"),
            (("",), b"hush\n"),
            (("--scheme", "PLAIN", "bob"), b"a:b\n"),
            (("--scheme", "BLF-CRYPT", "bob"), b"x" * 73 + b"\n"),
        ]:
            self.assertEqual(self.call(*arguments, stdin=stdin), 1, arguments)
            self.assertEqual(self.errors.getvalue().count("\n"), 1)
            self.assertEqual(self.output.getvalue(), "")

    def test_usage(self):
        """
        Wrong usage is the status of sysexits.h; --help and --version are 0.
        """
        self.assertEqual(self.call("--scheme", "ROT13", "bob"), os.EX_USAGE)
        self.assertEqual(self.call("--help"), 0)
        self.assertIn("examples:", self.output.getvalue())
        self.assertRaises(SystemExit, main, ["--version"])
        self.assertRaises(SystemExit, main, [])
