"""
`extretr.offsets`: measured once, located without a scan.
"""

import re
from io import BytesIO
from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr import offsets
from extretr.errors import OffsetOverrun, SplitLineEnd
from extretr.offsets import EMPTY, MOST_CHECKPOINTS, SPACING, Measurer, locate
from extretr.wire import Decoder, Encoder, Position
from tests import models
from tests.test_wire import AWKWARD, pieces


def measure(stored, size=1 << 20):
    measurer = Measurer()
    for piece in pieces(stored, size):
        measurer.feed(piece)
    return measurer.finish()


class Reader:
    """
    Reads from octets as `locate` asks, and counts how many.
    """

    def __init__(self, stored):
        self._file = BytesIO(stored)
        self.octets = 0

    def __call__(self, place, count):
        self._file.seek(place)
        octets = self._file.read(count)
        self.octets += len(octets)
        return octets


class MeasureTests(SynchronousTestCase):
    """
    What is measured is exact.
    """

    def test_empty(self):
        """
        A message of no octets measures nothing.
        """
        self.assertEqual(measure(b""), EMPTY)

    def test_smallMessages(self):
        """
        Size, sameness and dots of every small message are as the model has them.
        """
        for length in range(8):
            for octets in product(AWKWARD, repeat=length):
                stored = bytes(octets)
                whole = models.canonical(stored)
                for size in (1, 2, 9):
                    measured = measure(stored, size)
                    self.assertEqual(measured.size, len(whole), stored)
                    self.assertEqual(measured.stored_size, len(stored))
                    self.assertEqual(measured.identical, whole == stored)
                    self.assertEqual(
                        measured.dotted, bool(re.search(rb"(?:\A|\n)\.", stored))
                    )

    def test_checkpointsAreBounded(self):
        """
        However large a message, so many checkpoints are kept at most, evenly spread.
        """
        self.patch(offsets, "SPACING", 64)
        measured = measure(b"0123456\n" * 256 * 1024)
        marks = measured.stored_marks
        self.assertLessEqual(len(marks), MOST_CHECKPOINTS)
        self.assertGreater(len(marks), MOST_CHECKPOINTS // 2)
        gaps = {after - before for before, after in pairwise(marks)}
        self.assertEqual(len(gaps), 1)
        self.assertLessEqual(len(measured.offset_marks), MOST_CHECKPOINTS)

    def test_checkpointsAreTrue(self):
        """
        Each checkpoint is a place and the offset that lies there, never inside CRLF.
        """
        self.patch(offsets, "SPACING", 3)
        stored = b"a\r\nb\n\n\rc\r\r\n" * 9
        for size in (1, 2, 3, 5, 1000):
            measured = measure(stored, size)
            self.assertTrue(measured.stored_marks)
            for place, offset in zip(
                measured.stored_marks, measured.offset_marks, strict=True
            ):
                before = re.sub(rb"(?<!\r)\n", b"\r\n", stored[:place])
                self.assertEqual(len(before), offset)
                self.assertNotEqual(stored[place - 1 : place], b"\r")

    def test_identicalNeedsNone(self):
        """
        A message stored in its canonical form needs no checkpoints.
        """
        self.assertEqual(len(measure(b"x\r\n" * SPACING).stored_marks), 0)


class LocateTests(SynchronousTestCase):
    """
    An offset is found in the stored form, and what is owed before it.
    """

    def resumed(self, stored, offset, measured, size):
        position = locate(measured, offset, Reader(stored))
        encoder = Encoder(position)
        fed = [encoder.feed(piece) for piece in pieces(stored[position.seek :], size)]
        return b"".join(fed) + encoder.finish()

    def check(self, stored, size, offsets_to_try=None):
        """
        At every offset the model is met: sent from there, split or beyond.
        """
        measured = measure(stored, size)
        whole = models.canonical(stored)
        for offset in offsets_to_try or range(len(whole) + 2):
            if offset > len(whole):
                self.assertRaises(
                    OffsetOverrun, locate, measured, offset, Reader(stored)
                )
            elif not models.accepted(whole, offset):
                self.assertRaises(
                    SplitLineEnd, locate, measured, offset, Reader(stored)
                )
            else:
                wire = self.resumed(stored, offset, measured, size)
                self.assertEqual(wire, models.wire(whole[offset:]), (stored, offset))
                body = Decoder().feed(wire)
                self.assertEqual(whole[:offset] + body, whole)

    def test_smallMessages(self):
        """
        Every offset of every small message resumes to an identical copy.
        """
        self.patch(offsets, "SPACING", 3)
        self.patch(offsets, "MOST_CHECKPOINTS", 2)
        self.patch(offsets, "_STRIDE", 2)
        for length in range(7):
            for octets in product(AWKWARD, repeat=length):
                for size in (1, 3):
                    self.check(bytes(octets), size)

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"a" * 90, b"\0\xff"]),
            max_size=200,
        ),
        st.integers(1, 300),
        st.lists(st.integers(0, 20000), min_size=20, max_size=20),
    )
    def test_property(self, parts, size, tried):
        """
        Held prefix and decoded response make the canonical form, at any offset.
        """
        stored = b"".join(parts)
        self.check(stored, size, [each % (len(stored) * 2 + 2) for each in tried])

    def test_acrossCheckpoints(self):
        """
        Offsets before, at and after every checkpoint of a large message are exact.
        """
        line = b"0123456789" * 7 + b"\n"
        stored = line * 8000 + b"\r\n.\r\r\n" + line * 100
        measured = measure(stored, 4096)
        whole = models.canonical(stored)
        self.assertGreater(len(measured.offset_marks), 5)
        for mark in measured.offset_marks:
            for offset in range(mark - 3, mark + 4):
                if models.accepted(whole, offset):
                    wire = self.resumed(stored, offset, measured, 65536)
                    self.assertEqual(wire, models.wire(whole[offset:]))

    def test_noScan(self):
        """
        To locate an offset reads no more than lies between two checkpoints.
        """
        stored = b"0123456789" * 7 + b"\n"
        stored *= 40000
        measured = measure(stored)
        reader = Reader(stored)
        locate(measured, measured.size - 1000, reader)
        self.assertLess(reader.octets, 3 * SPACING)

    def test_noReadWhereIdentical(self):
        """
        Where the stored form is the canonical form, an offset is its own position.
        """
        stored = b"0123456789\r\n" * 100000
        reader = Reader(stored)
        offset = 12 * 50000 + 5
        self.assertEqual(locate(measure(stored), offset, reader), Position(offset))
        self.assertLess(reader.octets, 10)

    def test_atTheEnd(self):
        """
        An offset that is the size makes an empty body (spec reading 5).
        """
        for stored in (b"", b"a", b"a\n", b"a\r\n", b"a\r"):
            measured = measure(stored)
            position = locate(measured, measured.size, Reader(stored))
            self.assertEqual(position, Position(len(stored)))
