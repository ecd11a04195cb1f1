"""
`extretr.stores.maildir_scan`: what a folder holds that was not known.
"""

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import maildir_scan
from extretr.stores.columns import Block
from extretr.stores.maildir_scan import (
    Changes,
    Names,
    chronological,
    knowing,
    losing,
    scanning,
)
from extretr.stores.rows import Row
from tests.stores.stepping import result

FOUND = st.binary(max_size=8).flatmap(
    lambda base: st.tuples(
        st.integers(0, 10**40),
        st.just(base),
        st.integers(0, 1),
        st.sampled_from([b"", b":2,S"]),
        st.integers(-1, 2**64 - 1),
    )
)


class NamesTests(SynchronousTestCase):
    """
    Names in the order of the messages.
    """

    @settings(derandomize=True, deadline=None)
    @given(st.lists(FOUND, max_size=40))
    def test_sorted(self, found):
        """
        However many they are, and in whatever order they come, they are sorted.
        """
        self.patch(maildir_scan, "_SORTED", 6)
        self.patch(maildir_scan, "_PACKED", 2)
        names = Names()
        for one in found:
            names.add(one)
        self.assertEqual(list(names), sorted(found))
        self.assertEqual(bool(names), bool(found))

    def test_chronological(self):
        """
        Messages are in the order of the times in their names; else of the names.
        """
        names = [b"20.b", b"3.c", b"x.y", b"", b"3.b", b"+1.a", b"\xb2.a", b"100.a"]
        wanted = [b"", b"+1.a", b"x.y", b"\xb2.a", b"3.b", b"3.c", b"20.b", b"100.a"]
        self.assertEqual(sorted(names, key=chronological), wanted)


class ScanTests(SynchronousTestCase):
    """
    One folder, of which something is known.
    """

    def setUp(self):
        self.folder = os.fsencode(os.path.abspath(self.mktemp()))
        os.mkdir(self.folder)
        self.patch(maildir_scan, "STEP", 3)

    def make(self, *names):
        for name in names:
            with open(os.path.join(self.folder, name), "wb"):
                pass

    def block(self, *names, folder=1):
        found = []
        for name in names:
            base, colon, flags = name.partition(b":2,")
            path = os.path.join(self.folder, name)
            inode = os.stat(path).st_ino if os.path.exists(path) else 1
            found.append(Row(base, colon + flags, folder, 0, 0, inode))
        return Block(found)

    def scan(self, blocks, careful=False):
        known, _ = result(knowing(blocks, 1))
        changes = Changes()
        _, self.steps = result(scanning(self.folder, 1, known, careful, changes))
        self.lost, _ = result(losing(changes))
        return (
            [base + flags for _, base, _, flags, _ in changes.found],
            [base + flags for _, base, _, flags, _ in changes.gone],
        )

    def test_new(self):
        """
        What was not known is found; what is hidden, or no regular file, is not.
        """
        self.make(b"1.a", b"2.b:2,S", b".hidden")
        os.mkdir(os.path.join(self.folder, b"3.c"))
        os.symlink(b"1.a", os.path.join(self.folder, b"4.d"))
        self.assertEqual(self.scan([]), ([b"1.a", b"2.b:2,S"], []))
        self.assertFalse(self.lost)

    def test_known(self):
        """
        What is as it was known is not told.
        """
        self.make(b"1.a", b"2.b:2,S")
        block = self.block(b"1.a", b"2.b:2,S")
        self.assertEqual(self.scan([block]), ([], []))
        self.assertEqual(self.scan([block], careful=True), ([b"1.a", b"2.b:2,S"], []))

    def test_renamed(self):
        """
        A flagged message is found by its new name, and gone by the old one; not lost.
        """
        self.make(b"1.a:2,S")
        self.assertEqual(self.scan([self.block(b"1.a")]), ([b"1.a:2,S"], [b"1.a"]))
        self.assertFalse(self.lost)

    def test_replaced(self):
        """
        Another file in a message's place is found.
        """
        self.make(b"1.a")
        block = self.block(b"1.a")
        block.inodes()[0] += 1
        self.assertEqual(self.scan([block]), ([b"1.a"], []))

    def test_lost(self):
        """
        A message that is nowhere any more is lost.
        """
        self.make(b"2.b")
        block = self.block(b"1.a", b"2.b", b"3.c")
        self.assertEqual(self.scan([block]), ([], [b"1.a", b"3.c"]))
        self.assertTrue(self.lost)

    def test_otherFolder(self):
        """
        What is known to be in the other folder is not looked for in this one.
        """
        self.make(b"1.a")
        here, there = self.block(b"1.a"), self.block(b"2.b", folder=0)
        mixed = Block([*here.rows(), *there.rows()])
        for blocks in ([here, there], [mixed]):
            self.assertEqual(self.scan(blocks), ([], []))

    def test_noFolder(self):
        """
        Of a folder that is not there all that was known is gone.
        """
        block = self.block(b"1.a")
        os.rmdir(self.folder)
        self.assertEqual(self.scan([block]), ([], [b"1.a"]))

    def test_steps(self):
        """
        A folder is read in steps of so many names.
        """
        self.make(*(b"%d.a" % number for number in range(10)))
        self.scan([])
        self.assertEqual(self.steps, 3)
