"""
Messages of an mbox, and the windows on them.
"""

import os
import re
from hashlib import sha256
from io import FileIO
from itertools import pairwise, product

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.interfaces import IStoredFile
from extretr.offsets import MOST_CHECKPOINTS, SPACING, Measurer
from extretr.stores.mbox_file import UnquotedWindow, Window
from extretr.stores.mbox_parse import NotAnMboxError, Parser
from extretr.stores.mbox_quoting import Places, Unquoter, nearest
from tests.models import canonical


def model(mbox, quoting=False):
    """
    Give the stored form of each message, by one split over the whole file.
    """
    parts = re.split(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))(?=From )", mbox)
    stored = []
    for part in filter(None, parts):
        body = part.partition(b"\n")[2]
        body = re.sub(rb"(\A|(?<=\n))\r?\n\Z", b"", body)
        stored.append(unquoted(body) if quoting else body)
    return stored


def unquoted(body):
    return re.sub(rb"(?m)^>(>*From )", rb"\1", body)


def parse(mbox, quoting=False, chunks=None):
    parser = Parser(quoting)
    for chunk in chunks or [mbox]:
        for _ in parser.feed(chunk):
            pass
    return parser.finish()


def measured(stored):
    measurer = Measurer()
    measurer.feed(stored)
    return measurer.finish()


class ParserTests(SynchronousTestCase):
    """
    `Parser` finds the messages and all that is to be known of them.
    """

    def bodies(self, mbox):
        return [mbox[one.begin : one.end] for one in parse(mbox)]

    def test_separators(self):
        """
        The From_ line and the empty line before it belong to the separator.
        """
        for mbox, bodies in [
            (b"", []),
            (b"From a", [b""]),
            (b"From a\n", [b""]),
            (b"From a\n\n", [b""]),
            (b"From a\n\n\n", [b"\n"]),
            (b"From a\nS: x\n\ntext\n\n", [b"S: x\n\ntext\n"]),
            (b"From a\nS: x\n\ntext\n", [b"S: x\n\ntext\n"]),
            (b"From a\nS: x\n\ntext", [b"S: x\n\ntext"]),
            (b"From a\none\n\nFrom b\ntwo\n\n", [b"one\n", b"two\n"]),
            (b"From a\n\nFrom b\n\nFrom c\n", [b"", b"", b""]),
            (b"From a\none\n\n\nFrom b\n", [b"one\n\n", b""]),
            (b"From a\r\none\r\n\r\nFrom b\r\n\r\n", [b"one\r\n", b""]),
            (b"From a\r\n\r\nFrom b\r\n", [b"", b""]),
            (b"From a\none\n\r\nFrom b\n", [b"one\n", b""]),
        ]:
            with self.subTest(mbox=mbox):
                self.assertEqual(self.bodies(mbox), bodies)

    def test_noSeparator(self):
        """
        A line that begins with "From " inside of a paragraph begins no message.
        """
        for body in [
            b"one\nFrom here\n",
            b"From here\n",
            b"one\n\n>From here\n",
            b"one\n\nFrom\n",
            b"one\n\nfrom here\n",
            b"one\n \nFrom here\n",
            b"one\r\r\nFrom here\n",
        ]:
            with self.subTest(body=body):
                self.assertEqual(self.bodies(b"From a\n" + body), [body])

    def test_notAnMbox(self):
        """
        A file that begins with anything but a From_ line is none, however it comes.
        """
        for mbox in [b"\n", b"From", b"from a\n", b"\nFrom a\n", b"text\n\nFrom a\n"]:
            for chunks in ([mbox], [bytes([octet]) for octet in mbox]):
                with self.subTest(chunks=chunks):
                    self.assertRaises(NotAnMboxError, parse, mbox, chunks=chunks)

    def test_exhaustive(self):
        """
        Whatever follows a From_ line is told apart as the model does, in any chunks.
        """
        pieces = [b"\n", b"\r\n", b"From ", b">", b"x"]
        for length in range(7):
            for letters in product(pieces, repeat=length):
                mbox = b"From a\n" + b"".join(letters)
                self.check(mbox, True, [mbox])
                self.check(mbox, False, [mbox])
                if length < 6:
                    self.check(mbox, True, [bytes([octet]) for octet in mbox])

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.lists(
            st.sampled_from(
                [b"\n", b"\r\n", b"\r", b"From ", b">", b"text ", b"\n\nFrom ", b"."]
            )
        ),
        st.lists(st.integers(1, 20)),
        st.booleans(),
    )
    @example([b"\n\nFrom "], [5, 5, 1], False)
    def test_chunks(self, letters, lengths, quoting):
        """
        The edges of chunks never show.
        """
        mbox = b"From a" + b"".join(letters)
        chunks, at = [], 0
        for length in lengths:
            chunks.append(mbox[at : at + length])
            at += length
        self.check(mbox, quoting, [*chunks, mbox[at:]])

    def check(self, mbox, quoting, chunks):
        expected = model(mbox, quoting)
        found = parse(mbox, quoting, chunks)
        self.assertEqual(
            [one.digest for one in found],
            [sha256(canonical(stored)).digest() for stored in expected],
            (mbox, chunks),
        )
        for one, stored in zip(found, expected, strict=True):
            self.assertEqual(one.measured, measured(stored))
            self.assertTrue(mbox.startswith(b"From ", one.from_at))
            body = mbox[one.begin : one.end]
            if one.places:
                self.assertNotEqual(body, stored)
                body = unquoted(body)
            self.assertEqual(body, stored)

    def test_begunInTheMiddle(self):
        """
        A parser that begins at a message gives the places that a whole pass gives.
        """
        mbox = b"From a\none\n\nFrom b\n>From two\n\nFrom c\nthree"
        for quoting in (False, True):
            whole = parse(mbox, quoting)
            parser = Parser(quoting, whole[1].from_at)
            list(parser.feed(mbox[whole[1].from_at :]))
            self.assertEqual(parser.finish(), whole[1:])

    def test_fromLine(self):
        """
        From_ lines are told apart by their checksum, up to its first 1,024 octets.
        """
        lines = [b"From a\n", b"From b\n", b"From " + b"c" * 3000 + b"\n"]
        found = [parse(line)[0].from_line for line in lines]
        found += [parse(lines[2], chunks=[lines[2][:7], lines[2][7:]])[0].from_line]
        self.assertEqual(len(set(found)), 3)
        self.assertEqual(found[2], found[3])

    def test_steps(self):
        """
        Many small messages are read in many steps.
        """
        steps = sum(1 for _ in Parser(False).feed(b"From a\n\n" * 10000))
        self.assertGreater(steps, 50)

    def test_flatMemory(self):
        """
        Of lines and messages of any length no more is kept than their last octets.
        """
        for line in (b"From " + b"x" * 100_000, b"From a\n" + b"y" * 100_000):
            parser = Parser(True)
            for _ in range(5):
                list(parser.feed(line))
                line = b"z" * 100_000
                self.assertLess(len(parser._buffer) + len(parser._line), 2000)


class UnquoterTests(SynchronousTestCase):
    """
    `Unquoter` takes one ">" off quoted lines.
    """

    def test_lines(self):
        """
        Each line that begins with ">" and more of them, and "From ", loses one.
        """
        for octets, expected in [
            (b">From a", b"From a"),
            (b">>From a\n>From b\n", b">From a\nFrom b\n"),
            (b"x>From a\n", b"x>From a\n"),
            (b"> From a\n", b"> From a\n"),
            (b">From\n", b">From\n"),
            (b"\r\n>From a\r\n", b"\r\nFrom a\r\n"),
            (b"\r>From a", b"\r>From a"),
            (b">>>Fro", b">>>Fro"),
            (b">" * 5000 + b"From a\n", b">" * 4999 + b"From a\n"),
            (b">" * 5000 + b"Form a\n", b">" * 5000 + b"Form a\n"),
        ]:
            for size in (1, 2, 3, 7, 6000):
                unquoter = Unquoter()
                pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
                given = b"".join(map(unquoter.feed, pieces)) + unquoter.finish()
                self.assertEqual(given, expected)
                self.assertEqual(unquoter.changed, given != octets)

    def test_littleHeld(self):
        """
        However long a line of ">" is, a single one of them is held back.
        """
        unquoter = Unquoter()
        self.assertEqual(unquoter.feed(b">" * 1000), b">" * 999)
        self.assertFalse(unquoter.settled)
        self.assertEqual(unquoter.feed(b">F"), b">")
        self.assertEqual(unquoter.feed(b"rom x"), b"From x")
        self.assertTrue(unquoter.settled)


class PlacesTests(SynchronousTestCase):
    """
    `Places` remembers where octets lie, sparsely.
    """

    def test_bounded(self):
        """
        Their number stays bounded and their spacing even, however many pass.
        """
        places = Places()
        for number in range(1, 5000):
            places.passed(number * SPACING - 1, number * SPACING)
        found = places.finish()
        self.assertLessEqual(len(found), MOST_CHECKPOINTS + 1)
        gaps = {b[1] - a[1] for a, b in pairwise(found)}
        self.assertLessEqual(max(gaps), 8 * SPACING)
        self.assertEqual(found[0], (0, 0))

    def test_nearest(self):
        """
        The last one that is not behind is the nearest.
        """
        pairs = ((0, 0), (10, 12), (20, 25))
        for position, pair in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (99, 2)]:
            self.assertEqual(nearest(pairs, position), pairs[pair])


class WindowTests(SynchronousTestCase):
    """
    `Window` and `UnquotedWindow` are one message as a file of its own.
    """

    def open(self, mbox, one):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(mbox)
        file = FileIO(os.open(path, os.O_RDONLY))
        window = Window(file, one.begin, one.end)
        opened = UnquotedWindow(window, one.places) if one.places else window
        self.addCleanup(opened.close)
        return opened

    def test_interface(self):
        """
        Both provide `IStoredFile`.
        """
        mbox = b"From a\n>From b\n"
        for quoting in (False, True):
            opened = self.open(mbox, parse(mbox, quoting)[0])
            verifyObject(IStoredFile, opened)

    def test_everySeek(self):
        """
        From every position the rest of the message is read, and nothing behind it.
        """
        body = b">From one\ntext\n>>From two\n\n>>>> \n>From"
        mbox = b"From a\nfirst\n\nFrom b\n%b\n\nFrom c\n>From last\n" % body
        for quoting in (False, True):
            stored = model(mbox, quoting)[1]
            opened = self.open(mbox, parse(mbox, quoting)[1])
            for position in range(len(stored), -1, -1):
                for count in (1, 3, 100):
                    opened.seek(position)
                    self.assertEqual(read_all(opened, count), stored[position:])

    def test_farSeek(self):
        """
        A far position of a large message is found, with little of it read.
        """
        body = b"".join(
            b">From line %d\n%b\n" % (number, b">" * (number % 90))
            for number in range(40_000)
        )
        mbox = b"From a\n" + body
        chunks = [mbox[at : at + 10_000] for at in range(0, len(mbox), 10_000)]
        (one,) = parse(mbox, True, chunks)
        stored = model(mbox, True)[0]
        self.assertGreater(len(one.places), 20)
        opened = self.open(mbox, one)
        count = []
        pread = os.pread
        self.patch(os, "pread", lambda fd, n, at: count.append(n) or pread(fd, n, at))
        for position in range(0, len(stored), 12_345):
            del count[:]
            opened.seek(position)
            self.assertEqual(read_some(opened, 50), stored[position : position + 50])
            self.assertLess(sum(count), 5 * SPACING)


def read_all(opened, count):
    return b"".join(iter(lambda: opened.read(count), b""))


def read_some(opened, count):
    octets = b""
    while len(octets) < count and (more := opened.read(count - len(octets))):
        octets += more
    return octets
