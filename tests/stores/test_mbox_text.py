"""
`extretr.stores.mbox_text`: a message as it stands in an mbox.
"""

import tracemalloc
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import mbox_text
from extretr.stores.appending import CannotDeliver
from extretr.stores.mbox_quoting import Unquoter
from extretr.stores.mbox_text import MboxText, Quoter, from_line_of, opening
from tests.stores.appends import MESSAGES, Message, canonical


def quote(octets, size):
    quoter = Quoter()
    fed = [quoter.feed(octets[at : at + size]) for at in range(0, len(octets), size)]
    return b"".join(fed) + quoter.finish()


def unquote(octets):
    unquoter = Unquoter()
    return unquoter.feed(octets) + unquoter.finish()


class QuoterTests(SynchronousTestCase):
    """
    Lines that look like a From_ line get one ``>`` more.
    """

    table = [
        ("at the beginning", b"From x\n", b">From x\n"),
        ("after a line", b"a\nFrom \n", b"a\n>From \n"),
        ("quoted lines too", b">From x\n>>>From \n", b">>From x\n>>>>From \n"),
        ("not within a line", b"a From x\n >From x\n", b"a From x\n >From x\n"),
        ("not without the space", b"From\n>From\nFromm\n", b"From\n>From\nFromm\n"),
        ("not in another case", b"from x\nFROM x\n", b"from x\nFROM x\n"),
        ("not after a lone CR", b"a\rFrom x\n", b"a\rFrom x\n"),
        ("after CRLF", b"a\r\nFrom x\r\n", b"a\r\n>From x\r\n"),
        ("without a line end", b"a\nFrom ", b"a\n>From "),
        ("what begins so ends all", b"a\n>>Fro", b"a\n>>Fro"),
        ("nothing stays nothing", b"", b""),
    ]

    def test_table(self):
        """
        Each row of the table holds for pieces of every size.
        """
        for says, octets, quoted in self.table:
            for size in range(1, len(octets) + 2):
                self.assertEqual(quote(octets, size), quoted, says)
            self.assertEqual(unquote(quoted), octets, says)

    @settings(derandomize=True, max_examples=500, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [b"\n", b"\r\n", b">", b">" * 9, b"From ", b"Fr", b"om ", b"a"]
            )
        ),
        st.integers(1, 30),
    )
    def test_unquotedAgain(self, parts, size):
        """
        Whatever is quoted is itself again when it is unquoted, and has no line that
        begins with From_.
        """
        octets = b"".join(parts)
        quoted = quote(octets, size)
        self.assertEqual(unquote(quoted), octets)
        self.assertNotIn(b"\nFrom ", b"\n" + quoted)

    def test_longLine(self):
        """
        A line of nothing but ``>`` is not held back.
        """
        quoter = Quoter()
        for _ in range(10):
            self.assertEqual(quoter.feed(b">" * 1000), b">" * 1000)
        self.assertEqual(quoter.feed(b"From x"), b">From x")


class MboxTextTests(SynchronousTestCase):
    """
    The text is a From_ line, the message, and an empty line.
    """

    def text(self, octets, crlf=False, step=7):
        return b"".join(MboxText(Message(octets, step), b"From x", crlf).pieces())

    def test_lf(self):
        """
        Lines end in LF.
        """
        text = self.text(b"A: 1\r\n\r\nFrom x\r\n")
        self.assertEqual(text, b"From x\nA: 1\n\n>From x\n\n")

    def test_crlf(self):
        """
        Lines end in CRLF where that is asked, those that are added too.
        """
        text = self.text(b"A: 1\r\n\r\nFrom x\r\n", crlf=True)
        self.assertEqual(text, b"From x\r\nA: 1\r\n\r\n>From x\r\n\r\n")

    def test_noLineEnd(self):
        """
        A message whose last line has no end does not swallow the empty line.
        """
        self.assertEqual(self.text(b"a"), b"From x\na\n\n")
        self.assertEqual(self.text(b"a", crlf=True), b"From x\r\na\r\n\r\n")
        self.assertEqual(self.text(b"a\r"), b"From x\na\r\r\n\n")

    def test_pieces(self):
        """
        It is the same however the message is cut; all pieces but the last are large.
        """
        self.patch(mbox_text, "STEP", 64)
        for octets, crlf in product(MESSAGES, (False, True)):
            expected = self.text(octets, crlf, 10_000)
            for step in (1, 2, 3, 50, 99):
                text = MboxText(Message(octets, step), b"From x", crlf)
                pieces = list(text.pieces())
                self.assertEqual(b"".join(pieces), expected)
                self.assertEqual(b"".join(text.pieces()), expected)
                self.assertTrue(all(len(piece) >= 64 for piece in pieces[:-1]))

    def test_wrongSize(self):
        """
        A message that is not as long as it should be is no message.
        """
        message = Message(b"a\r\n")
        message.size = 4
        self.assertRaises(CannotDeliver, list, MboxText(message, b"", False).pieces())

    def test_memory(self):
        """
        A message of many mebioctets takes some hundreds of kibioctets.
        """

        class Long:
            size = 64 * 1024 * 512

            def pieces(self):
                for _ in range(512):
                    yield b"0123456789abcd\r\n" * 4096

        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        count = sum(map(len, MboxText(Long(), b"From x", False).pieces()))
        self.assertGreater(count, 30 * 1024 * 1024)
        self.assertLess(tracemalloc.get_traced_memory()[1], 2 * 1024 * 1024)


class FromLineTests(SynchronousTestCase):
    """
    The From_ line says who sent a message, and when it came.
    """

    table = [
        (b"Return-Path: <a@b.example>\r\n\r\n", b"a@b.example"),
        (b"RETURN-PATH:a@b.example \r\n\r\n", b"a@b.example"),
        (b"A: 1\r\nReturn-Path: root\r\nB: 2\r\n\r\n", b"root"),
        (b"Return-Path: <a+b=c@[192.0.2.1]>\r\n\r\n", b"a+b=c@[192.0.2.1]"),
        (b"Return-Path: <a@b>\r\nReturn-Path: <c@d>\r\n\r\n", b"a@b"),
        (b"Return-Path: <>\r\nReturn-Path: <c@d>\r\n\r\n", None),
        (b"Return-Path:\r\n\r\n", None),
        (b'Return-Path: <"a b"@c>\r\n\r\n', None),
        (b"Return-Path: a b@c\r\n\r\n", None),
        (b"Return-Path: <a@b\r\n\r\n", None),
        (b"Return-Path: a@b>\r\n\r\n", None),
        (b"Return-Path: <a\rb@c>\r\n\r\n", None),
        (b"Return-Path: <\xe4@b>\r\n\r\n", None),
        (b"Return-Path: <%b@c>\r\n\r\n" % (b"a" * 999), None),
        (b"A: 1\r\n\r\nReturn-Path: <a@b>\r\n", None),
        (b"A:\r\n Return-Path: <a@b>\r\n\r\n", None),
        (b"Return-Path: <a@b>\r\n", b"a@b"),
        (b"", None),
    ]

    def test_table(self):
        """
        The sender is the address of the first Return-Path, if it is a plain one.
        """
        for octets, sender in self.table:
            for step in (1, 1000):
                line = from_line_of(Message(octets, step), 0.0)
                expected = b"From %b Thu Jan  1 00:00:00 1970"
                self.assertEqual(line, expected % (sender or b"MAILER-DAEMON"), octets)

    def test_when(self):
        """
        The time is that of UTC.
        """
        line = from_line_of(Message(b""), 951_782_400.9)
        self.assertEqual(line, b"From MAILER-DAEMON Tue Feb 29 00:00:00 2000")

    def test_endlessHeader(self):
        """
        A message without an end of its header is not read to its end.
        """
        read = []

        class Long:
            def pieces(self):
                for number in range(1000):
                    read.append(number)
                    yield b"a" * 1024

        from_line_of(Long(), 0.0)
        self.assertEqual(len(read), 64)


class OpeningTests(SynchronousTestCase):
    """
    An mbox gets an empty line at its end where it has none.
    """

    table = [
        (b"", b"", b""),
        (b"a\n\n", b"", b""),
        (b"\r\n\r\n"[1:], b"", b""),
        (b"\n\r\n", b"", b""),
        (b"ab\n", b"\n", b"\r\n"),
        (b"a\r\n", b"\n", b"\r\n"),
        (b"abc", b"\n\n", b"\r\n\r\n"),
        (b"ab\r", b"\r\n\n", b"\r\n\r\n"),
        (b"\r\r\n", b"\n", b"\r\n"),
    ]

    def test_table(self):
        """
        What is lacking is as the line ends are, and changes no message.
        """
        for ending, lf, crlf in self.table:
            self.assertEqual(opening(ending, False), lf, ending)
            self.assertEqual(opening(ending, True), crlf, ending)
            for added in (lf, crlf):
                last = ending + added
                empty = b"\r\n" if last.endswith(b"\r\n") else b"\n"
                if ending and added:
                    message = last.removesuffix(empty)
                    self.assertEqual(canonical(message), canonical(ending), ending)
