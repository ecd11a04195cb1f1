"""
What is to be done with each message.
"""

from twisted.trial.unittest import SynchronousTestCase

from extretr.client.journal import FILTERED, HEADER, WHOLE, Delivered
from extretr.client.maildrop import Entry
from extretr.client.plan import DAY, plan
from extretr.client.work import Policy

NOW = 100 * DAY


class PlanTests(SynchronousTestCase):
    """
    A maildrop, what was done before, and a policy.
    """

    def plan(self, entries, delivered=(), held=(), **policy):
        made = plan(entries, dict(delivered), set(held), Policy(**policy), NOW)
        return (
            [entry.unique_id for entry in made.todo],
            [entry.unique_id for entry in made.doomed],
            [entry.unique_id for entry in made.large],
        )

    def entries(self, *unique_ids, size=10):
        return [Entry(index, name, size) for index, name in enumerate(unique_ids)]

    def done(self, kind=WHOLE, days=0.0):
        return {b"a": Delivered(NOW - days * DAY, kind)}

    def test_new(self):
        """
        What is not delivered yet is fetched, in the order of the maildrop.
        """
        entries = self.entries(b"b", b"a", b"c")
        self.assertEqual(self.plan(entries), ([b"b", b"a", b"c"], [], []))
        self.assertEqual(self.plan(entries, self.done()), ([b"b", b"c"], [], []))

    def test_begunFirst(self):
        """
        What is begun comes first.
        """
        entries = self.entries(b"a", b"b", b"c")
        self.assertEqual(self.plan(entries, held=[b"b"])[0], [b"b", b"a", b"c"])

    def test_delete(self):
        """
        What is delivered is deleted when its days are over, or never.
        """
        entries = self.entries(b"a")
        for days, after, doomed in [
            (0, None, []),
            (99, None, []),
            (0, 0, [b"a"]),
            (29.9, 30, []),
            (30, 30, [b"a"]),
        ]:
            done = self.done(days=days)
            self.assertEqual(self.plan(entries, done, delete_after=after)[1], doomed)

    def test_notWhole(self):
        """
        What was not delivered whole is never deleted.
        """
        entries = self.entries(b"a", size=100)
        for kind in (HEADER, FILTERED):
            done = self.done(kind, days=99)
            made = self.plan(
                entries, done, delete_after=0, max_size=10, headers_of_large=True
            )
            self.assertEqual(made, ([], [], []))

    def test_ambiguous(self):
        """
        What shares its unique-id with another is never deleted.
        """
        entries = self.entries(b"a", b"a")
        for entry in entries:
            entry.ambiguous = True
        self.assertEqual(self.plan(entries, self.done(), delete_after=0)[1], [])

    def test_large(self):
        """
        What is too large is left, or its header fetched, once.
        """
        entries = [Entry(0, b"a", 11), Entry(1, b"b", 10)]
        self.assertEqual(self.plan(entries, max_size=10), ([b"b"], [], [b"a"]))
        self.assertFalse(entries[0].header_only)
        made = self.plan(entries, max_size=10, headers_of_large=True)
        self.assertEqual(made, ([b"a", b"b"], [], []))
        self.assertTrue(entries[0].header_only)
        done = self.done(HEADER)
        made = self.plan(entries, done, max_size=10, headers_of_large=True)
        self.assertEqual(made, ([b"b"], [], []))

    def test_largeNoMore(self):
        """
        What was too large, and is not by a new limit, is fetched whole.
        """
        entries = self.entries(b"a", size=100)
        made = self.plan(entries, self.done(HEADER), max_size=100)
        self.assertEqual(made, ([b"a"], [], []))
        self.assertFalse(entries[0].header_only)
