"""
`extretr.syntax`: the words of the protocol.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import BadSyntax, NoSuchMessage, UnsafeUser
from extretr.syntax import (
    HUGE,
    are_unique_ids,
    as_unique_id,
    as_unique_ids,
    failure,
    is_unique_id,
    parse_index,
    parse_number,
    printable,
    split_user,
    success,
)


class NumberTests(SynchronousTestCase):
    """
    A number is one or more ASCII digits and nothing else (spec reading 8).
    """

    def test_digits(self):
        """
        Digits are read in base ten, with leading zeros or without.
        """
        for text, number in [(b"0", 0), (b"7", 7), (b"007", 7), (b"345628", 345628)]:
            self.assertEqual(parse_number(text), number)

    def test_anythingElse(self):
        """
        f17: a sign, an underscore, hex, white space, 8-bit digits are refused.
        """
        for text in [
            b"", b"+1", b"-1", b"1_0", b"0x1", b" 1", b"1 ", b"1\t", b"\x0b1", b"1.0",
            "\u0661".encode(), b"\xff", b"1\n", b"a",
        ]:  # fmt: skip
            self.assertRaises(BadSyntax, parse_number, text)

    def test_huge(self):
        """
        An absurdly large number is a number, larger than any size, and no crash.
        """
        for digits in (19, 20, 31, 500, 10000):
            self.assertEqual(parse_number(b"9" * digits), HUGE)
        self.assertEqual(parse_number(b"0" * 9000 + b"5"), 5)

    def test_index(self):
        """
        A message-number counts from 1, an index from 0; there is no message 0.
        """
        self.assertEqual(parse_index(b"1"), 0)
        self.assertRaises(NoSuchMessage, parse_index, b"0")
        self.assertRaises(BadSyntax, parse_index, b"x")


class ReplyTests(SynchronousTestCase):
    """
    A reply is one line of at most 512 octets.
    """

    def test_lines(self):
        """
        A reply says +OK or -ERR, then its text.
        """
        self.assertEqual(success(b"1 2"), b"+OK 1 2\r\n")
        self.assertEqual(success(), b"+OK \r\n")
        self.assertEqual(failure(b"no"), b"-ERR no\r\n")

    def test_limit(self):
        """
        A longer text is cut (RFC 2449, section 4).
        """
        for line in (success(b"x" * 9999), failure(b"x" * 9999)):
            self.assertEqual(len(line), 512)
            self.assertEqual(line[-2:], b"\r\n")

    def test_printable(self):
        """
        What a client sent comes back without control or 8-bit octets, and short.
        """
        self.assertEqual(printable(b"a\r\n\0\xffb"), b"a????b")
        self.assertEqual(len(printable(b"a" * 999)), 100)


class UniqueIdTests(SynchronousTestCase):
    """
    A unique-id is 1 to 70 octets from 0x21 to 0x7E (RFC 1939, section 7).
    """

    def test_valid(self):
        """
        The two ends of each range are in.
        """
        for octets in (b"!", b"~", b"a" * 70):
            self.assertTrue(is_unique_id(octets))
            self.assertEqual(as_unique_id(octets), octets)

    def test_invalid(self):
        """
        f52: anything else is replaced by a hash that is one, always the same.
        """
        for octets in (b"", b"a b", b"a\r\nDELE 1", b"\x7f", b"\xe9", b"a" * 71):
            self.assertFalse(is_unique_id(octets))
            self.assertTrue(is_unique_id(as_unique_id(octets)))
            self.assertEqual(as_unique_id(octets), as_unique_id(octets))
        self.assertNotEqual(as_unique_id(b"a b"), as_unique_id(b"a c"))

    def test_text(self):
        """
        A mailbox may name its messages by text or number.
        """
        self.assertEqual(as_unique_id("x"), b"x")
        self.assertEqual(as_unique_id(7), b"7")


class UserTests(SynchronousTestCase):
    """
    A user name becomes part of a path only where it is harmless.
    """

    def test_safe(self):
        """
        A name is split at its last @.
        """
        self.assertEqual(split_user(b"bob"), (b"bob", b""))
        self.assertEqual(split_user(b"bob@a.org"), (b"bob", b"a.org"))
        self.assertEqual(split_user(b"a@b@c"), (b"a@b", b"c"))
        self.assertEqual(split_user("b\u00f6b".encode()), ("b\u00f6b".encode(), b""))

    def test_unsafe(self):
        """
        A slash, a control octet, a leading dot and an empty part are refused.
        """
        for user in [
            b"", b"..", b".", b".bob", b"a/b", b"/etc", b"a\0", b"a\n", b"a\x7f",
            b"bob@", b"@a.org", b"bob@.org", b"bob@..", b".bob@a.org", b"@",
        ]:  # fmt: skip
            self.assertRaises(UnsafeUser, split_user, user)


class ManyUniqueIdsTests(SynchronousTestCase):
    """
    Unique-ids, many at a time.
    """

    @settings(derandomize=True, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=5),
                st.integers(68, 72).map(lambda length: b"x" * length),
                st.sampled_from([b"a", b"!~", b"a b", b"\x7f", b"\xe9"]),
            )
        )
    )
    def test_asOneByOne(self, names):
        """
        Many are judged, and made, as one by one.
        """
        self.assertEqual(are_unique_ids(names), all(map(is_unique_id, names)))
        self.assertEqual(list(as_unique_ids(names)), list(map(as_unique_id, names)))
