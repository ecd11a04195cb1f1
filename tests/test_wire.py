"""
`extretr.wire`: from the stored form to the wire form and back.
"""

import re
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.wire import (
    START,
    TERMINATOR,
    Decoder,
    Encoder,
    LineCounter,
    Position,
    encode_whole,
)
from tests import models

#: What can go wrong by one octet is made of these.
AWKWARD = b"\r\n.a"


def pieces(octets, size):
    """
    Cut *octets* into pieces of *size*.
    """
    return [octets[begin : begin + size] for begin in range(0, len(octets), size)]


def encode(stored, size, position=START):
    encoder = Encoder(position)
    fed = b"".join(encoder.feed(piece) for piece in pieces(stored, size))
    return fed + encoder.finish()


def decode(wire, size):
    decoder = Decoder()
    return b"".join(decoder.feed(piece) for piece in pieces(wire, size)), decoder


class EncoderTests(SynchronousTestCase):
    """
    The stored form goes out in the wire form.
    """

    table = [
        ("an empty message is the terminating line alone", b"", b".\r\n"),
        ("LF becomes CRLF", b"a\nb\n", b"a\r\nb\r\n.\r\n"),
        ("CRLF stays", b"a\r\nb\r\n", b"a\r\nb\r\n.\r\n"),
        ("both may be mixed", b"a\r\nb\nc\r\n", b"a\r\nb\r\nc\r\n.\r\n"),
        ("a lone CR stays", b"a\rb\n", b"a\rb\r\n.\r\n"),
        ("CR CRLF stays", b"a\r\r\n", b"a\r\r\n.\r\n"),
        ("a last line without an end gets one", b"a", b"a\r\n.\r\n"),
        ("a lone CR at the end gets CRLF after it", b"a\r", b"a\r\r\n.\r\n"),
        ("a dot that comes first is stuffed", b".a\n", b"..a\r\n.\r\n"),
        ("a dot after LF is stuffed", b"a\n.b\n", b"a\r\n..b\r\n.\r\n"),
        ("a dot after CRLF is stuffed", b"a\r\n.b\n", b"a\r\n..b\r\n.\r\n"),
        ("a dot after a lone CR is not", b"a\r.b\n", b"a\r.b\r\n.\r\n"),
        ("each of many dot lines is stuffed", b".\n.\n.", b"..\r\n..\r\n..\r\n.\r\n"),
        ("of several dots the first is doubled", b"..\n", b"...\r\n.\r\n"),
        ("NUL and 8-bit octets pass", b"\0\xff\n", b"\0\xff\r\n.\r\n"),
    ]

    def test_table(self):
        """
        Each row of the table holds for pieces of every size.
        """
        for says, stored, wire in self.table:
            for size in range(1, len(stored) + 2):
                self.assertEqual(encode(stored, size), wire, says)

    def test_smallMessages(self):
        """
        Every message of up to seven awkward octets is as the model has it.
        """
        for length in range(8):
            for octets in product(AWKWARD, repeat=length):
                stored = bytes(octets)
                wire = models.wire(models.canonical(stored))
                for size in (1, 2, 8):
                    self.assertEqual(encode(stored, size), wire, stored)
                self.assertEqual(encode_whole(stored), wire, stored)

    @settings(derandomize=True, max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"a" * 90, b"\0\xff"])),
        st.integers(1, 100),
    )
    def test_chunking(self, parts, size):
        """
        Larger messages are as the model has them, however they are cut.
        """
        stored = b"".join(parts)
        self.assertEqual(encode(stored, size), models.wire(models.canonical(stored)))
        self.assertEqual(encode_whole(stored), encode(stored, size))

    def test_emptyPieces(self):
        """
        Feeding nothing changes nothing.
        """
        encoder = Encoder()
        fed = [encoder.feed(piece) for piece in (b"", b"a\r", b"", b"\n", b"", b".")]
        self.assertEqual(b"".join(fed) + encoder.finish(), b"a\r\n..\r\n.\r\n")

    def test_owed(self):
        """
        What a position owes comes first, and the end of a line that was owed counts.
        """
        self.assertEqual(encode(b"b", 1, Position(0, b"\n")), b"\nb\r\n.\r\n")
        self.assertEqual(encode(b"", 1, Position(9, b"\r\n")), b"\r\n.\r\n")

    def test_nothingLeft(self):
        """
        A position at the end makes an empty body, whatever the message ended with.
        """
        self.assertEqual(encode(b"", 1, Position(9)), b".\r\n")


class LineCounterTests(SynchronousTestCase):
    """
    TOP sends the header, the blank line and some lines of the body.
    """

    def top(self, stored, lines, size):
        counter = LineCounter(lines)
        return b"".join(counter.feed(piece) for piece in pieces(stored, size))

    def model(self, stored, lines):
        header = re.match(rb"(?s:.*?)(?:\A|\n)\r?\n|(?s:.*)", stored)[0]
        body = stored[len(header) :]
        return header + re.match(rb"(?:[^\n]*\n|[^\n]+\Z){0,%d}" % lines, body)[0]

    def test_smallMessages(self):
        """
        Every small message is cut as the model cuts it.

        Rows f05 (a blank line split over chunks), f06 (a long body line), f07 (a
        last line without an end), f08 (CRLF CRLF later in an LF message) and f08c
        (no header) of the audit.
        """
        for length in range(8):
            for octets in product(b"\r\na", repeat=length):
                stored = bytes(octets)
                for lines in (0, 1, 2, 10):
                    wanted = self.model(stored, lines)
                    for size in (1, 2, 9):
                        self.assertEqual(self.top(stored, lines, size), wanted, stored)

    def test_longLine(self):
        """
        f06: a body line longer than any chunk is sent whole.
        """
        stored = b"H: h\n\n" + b"x" * 40000 + b"\nmore\n"
        self.assertEqual(self.top(stored, 1, 16384), stored[:-5])

    def test_lfHeaderBeforeCrlfCrlf(self):
        """
        f08: an LF header ends at its blank line, though CRLF CRLF comes later.
        """
        self.assertEqual(self.top(b"H: h\n\nbody\r\n\r\nx", 0, 100), b"H: h\n\n")

    def test_done(self):
        """
        It says when no more is wanted, before it is asked again.
        """
        counter = LineCounter(1)
        counter.feed(b"H: h\n\nbody")
        self.assertFalse(counter.done)
        counter.feed(b"\n")
        self.assertTrue(counter.done)
        self.assertEqual(counter.feed(b"more"), b"")


class DecoderTests(SynchronousTestCase):
    """
    The wire form comes in as canonical octets.
    """

    table = [
        ("an empty body", b".\r\n", b"", b""),
        ("a stuffed dot loses its dot", b"..a\r\n.\r\n", b".a\r\n", b""),
        ("a dot before anything else goes too", b".a\r\n.\r\n", b"a\r\n", b""),
        ("a dot in mid-line stays", b"a.b\r\n.\r\n", b"a.b\r\n", b""),
        ("a dot after a bare LF stays", b"a\n.b\r\n.\r\n", b"a\n.b\r\n", b""),
        ("a dot and CR are no end", b".\rx\r\n.\r\n", b"\rx\r\n", b""),
        ("what follows is the rest", b"a\r\n.\r\n+OK\r\n", b"a\r\n", b"+OK\r\n"),
        ("the end is found once", b".\r\n.\r\n", b"", b".\r\n"),
    ]

    def test_table(self):
        """
        Each row of the table holds for pieces of every size.
        """
        for says, wire, body, rest in self.table:
            for size in range(1, len(wire) + 1):
                got, decoder = decode(wire, size)
                self.assertEqual((got, decoder.rest), (body, rest), says)
                self.assertTrue(decoder.finished, says)

    def test_roundTrip(self):
        """
        Whatever small body was stuffed comes back, and its end is seen only there.
        """
        for length in range(8):
            for octets in product(AWKWARD, repeat=length):
                body = models.canonical(bytes(octets))
                wire = models.wire(body)
                for size in (1, 2, 3, 20):
                    got, decoder = decode(wire + b"+OK", size)
                    self.assertEqual((got, decoder.rest), (body, b"+OK"))
                _, decoder = decode(wire[:-1], 1)
                self.assertFalse(decoder.finished)

    def test_certainAtOnce(self):
        """
        What was received is given out at once, but for a dot that may be the end.
        """
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"a\r"), b"a\r")
        self.assertEqual(decoder.feed(b"\n"), b"\n")
        self.assertEqual(decoder.feed(b"."), b"")
        self.assertEqual(decoder.feed(b"."), b".")

    def test_terminator(self):
        """
        The terminating line is a dot alone (RFC 1939, section 3).
        """
        self.assertEqual(TERMINATOR, b".\r\n")
