"""
`extretr.stores.mbox_layout`: what is remembered of an mbox.
"""

import os
import sqlite3
from array import array
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.offsets import EMPTY, Measured
from extretr.stores import mbox_layout
from extretr.stores.index import Index
from extretr.stores.mbox_layout import LayoutBlock, decoded, recall, remember
from extretr.stores.mbox_parse import Parsed
from tests.stores.stepping import result

NUMBERS = st.integers(0, 2**64 - 1)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3).map(tuple)

MESSAGES = st.lists(
    st.builds(
        Parsed,
        NUMBERS,
        st.just(5),
        st.integers(5, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(min_size=32, max_size=32),
        st.builds(
            lambda size, dotted, marks: Measured(
                size,
                size,
                not marks,
                dotted,
                array("Q", [one for one, _ in marks]),
                array("Q", [one for _, one in marks]),
            ),
            NUMBERS,
            st.booleans(),
            PAIRS,
        ),
        PAIRS,
    ),
    max_size=8,
)


class LayoutTests(SynchronousTestCase):
    """
    From one session to the next.
    """

    def setUp(self):
        self.patch(mbox_layout, "_TURN", 2)

    @settings(derandomize=True, deadline=None)
    @given(MESSAGES, st.booleans())
    def test_recalled(self, messages, quoting):
        """
        What was remembered is recalled, of the mailbox in that state and no other.
        """
        path = os.fsencode(os.path.abspath(self.mktemp()))
        signature = b"s" * 32
        entries, _ = result(remember(Index(path), messages, signature, quoting))
        index = Index(path)
        found, steps = result(recall(index, signature, quoting))
        # Without messages nothing is written before the end of the session.
        self.assertEqual(found or [], entries)
        self.assertGreaterEqual(steps, len(messages) // 2 - 1)
        self.assertIsNone(result(recall(Index(path), b"t" * 32, quoting))[0])
        self.assertIsNone(result(recall(Index(path), signature, not quoting))[0])

    @settings(derandomize=True, deadline=None)
    @given(MESSAGES, st.data())
    def test_damaged(self, messages, data):
        """
        A block that is not as it was made gives messages, or is refused.
        """
        octets = bytearray(LayoutBlock(messages).encode())
        self.assertEqual(list(decoded(bytes(octets))), messages)
        if octets:
            place = data.draw(st.integers(0, len(octets) - 1))
            octets[place] ^= data.draw(st.integers(1, 255))
        for damaged in (bytes(octets), bytes(octets[: len(octets) // 2])):
            try:
                found = list(decoded(damaged))
            except ValueError:
                continue
            self.assertTrue(all(isinstance(one, Parsed) for one in found))

    def test_lost(self):
        """
        Where a block is lost nothing is recalled.
        """
        path = os.fsencode(os.path.abspath(self.mktemp()))
        one = Parsed(0, 5, 9, 1, b"d" * 32, Measured(4, 4, True, False))
        index = Index(path)
        result(remember(index, [one] * 6, b"s" * 32, False))
        self.assertEqual(len(result(recall(Index(path), b"s" * 32, False))[0]), 6)
        index = Index(path)
        blocks = Index.blocks
        self.patch(Index, "blocks", lambda index: iter_blocks(index, blocks))
        self.assertIsNone(result(recall(index, b"s" * 32, False))[0])

    def test_notWritten(self):
        """
        A layout that could not be written is not taken for the one before, of as many
        messages, when the session ends.
        """
        path = os.fsencode(os.path.abspath(self.mktemp()))
        for signature, places in ((b"1" * 32, (10, 20)), (b"2" * 32, (30, 40))):
            index = Index(path)
            messages = [
                Parsed(place, place, place + 1, 0, bytes(32), EMPTY) for place in places
            ]
            with closing(sqlite3.connect(os.fsdecode(path))) as other:
                if places != (10, 20):
                    other.execute("BEGIN EXCLUSIVE")
                result(remember(index, messages, signature, False))
            index.save()
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
        recalled, _ = result(recall(Index(path), b"2" * 32, False))
        self.assertIsNone(recalled)


def iter_blocks(index, blocks):
    found, _ = yield from blocks(index)
    return found[1:], False
