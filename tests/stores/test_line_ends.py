"""
`extretr.stores.line_ends`: from the canonical form to the stored form.
"""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores.line_ends import LineEnds, lacking
from extretr.wire import Canonicalizer
from tests.stores.appends import canonical


def store(octets, size, crlf=False):
    """
    Give the stored form of a message that comes in pieces of *size*.
    """
    line_ends = LineEnds(crlf)
    fed = [line_ends.feed(octets[at : at + size]) for at in range(0, len(octets), size)]
    return b"".join(fed) + line_ends.finish()


class LineEndsTests(SynchronousTestCase):
    """
    The stored form has LF where the canonical form has CRLF.
    """

    table = [
        ("nothing stays nothing", b"", b""),
        ("CRLF becomes LF", b"a\r\nb\r\n", b"a\nb\n"),
        ("a line may be empty", b"\r\n\r\n", b"\n\n"),
        ("a lone CR stays", b"a\rb\r\n", b"a\rb\n"),
        ("CR CRLF stays as it is", b"a\r\r\nb\r\n", b"a\r\r\nb\n"),
        ("so does CR CR CRLF", b"\r\r\r\n\r\n", b"\r\r\r\n\n"),
        ("a CR that ends all stays", b"a\r\n\r", b"a\n\r"),
        ("so do two", b"a\r\n\r\r", b"a\n\r\r"),
        ("NUL and 8-bit octets pass", b"\0\xff\r\n", b"\0\xff\n"),
    ]

    def test_table(self):
        """
        Each row of the table holds for pieces of every size.
        """
        for says, octets, stored in self.table:
            for size in range(1, len(octets) + 2):
                self.assertEqual(store(octets, size), stored, says)
                self.assertEqual(store(octets, size, crlf=True), octets, says)

    def test_smallMessages(self):
        """
        Each canonical message of up to seven awkward octets has its own form again.
        """
        count = 0
        for length in range(8):
            for each in product(b"\r\na", repeat=length):
                octets = bytes(each)
                if canonical(octets) != octets:
                    continue
                count += 1
                for size in (1, 2, 3, 8):
                    stored = store(octets, size)
                    self.assertEqual(canonical(stored), octets)
                    self.assertLessEqual(len(stored), len(octets))
        self.assertGreater(count, 100)

    @settings(derandomize=True, max_examples=500, deadline=None)
    @given(
        st.lists(st.sampled_from([b"\r\n", b"\r", b"a" * 20, b"\0\xff", b"."])),
        st.lists(st.integers(0, 200)),
    )
    def test_canonicalAgain(self, parts, edges):
        """
        Whatever is canonical is so again octet for octet, however it is cut.
        """
        octets = b"".join([*parts, b"\r\n"])
        line_ends = LineEnds()
        canonicalizer = Canonicalizer()
        again, at = b"", 0
        for edge in [*sorted(edges), len(octets)]:
            again += canonicalizer.feed(line_ends.feed(octets[at:edge]))
            at = max(at, edge)
        again += canonicalizer.feed(line_ends.finish()) + canonicalizer.finish()
        self.assertEqual(again, octets)

    def test_lacking(self):
        """
        A last line gets its end where it lacks, and is in the canonical form what it
        was.
        """
        for ending in (b"", b"a\n", b"a\r\n", b"a", b"a\r", b"a\r\r", b"\r"):
            for line_end in (b"\n", b"\r\n"):
                ended = ending + lacking(ending, line_end)
                self.assertEqual(canonical(ended), canonical(ending))
                self.assertTrue(ended == b"" or ended.endswith(b"\n"))
