"""
Accounts to fetch, from a file and from the command line.
"""

import argparse
import io
import os
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from extretr.client.config import (
    Account,
    ConfigError,
    Target,
    account_from_flags,
    add_settings,
    config_path,
    load_accounts,
)
from extretr.client.settings import SETTINGS

URL = "pop3s://alice@mail.example.org"


class FlagsTests(SynchronousTestCase):
    """
    An account from the command line alone.
    """

    def parse(self, *arguments):
        parser = argparse.ArgumentParser(prog="fetch")
        add_settings(parser)
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)
        return parser.parse_args(arguments)

    def account(self, url, *arguments):
        return account_from_flags(url, self.parse("--to", "/m/", *arguments))

    def refused(self, *arguments):
        self.assertRaises(SystemExit, self.parse, *arguments)
        return self.errors.getvalue()

    def test_least(self):
        """
        A URL and a target are enough; nothing is deleted by itself.
        """
        self.assertEqual(
            self.account(URL),
            Account(
                name=URL,
                tls="implicit",
                host="mail.example.org",
                port=995,
                user="alice",
                to=Target("maildir", Path("/m")),
            ),
        )
        self.assertIsNone(self.account(URL).delete_after)
        self.assertFalse(self.account(URL).plaintext)

    def test_all(self):
        """
        Each setting is an option.
        """
        given = {
            "passwordeval": "pass x",
            "netrc": "/n",
            "auth": "plain",
            "ca_file": "/c",
            "delete_after": "2d",
            "max_size": "1K",
            "oversize": "headers",
            "filter": "f",
            "line_ends": "crlf",
            "timeout": "5",
            "limit_rate": "2K",
            "attempts": "3",
            "partial_days": "4",
        }
        options = [
            word
            for key, value in given.items()
            for word in ("--" + key.replace("_", "-"), value)
        ]
        account = self.account(URL, *options, "--plaintext", "--no-resume")
        self.assertEqual(
            account,
            Account(
                name=URL,
                tls="implicit",
                host="mail.example.org",
                port=995,
                user="alice",
                to=Target("maildir", Path("/m")),
                passwordeval="pass x",
                netrc=Path("/n"),
                auth="plain",
                plaintext=True,
                ca_file=Path("/c"),
                delete_after=2.0,
                max_size=1024,
                oversize="headers",
                filter="f",
                line_ends="crlf",
                resume=False,
                timeout=5.0,
                limit_rate=2048,
                attempts=3,
                partial_days=4,
            ),
        )
        self.assertEqual(
            {*given, "to", "plaintext", "resume"}, {each.key for each in SETTINGS}
        )

    def test_plaintext(self):
        """
        In clear goes nothing, but to this machine or where it is asked for.
        """
        for url, arguments, plaintext in [
            ("pop3://a@h", [], False),
            ("pop3://a@h", ["--plaintext"], True),
            ("pop3://a@127.0.0.1:8110", [], True),
            ("pop3://a@localhost", ["--no-plaintext"], False),
            ("pop3s://a@localhost", [], False),
        ]:
            self.assertEqual(self.account(url, *arguments).plaintext, plaintext, url)

    def test_shortcuts(self):
        """
        Whether messages are deleted has words of its own; the last one holds.
        """
        self.assertEqual(self.account(URL, "--delete").delete_after, 0.0)
        self.assertIsNone(self.account(URL, "--delete", "--keep").delete_after)
        options = ["--keep", "--delete-after", "1d"]
        self.assertEqual(self.account(URL, *options).delete_after, 1.0)

    def test_relative(self):
        """
        Relative paths begin at the working folder.
        """
        options = self.parse("--to", "mbox:in", "--netrc", "n")
        account = account_from_flags(URL, options)
        self.assertEqual(account.to.path, Path.cwd() / "in")
        self.assertEqual(account.netrc, Path.cwd() / "n")

    def test_notGiven(self):
        """
        What is not given leaves no trace.
        """
        self.assertEqual(vars(self.parse()), {})

    def test_bad(self):
        """
        A bad value is told of with its option, and what is allowed.
        """
        text = self.refused("--max-size", "big")
        self.assertIn("argument --max-size: must be", text)
        self.assertIn("10M", text)
        self.assertIn("argument --to: must be maildir:", self.refused("--to", "mh:x"))

    def test_password(self):
        """
        A password on the command line is refused, and never taken for a command.
        """
        for arguments in [
            ("--password", "hush"),
            ("--password=hush",),
            ("--password",),
        ]:
            text = self.refused(*arguments)
            self.assertIn("use --passwordeval", text)
            self.assertNotIn("hush", text)
        self.assertIn("ambiguous", self.refused("--pass", "hush"))

    def test_badUrl(self):
        """
        A bad URL is a ConfigError that shows no part of it.
        """
        for url in ("pop3s://alice:hush@h", "hush"):
            error = self.assertRaises(ConfigError, self.account, url)
            self.assertNotIn("hush", str(error))

    def test_noTarget(self):
        """
        Where mail goes must be said.
        """
        error = self.assertRaises(ConfigError, account_from_flags, URL, self.parse())
        self.assertIn("--to", str(error))

    def test_help(self):
        """
        The help names each option but the one that is refused.
        """
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertRaises(SystemExit, self.parse, "--help")
        for setting in SETTINGS:
            self.assertIn(setting.option, output.getvalue())
        self.assertNotIn("--password ", output.getvalue())


class FileTests(SynchronousTestCase):
    """
    The configuration file.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "fetch.toml"

    def write(self, text, mode=0o600):
        self.path.write_text(text, "utf-8")
        self.path.chmod(mode)

    def load(self, text, *names, overrides=None):
        self.write(text)
        return load_accounts(self.path, names, overrides)

    def refused(self, text, *names):
        self.write(text)
        return self.assertRaises(ConfigError, load_accounts, self.path, names)

    def test_example(self):
        """
        Accounts come in the order of the file, with the defaults where they are silent.
        """
        work, home = self.load("""
            [defaults]
            to = "~/Maildir"
            delete_after = "30d"
            max_size = "10M"

            [work]
            url = "pop3s://alice@mail.example.org"
            passwordeval = "pass mail/work"

            [home]
            url = "pop3://bob@192.0.2.1"
            to = "mbox:inbox"
            delete_after = "never"
            max_size = 5000
            resume = false
            """)
        self.assertEqual((work.name, home.name), ("work", "home"))
        self.assertEqual(work.passwordeval, "pass mail/work")
        self.assertEqual((work.delete_after, work.max_size), (30.0, 10 * 1024**2))
        self.assertEqual(work.to, Target("maildir", Path.home() / "Maildir"))
        self.assertEqual((home.tls, home.host, home.user), ("stls", "192.0.2.1", "bob"))
        self.assertEqual((home.delete_after, home.max_size), (None, 5000))
        self.assertEqual((work.resume, home.resume), (True, False))
        self.assertEqual((home.passwordeval, home.plaintext), (None, False))
        # Relative paths begin where the file is.
        self.assertEqual(home.to, Target("mbox", self.folder / "inbox"))

    TWO = f"""
        [work]
        url = "{URL}"
        to = "-"
        [home]
        url = "pop3s://bob@h"
        to = "-"
        auth = "user"
        """

    def test_names(self):
        """
        Accounts are chosen by name, in the order of the names, once each.
        """
        chosen = self.load(self.TWO, "home", "work", "home")
        self.assertEqual([account.name for account in chosen], ["home", "work"])
        [account] = self.load(self.TWO, "home")
        self.assertEqual(account.name, "home")

    def test_unknownName(self):
        """
        An account that there is not is told of, with those that there are.
        """
        text = str(self.refused(self.TWO, "hone"))
        self.assertIn("'hone'", text)
        self.assertIn("there are work, home; did you mean home?", text)
        self.assertIn("there are work", str(self.refused(self.TWO, "defaults")))

    def test_overrides(self):
        """
        What the command line says goes before the file, and only that.
        """
        parser = argparse.ArgumentParser()
        parser.add_argument("--quiet", action="store_true")
        add_settings(parser)
        options = [
            "--auth",
            "plain",
            "--max-size",
            "none",
            "--to",
            "mbox:/m",
            "--quiet",
        ]
        overrides = parser.parse_args(options)
        text = self.TWO + 'max_size = 10\ntimeout = 5\npasswordeval = "x"'
        [account] = self.load(text, "home", overrides=overrides)
        self.assertEqual((account.auth, account.max_size), ("plain", None))
        self.assertEqual(account.to, Target("mbox", Path("/m")))
        self.assertEqual((account.timeout, account.passwordeval), (5.0, "x"))

    def test_targetByOverride(self):
        """
        Where mail goes may be said by the command line alone.
        """
        text = f'[work]\nurl = "{URL}"\n'
        self.assertIn("say where the mail goes", str(self.refused(text)))
        overrides = argparse.Namespace(to=Target("stdout"))
        [account] = self.load(text, overrides=overrides)
        self.assertEqual(account.to, Target("stdout"))

    def test_badSettings(self):
        """
        A bad setting is told of with file, account, key, and what is allowed.
        """
        for line, key, text in [
            ("max_sise = 1", "max_sise", "did you mean max_size?"),
            ("max-size = 1", "max-size", "did you mean max_size?"),
            ("URL = 1", "URL", "did you mean url?"),
            ("zzz = 1", "zzz", "there are url, to, passwordeval, "),
            ("max_size = true", "max_size", "a whole number or a text in quotes"),
            ("max_size = 2000-01-01", "max_size", "not a date or time"),
            ('timeout = "soon"', "timeout", "as in 60"),
            ('to = "mh:x"', "to", "maildir:PATH"),
            ('user = "alice"', "user", "a part of url"),
            ("delete = true", "delete", "delete_after"),
            ('password_command = "x"', "password_command", "passwordeval"),
            ("[work.more]", "more", "no such setting"),
        ]:
            error = self.refused(f'[work]\nurl = "{URL}"\n{line}\n')
            self.assertEqual((error.file, error.account), (self.path, "work"))
            self.assertEqual(error.key, key)
            self.assertIn(text, str(error))
            self.assertIn(f"{self.path}: [work] {key}: ", str(error))

    def test_badDefaults(self):
        """
        The defaults are settings as well, but have no URL.
        """
        for line, text in [
            ("max_sise = 1", "did you mean max_size?"),
            (f'url = "{URL}"', "each account has its own"),
        ]:
            error = self.refused(f"{self.TWO}\n[defaults]\n{line}\n")
            self.assertEqual(error.account, "defaults")
            self.assertIn(text, str(error))
        self.assertIn("must be a table", str(self.refused("defaults = 1" + self.TWO)))

    def test_passwords(self):
        """
        Passwords have no place in the file; they are not shown, and what has is said.
        """
        for line in [
            'password = "hush"',
            'Password = "hush"',
            'passwort = "hush"',
            'secret = "hush"',
            'url = "pop3s://alice:hush@h"',
        ]:
            text = str(self.refused(f"[work]\n{line}\n"))
            self.assertIn("passwordeval", text)
            self.assertNotIn("hush", text)
            if "url" not in line:
                text = str(self.refused(f'[work]\nurl = "{URL}"\n{line}\n'))
                self.assertIn("passwordeval", text)
                self.assertNotIn("hush", text)

    def test_badUrls(self):
        """
        An account needs a URL.
        """
        for line in ("", "url = 1", 'url = "mail.example.org"'):
            error = self.refused(f'[work]\nto = "-"\n{line}\n')
            self.assertEqual((error.account, error.key), ("work", "url"))
            self.assertIn("pop3s://USER@HOST", str(error))
        # Who writes as other fetchers have it is told what is different.
        self.assertEqual(self.refused('[work]\nhost = "h"\n').key, "host")

    def test_sameMaildrop(self):
        """
        Two accounts that are the same maildrop would each miss what the other fetched.
        """
        text = f'{self.TWO}\n[again]\nurl = "pop3s://alice@MAIL.example.org:995"\n'
        error = self.refused(text)
        self.assertEqual(error.account, "again")
        self.assertIn("[work] is the same maildrop", str(error))

    def test_outsideOfTables(self):
        """
        A setting before the first table is told of.
        """
        text = str(self.refused('to = "-"\n' + self.TWO))
        self.assertIn("to: it stands before the first table", text)
        self.assertIn("[defaults]", text)

    def test_badNames(self):
        """
        A name that the command line could not tell from a URL or an option is refused.
        """
        for name in ("pop3s://a@h", "-a", "", r"a\u0007"):
            error = self.refused(f'["{name}"]\nurl = "{URL}"\nto = "-"\n')
            self.assertIn("cannot be the name", str(error))

    def test_noAccount(self):
        """
        A file without an account is told of.
        """
        for text in ("", "[defaults]\n"):
            self.assertIn("there is no account in it", str(self.refused(text)))

    def test_notToml(self):
        """
        What is no TOML is told of, with the line.
        """
        self.assertIn("line 2", str(self.refused("[work]\nurl\n")))
        for text in ("a = " + "[" * 20000, "a = " + "9" * 5000, '["a"]\n[a]\n'):
            self.assertIn("it is not TOML", str(self.refused(text)))
        self.path.write_bytes(b"[work]\n# \xff\n")
        error = self.assertRaises(ConfigError, load_accounts, self.path)
        self.assertIn("UTF-8", str(error))

    def test_missing(self):
        """
        Where there is no file the text says how to do without.
        """
        error = self.assertRaises(ConfigError, load_accounts, self.path)
        self.assertIn("there is no such file", str(error))
        self.assertIn("--to", str(error))
        error = self.assertRaises(ConfigError, load_accounts, self.folder)
        self.assertIn("cannot be read: Is a directory", str(error))

    def test_othersCanChange(self):
        """
        A file that others can change is refused, since it says what is run.
        """
        for mode, refused in [
            (0o600, False),
            (0o644, False),
            (0o620, True),
            (0o602, True),
        ]:
            self.write(self.TWO, mode)
            if refused:
                error = self.assertRaises(ConfigError, load_accounts, self.path)
                self.assertIn(f"chmod go-w {self.path}", str(error))
            else:
                self.assertEqual(len(load_accounts(self.path)), 2)

    def test_ofAnother(self):
        """
        A file of another user's is refused, but for root's.
        """
        self.write(self.TWO)
        uid = self.path.stat().st_uid
        self.patch(os, "geteuid", lambda: uid + 1)
        if uid == 0:
            self.assertEqual(len(load_accounts(self.path)), 2)
            os.chown(self.path, 12345, -1)
        error = self.assertRaises(ConfigError, load_accounts, self.path)
        self.assertIn("belongs to another user", str(error))

    def test_place(self):
        """
        The file is where XDG has it.
        """
        for place, folder in [
            ("/x", "/x"),
            ("", "/home/a/.config"),
            ("relative", "/home/a/.config"),
        ]:
            with mock.patch.dict(
                os.environ, {"XDG_CONFIG_HOME": place, "HOME": "/home/a"}
            ):
                self.assertEqual(config_path(), Path(folder, "extretr", "fetch.toml"))
