"""
What comes is compared with what is stored as the standards have it.
"""

import hashlib
import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks import mail
from tests.benchmarks.client import unstuffed
from tests.benchmarks.native import Failed

LINES = st.lists(st.text(".a\r", max_size=5).map(lambda line: line.encode() + b"\r\n"))


def sent(lines):
    """
    Give the wire form of lines (RFC 1939, section 3).
    """
    stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
    return b"+OK 5 octets\r\n" + b"".join(stuffed) + b".\r\n"


def cut(octets, places):
    """
    Give a function that gives octets in pieces, as they come from a network.
    """
    places = sorted({0, len(octets), *(place % len(octets) for place in places)})
    pieces = iter(octets[one:other] for one, other in itertools.pairwise(places))
    return lambda: next(pieces)


class ComparisonTests(SynchronousTestCase):
    """
    Octets that come.
    """

    @settings(deadline=None)
    @given(lines=LINES, places=st.lists(st.integers(0, 1000), max_size=8))
    def test_unstuffed(self, lines, places):
        """
        However a response is cut, what comes of it is the message.
        """
        got = b"".join(unstuffed(cut(sent(lines), places)))
        self.assertEqual(got, b"".join(lines))

    def test_refusal(self):
        """
        A refusal is no message.
        """
        with self.assertRaisesRegex(Failed, "no such message"):
            list(unstuffed(cut(b"-ERR no such message\r\n", [])))

    @settings(deadline=None)
    @given(lines=LINES, places=st.lists(st.integers(0, 1000), max_size=8))
    def test_prints(self, lines, places):
        """
        One changed octet changes the fingerprints, a header only that of all.
        """
        message = b"Subject: a\r\n\r\n" + b"".join(lines) + b"end\r\n"
        receive = cut(message + b"\n", places)

        def blocks():
            try:
                while True:
                    yield receive()
            except StopIteration:
                return

        with_more = mail.prints(blocks())
        whole = mail.prints([message])
        self.assertNotEqual(whole.whole, with_more.whole)
        self.assertEqual(whole.body, with_more.body)
        other = mail.prints([b"X: y\r\n" + message])
        self.assertNotEqual(whole.whole, other.whole)
        self.assertEqual(whole.body, other.body)
        changed = mail.prints([message.replace(b"end", b"enD")])
        self.assertNotEqual(whole.body, changed.body)


class StoredTests(SynchronousTestCase):
    """
    Mail that is written for a measurement.
    """

    def test_canonical(self):
        """
        With LF and with CRLF it is the same message, of the same size.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        one = mail.write_attachment(folder / "lf", 1)
        other = mail.write_attachment(folder / "crlf", 1, b"\r\n")
        wanted = one.read_bytes().replace(b"\n", b"\r\n")
        self.assertEqual(b"".join(mail.canonical(one)), wanted)
        self.assertEqual(b"".join(mail.canonical(other)), wanted)
        self.assertEqual(mail.size(one), len(wanted))
        self.assertEqual(one.read_bytes(), mail.attachment(1))

    def test_offsets(self):
        """
        The digest from an offset on is that of the rest.
        """
        path = Path(self.mktemp())
        mail.write_attachment(path, 2 * mail.MIB)
        whole = b"".join(mail.canonical(path))
        for offset in (0, 1, mail.MIB + 77, len(whole) - 1):
            rest = hashlib.sha256(whole[offset:]).digest()
            self.assertEqual(mail.digest(path, offset), rest)
