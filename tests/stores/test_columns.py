"""
`extretr.stores.columns`: blocks of messages.
"""

import marshal
from array import array

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import MessageChanged
from extretr.offsets import Measured
from extretr.stores.columns import CAPACITY, Block
from extretr.stores.rows import Row, kind_of, marks_of
from tests.test_offsets import measure

NUMBERS = st.integers(0, 2**64 - 1)

#: Any octets that a name may have; hidden files are none.
BASES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not name.startswith(b".") and not {0, 0x2F} & set(name)
)
FLAGS = st.sampled_from([b"", b":2,", b":2,S", b":2,\xff \r\n"])

MEASURED = st.builds(
    lambda size, more, marks: Measured(
        size + more, size, not more, bool(size % 2), marks, marks
    ),
    st.integers(0, 2**60),
    st.integers(0, 9),
    st.lists(NUMBERS, max_size=3).map(lambda marks: array("Q", marks)),
)


@st.composite
def rows(draw):
    measured = draw(st.one_of(st.none(), MEASURED))
    fields = (draw(BASES), draw(FLAGS), draw(st.integers(0, 1)))
    stored = draw(NUMBERS) if measured is None else measured.stored_size
    time, inode = draw(st.integers(-(2**63), 2**63 - 1)), draw(NUMBERS)
    row = Row(*fields, stored, time, inode)
    if measured is None:
        return row, None
    return (
        row._replace(
            size=measured.size, kind=kind_of(measured), marks=marks_of(measured)
        ),
        measured,
    )


class BlockTests(SynchronousTestCase):
    """
    What a block is made of comes out of it again.
    """

    @settings(derandomize=True, deadline=None)
    @given(st.lists(rows(), min_size=1, max_size=12))
    def test_whole(self, made):
        """
        The same messages come out of a block, and out of its octets.
        """
        wanted = [row for row, _ in made]
        block = Block(wanted)
        kept = marshal.loads(marshal.dumps(block.kept()))
        for one in (block, Block.decode(block.encode()), Block.recalled(kept)):
            self.assertEqual(list(one.rows()), wanted)
            self.assertEqual(len(one), len(wanted))
            self.assertEqual(one.names(), [row.base for row in wanted])
            self.assertEqual(one.last(), wanted[-1].base)
            self.assertEqual(one.unflagged(), not any(row.flags for row in wanted))
            measured = [one.measured(index) for index in range(len(wanted))]
            self.assertEqual(measured, [each for _, each in made])
            self.assertEqual(one.missing, measured.count(None))
            self.assertEqual(one.octets, sum(row.size for row in wanted))

    @settings(derandomize=True, deadline=None)
    @given(st.binary(max_size=300))
    def test_anyOctets(self, octets):
        """
        Of octets that are no block none is made.
        """
        self.assertRaises(ValueError, Block.decode, octets)

    @settings(derandomize=True, deadline=None)
    @given(st.lists(rows(), min_size=1, max_size=4), st.data())
    def test_damaged(self, made, data):
        """
        Whatever octets of a block are changed, what is made of it keeps together: it
        is refused, or all of its columns are of one length and its names are harmless.
        """
        octets = bytearray(Block([row for row, _ in made]).encode())
        for _ in range(data.draw(st.integers(1, 3))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(
                st.integers(0, 255)
            )
        cut = data.draw(st.integers(0, len(octets)))
        for damaged in (bytes(octets), bytes(octets[:cut])):
            try:
                block = Block.decode(damaged)
            except ValueError:
                continue
            found = list(block.rows())
            self.assertEqual(len(found), len(block))
            self.assertEqual(len(block.uniqueIds()), len(block))
            for index, row in enumerate(found):
                block.measured(index)
                self.assertFalse(row.base.startswith(b"."))
                self.assertNotIn(b"\0", row.base + row.flags)
                self.assertNotIn(b"/", row.base + row.flags)

    def test_learn(self):
        """
        What is learnt of a message is there afterwards, and the block is to be saved.
        """
        first = measure((b"x" * 70 + b"\n") * 5000)
        second = Measured(7, first.stored_size, True, True)
        block = Block([Row(b"%d" % n, b"", 0, 5, 6, 7) for n in range(3)])
        block.saved = 12, 34
        self.assertEqual((block.missing, block.octets), (3, 0))
        self.assertRaises(MessageChanged, block.learn, 1, first)
        size = first.stored_size
        block = Block([Row(b"%d" % n, b"", 0, size, 6, 7) for n in range(3)])
        block.learn(1, first)
        self.assertTrue(first.stored_marks)
        self.assertEqual(block.measured(1), first)
        self.assertEqual((block.missing, block.octets), (2, first.size))
        self.assertIsNone(block.saved)
        block.learn(1, second)
        self.assertEqual(Block.decode(block.encode()).measured(1), second)
        self.assertEqual((block.missing, block.octets), (2, 7))

    def test_uniqueIds(self):
        """
        Unique-ids are the names, or what they are set to: then it has to be saved.
        """
        block = Block([Row(name, b"", 0, 5, 6, 7) for name in (b"a", b"b")])
        block.saved = 1, 2
        block.setUniqueIds(None)
        block.setUniqueIds([b"a", b"b"])
        self.assertEqual(block.uniqueIds(), [b"a", b"b"])
        self.assertEqual((block.unique_ids, block.saved), (b"", (1, 2)))
        block.setUniqueIds([b"x/y", b"z"])
        self.assertEqual(block.uniqueIds(), [b"x/y", b"z"])
        self.assertIsNone(block.saved)
        self.assertEqual(Block.decode(block.encode()).uniqueIds(), [b"x/y", b"z"])
        block.setUniqueIds(None)
        self.assertEqual(block.uniqueIds(), [b"a", b"b"])

    def test_plain(self):
        """
        A block is plain where each of its names can be sent as a unique-id.
        """
        for name, plain in ((b"1.a", True), (b"1 a", False), (b"x" * 71, False)):
            block = Block([Row(one, b"", 0, 5, 6, 7) for one in (b"0.a", name)])
            self.assertEqual(block.isPlain(), plain)

    def test_small(self):
        """
        What is known of a usual message takes less than 100 octets.
        """
        name = b"1600000000.M123456P1234.mail.example.org"
        block = Block([Row(name, b":2,S", 1, 5, 6, 7)] * CAPACITY)
        self.assertLess(len(block.encode()), 100 * CAPACITY)
