"""
`extretr.stores.maildir_entries`, and the list of objects that it stands for.
"""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.offsets import Measured
from extretr.stores.columns import Block
from extretr.stores.entries import Entry, EntryList
from extretr.stores.maildir_entries import MaildirEntries
from extretr.stores.rows import Row

MAILDIR = b"/mail/bob"


def entries(sizes):
    """
    Give entries, a list of blocks of messages as large as said; None is not measured.
    """
    found, number = [], 0
    for some in sizes:
        rows = []
        for size in some:
            row = Row(b"%d.a" % number, b":2,S", number % 2, 5, 6, 7)
            rows.append(row if size is None else row._replace(size=size, kind=3))
            number += 1
        found.append(Block(rows))
    return MaildirEntries(MAILDIR, found)


SIZES = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 99)), min_size=1, max_size=4),
    max_size=5,
)


class EntriesTests(SynchronousTestCase):
    """
    Columns give what objects would.
    """

    @settings(derandomize=True, deadline=None)
    @given(SIZES, st.data())
    def test_alike(self, sizes, data):
        """
        Whatever blocks the messages are in, they are those of one list.
        """
        columns = entries(sizes)
        flat = [size for some in sizes for size in some]
        objects = EntryList(
            [
                Entry(
                    b"%d.a" % number,
                    b"%d.a" % number,
                    b"",
                    None if size is None else Measured(size, 5, True, False),
                )
                for number, size in enumerate(flat)
            ]
        )
        for learnt in data.draw(
            st.lists(st.integers(0, len(flat) - 1), max_size=3) if flat else st.just([])
        ):
            for each in (columns, objects):
                each.learn(learnt, Measured(7, 5, False, True))
        for ask in (len, lambda each: each.total(), lambda each: [*each.unmeasured()]):
            self.assertEqual(ask(columns), ask(objects))
        places = [0, *sorted(data.draw(st.sets(st.integers(0, len(flat))))), len(flat)]
        for begin, end in pairwise(places):
            for ask in ("sizes", "uniqueIds"):
                self.assertEqual(
                    list(getattr(columns, ask)(begin, end)),
                    list(getattr(objects, ask)(begin, end)),
                )
        for index in range(len(flat)):
            one, other = columns.at(index), objects.at(index)
            for name in ("key", "unique_id", "measured", "index"):
                self.assertEqual(getattr(one, name), getattr(other, name))

    def test_path(self):
        """
        An entry knows its file and what the file must be like.
        """
        columns = entries([[1], [2, 3]])
        self.assertEqual(columns.at(0).path, MAILDIR + b"/new/0.a:2,S")
        self.assertEqual(columns.at(1).path, MAILDIR + b"/cur/1.a:2,S")
        self.assertEqual(columns.at(2).status, (5, 6, 7))
        columns.moved(1, MAILDIR + b"/cur/1.a:2,RS")
        self.assertEqual(columns.at(1).path, MAILDIR + b"/cur/1.a:2,RS")
        self.assertEqual(columns.at(2).path, MAILDIR + b"/new/2.a:2,S")
