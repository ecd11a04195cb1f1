"""
Which server, whose mail, and where it goes.
"""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.account import Address, Target, parse_address, parse_target
from extretr.client.values import BadValue


class UrlTests(SynchronousTestCase):
    """
    URLs of accounts.
    """

    def test_parts(self):
        """
        Scheme, user, host and port are told apart; the last @ ends the user.
        """
        for url, *parts in [
            (
                "pop3s://alice@mail.example.org",
                "implicit",
                "mail.example.org",
                995,
                "alice",
            ),
            ("pop3://bob@h", "stls", "h", 110, "bob"),
            (
                "POP3S://Bob@Mail.Example.ORG:7/",
                "implicit",
                "mail.example.org",
                7,
                "Bob",
            ),
            ("pop3s://a@b.org@h", "implicit", "h", 995, "a@b.org"),
            ("pop3s://a%40b.org@h", "implicit", "h", 995, "a@b.org"),
            ("pop3s://a%3Ab@h", "implicit", "h", 995, "a:b"),
            ("pop3s://a+b c@h.", "implicit", "h", 995, "a+b c"),
            ("pop3s://%C3%A4@h", "implicit", "h", 995, "\u00e4"),
            ("pop3://a@[2001:DB8::1]", "stls", "2001:db8::1", 110, "a"),
            ("pop3://a@[::1]:1100/", "stls", "::1", 1100, "a"),
            ("pop3://a@127.0.0.1:65535", "stls", "127.0.0.1", 65535, "a"),
            (
                "pop3s://a@B\u00fccher.example",
                "implicit",
                "xn--bcher-kva.example",
                995,
                "a",
            ),
            (
                "pop3s://a@b%C3%BCcher.example",
                "implicit",
                "xn--bcher-kva.example",
                995,
                "a",
            ),
            ("pop3s://a@my_host", "implicit", "my_host", 995, "a"),
        ]:
            address = parse_address(url)
            self.assertEqual(
                [address.tls, address.host, address.port, address.user], parts
            )
            self.assertEqual(parse_address(str(address)), address)

    def test_shown(self):
        """
        An address is shown without the usual port, and with what must be quoted quoted.
        """
        for url, shown in [
            ("POP3S://a@b.org@H:995/", "pop3s://a@b.org@h"),
            ("pop3://a%3Ab@[::1]:995", "pop3://a%3Ab@[::1]:995"),
        ]:
            self.assertEqual(str(parse_address(url)), shown)

    def test_bad(self):
        """
        What is no URL of an account is refused, and no part of it is shown.
        """
        for url in [
            "",
            "hush",
            "hush@h",
            "imap://hush@h",
            "https://hush@h/",
            "pop3s:hush@h",
            "pop3s://hush",
            "pop3s://@hush",
            "pop3s://hush@",
            "pop3s://hush@/",
            "pop3s://hush@h:",
            "pop3s://hush@h:0",
            "pop3s://hush@h:65536",
            "pop3s://hush@h:99999999",
            "pop3s://hush@h:+1",
            "pop3s://hush@h:\u0663",
            "pop3s://h:hush",
            "pop3s://alice@h/hush",
            "pop3s://alice@h?hush",
            "pop3s://alice@-hush",
            "pop3s://alice@hush..org",
            "pop3s://alice@hu sh",
            "pop3s://alice@hush\u2603\u2603.\u00df\u0378",
            "pop3s://alice@" + "hush" * 20,
            "pop3s://alice@" + "hush." * 60,
            "pop3s://alice@[hush]",
            "pop3s://alice@[::1]hush",
            "pop3s://alice@[::1",
            "pop3s://alice@::1",
            "pop3s://hush%00@h",
            "pop3s://hush%0D%0AQUIT@h",
            "pop3s://hush%FF@h",
            "pop3s://hush\n@h",
            "pop3s://hush\udcff@h",
        ]:
            error = self.assertRaises(BadValue, parse_address, url)
            self.assertNotIn("hush", str(error), url)

    def test_password(self):
        """
        A password in a URL is refused, is not shown, and the text says what to use.
        """
        for url in [
            "pop3s://alice:hush@h",
            "pop3s://alice:hush@example.org@h",
            "pop3s://alice:hu@sh@h",
            "pop3s://alice:@h",
            "pop3s://:hush@h",
            "pop3s://alice:hu/sh@h",
        ]:
            error = self.assertRaises(BadValue, parse_address, url)
            self.assertIn("passwordeval", str(error))
            self.assertNotIn("hu", str(error).replace("http", ""))

    def test_loopback(self):
        """
        What does not leave this machine is known.
        """
        for host, inside in [
            ("127.0.0.1", True),
            ("127.8.9.10", True),
            ("localhost", True),
            ("LOCALHOST", True),
            ("[::1]", True),
            ("128.0.0.1", False),
            ("[::2]", False),
            ("localhost.example.org", False),
            ("127.0.0.1.example.org", False),
        ]:
            address = parse_address(f"pop3://a@{host}")
            self.assertEqual(address.is_loopback, inside, host)

    @settings(derandomize=True)
    @given(
        st.text(alphabet="pop3s:/@[]%4. a\u00e4\u0663\0", max_size=30), st.booleans()
    )
    def test_anyText(self, text, prefixed):
        """
        Any text is an address that is shown as what gives it again, or a BadValue.
        """
        try:
            address = parse_address("pop3s://" + text if prefixed else text)
        except BadValue:
            return
        self.assertEqual(parse_address(str(address)), address)


class AddressTests(SynchronousTestCase):
    """
    What an address is made of.
    """

    @settings(derandomize=True)
    @given(
        st.text(min_size=1, max_size=12).filter(str.isprintable), st.integers(1, 65535)
    )
    def test_anyUser(self, user, port):
        """
        Any user name is shown in a form that gives it again.
        """
        address = Address(tls="stls", host="::1", port=port, user=user)
        self.assertEqual(parse_address(str(address)), address)


class TargetTests(SynchronousTestCase):
    """
    Where mail goes.
    """

    def setUp(self):
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()

    def parse(self, text):
        return parse_target(text, self.base)

    def test_kinds(self):
        """
        A kind says what it is; the text of a target gives it again.
        """
        for text, target in [
            ("-", Target("stdout")),
            ("maildir:/m", Target("maildir", Path("/m"))),
            ("Maildir:a:b/", Target("maildir", self.base / "a:b")),
            ("mbox:in", Target("mbox", self.base / "in")),
            ("mda:procmail -d 'a'", Target("mda", command="procmail -d 'a'")),
        ]:
            self.assertEqual(self.parse(text), target)
            self.assertEqual(self.parse(str(target)), target)

    def test_home(self):
        """
        A leading ~ is the user's home.
        """
        self.patch(os, "environ", {**os.environ, "HOME": "/home/alice"})
        for text in ("~/Mail", "maildir:~/Mail", "mbox:~/Mail"):
            self.assertEqual(self.parse(text).path, Path("/home/alice/Mail"))

    def test_bare(self):
        """
        A path alone is an mbox where a file is, otherwise a Maildir.
        """
        (self.base / "file").touch()
        (self.base / "folder").mkdir()
        for text, kind in [
            ("file", "mbox"),
            ("folder", "maildir"),
            ("folder/", "maildir"),
            ("nowhere", "maildir"),
            ("nowhere/", "maildir"),
            (str(self.base / "file"), "mbox"),
            ("./a:b", "maildir"),
        ]:
            self.assertEqual(self.parse(text), Target(kind, self.base / text))

    def test_bad(self):
        """
        What says neither kind nor path is refused.
        """
        for text in [
            "",
            "maildir:",
            "mbox:",
            "mda:",
            "mda:  ",
            "mda:a\0b",
            "mh:~/Mail",
            "smtp:localhost",
            "a\0b",
            "mbox:a\0b",
            "~nobody.of.this.name/Mail",
            "/dev/null",
            "x" * 5000,
        ]:
            self.assertRaises(BadValue, self.parse, text)
