"""
`extretr.server.shared_counts`: a table that several processes count in.
"""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import ServerBusy
from extretr.server.shared_counts import SharedCounts, make_table

#: Counts up to a limit of 1 and down again, together with others; says how often it
#: tried, and how many there were at most.
RACER = """
import sys, time
from extretr.server.shared_counts import SharedCounts
counts = SharedCounts(int(sys.argv[1]), 4, int(sys.argv[2]), b"secret")
got = refused = most = 0
sys.stdin.read()
for turn in range(1500):
    key = b"%d" % (turn % 2)
    with counts:
        free = counts.of(key) < 1
        if turn % 3 == 0:
            # Others get their chance in between.
            time.sleep(0.00001)
        if free:
            counts.more(key)
    if free:
        got += 1
        most = max(most, counts.of(key))
        counts.less(key)
    else:
        refused += 1
print(got + refused, most)
if sys.argv[2] == "3":
    counts.more(b"kept")
"""


class TableTestCase(SynchronousTestCase):
    """
    A table of two processes, which are one.
    """

    keys = 50

    def setUp(self):
        self.table = make_table(2, self.keys)
        self.addCleanup(os.close, self.table)
        self.one, self.two = (
            SharedCounts(self.table, 2, number, b"secret") for number in (0, 1)
        )


class CountsTests(TableTestCase):
    """
    Counts of keys.
    """

    def test_sum(self):
        """
        All see what each has counted; nobody takes back what another has.
        """
        self.assertEqual(self.one.of(b"a"), 0)
        self.one.more(b"a", b"b")
        self.two.more(b"a")
        for counts in (self.one, self.two):
            self.assertEqual([counts.of(key) for key in (b"a", b"b", b"c")], [2, 1, 0])
        self.two.less(b"b")
        self.two.less(b"c")
        self.assertEqual(self.one.of(b"b"), 1)
        self.one.less(b"b")
        self.assertEqual(self.two.of(b"b"), 0)

    def test_forget(self):
        """
        What a dead one has counted goes, and nothing else.
        """
        for key in range(40):
            self.one.more(b"%d" % key)
            self.two.more(b"%d" % key)
        self.one.note(b"a", 5)
        SharedCounts(self.table, 2).forget(0)
        self.assertEqual({self.one.of(b"%d" % key) for key in range(40)}, {1})
        self.assertTrue(self.two.is_noted(b"a", 5))
        self.one.less(b"7")
        self.assertEqual(self.one.of(b"7"), 1)

    def test_usedAgain(self):
        """
        Of keys that are not counted any more nothing stays: any number of them is.
        """
        self.one.more(b"stays")
        for key in range(20_000):
            self.one.more(b"%d" % key)
            self.one.less(b"%d" % key)
        self.assertEqual(self.two.of(b"stays"), 1)

    def test_full(self):
        """
        Where there is no room nothing is counted, and what was has its count.
        """
        held = []
        with self.assertRaises(ServerBusy):
            for key in range(20_000):
                self.one.more(b"%d" % key)
                held.append(b"%d" % key)
        self.assertGreater(len(held), self.keys)
        full = b"%d" % len(held)
        self.assertRaises(ServerBusy, self.one.more, b"0", full)
        self.assertEqual({self.two.of(key) for key in held}, {1})
        self.assertEqual(self.two.of(full), 0)
        self.two.more(b"0")
        self.assertEqual(self.one.of(b"0"), 2)

    @given(
        st.lists(
            st.tuples(st.booleans(), st.sampled_from("mlf"), st.integers(0, 5)),
            max_size=60,
        )
    )
    def test_model(self, steps):
        """
        Two processes count as two dictionaries do, also of keys in the same slots.
        """
        table = make_table(2, 0)
        self.addCleanup(os.close, table)
        counts = [SharedCounts(table, 2, number) for number in (0, 1)]
        model = [dict.fromkeys(range(6), 0) for _ in counts]
        for number, what, key in steps:
            if what == "m":
                counts[number].more(b"%d" % key)
                model[number][key] += 1
            elif what == "l":
                counts[number].less(b"%d" % key)
                model[number][key] = max(model[number][key] - 1, 0)
            else:
                counts[1 - number].forget(number)
                model[number] = dict.fromkeys(range(6), 0)
            for each in range(6):
                expected = model[0][each] + model[1][each]
                self.assertEqual(counts[number].of(b"%d" % each), expected)

    def test_noMemfd(self):
        """
        Where files cannot lie in memory, it is one that has no name.
        """
        self.patch(os, "memfd_create", None)
        del os.memfd_create
        self.setUp()
        self.test_sum()


class NotesTests(TableTestCase):
    """
    Times, which all see.
    """

    def test_since(self):
        """
        What was noted is told for as long as it is asked for, not much longer.
        """
        self.assertFalse(self.two.is_noted(b"a", -900))
        self.one.note(b"a", 1000.9)
        self.assertTrue(self.two.is_noted(b"a", 1000.9))
        self.assertFalse(self.two.is_noted(b"a", 1001.1))
        self.assertFalse(self.two.is_noted(b"b", 0))


class RaceTests(SynchronousTestCase):
    """
    Processes that count at the same time.
    """

    def test_race(self):
        """
        There are never more than may be, and in the end nothing but what one that has
        died still held, until that is forgotten.
        """
        table = make_table(4, 10)
        self.addCleanup(os.close, table)
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(table), str(number)],
                pass_fds=[table],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for number in range(4)
        ]
        for racer in racers:
            racer.stdin.close()
        for racer in racers:
            with racer.stdout:
                turns, most = map(int, racer.stdout.read().split())
            self.assertEqual(racer.wait(), 0)
            self.assertEqual(turns, 1500)
            self.assertLessEqual(most, 1)
        counts = SharedCounts(table, 4, 0, b"secret")
        self.assertEqual([counts.of(key) for key in (b"0", b"1", b"kept")], [0, 0, 1])
        counts.forget(3)
        self.assertEqual(counts.of(b"kept"), 0)

    def test_diesWithTheLock(self):
        """
        One that dies while it has the lock keeps it from nobody.
        """
        table = make_table(1, 10)
        self.addCleanup(os.close, table)
        dies = "import sys, os; from extretr.server.shared_counts import SharedCounts; "
        dies += f"SharedCounts({table}, 1).__enter__(); os.kill(os.getpid(), 9)"
        path = os.pathsep.join(sys.path)
        killed = subprocess.run(
            [sys.executable, "-c", dies],
            pass_fds=[table],
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        self.assertEqual(killed.returncode, -9)
        with SharedCounts(table, 1) as counts:
            self.assertIsNone(counts)
