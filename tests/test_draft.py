"""
draft-rundegren-pop3-01, section by section, as it is told in docs/draft.rst.
"""

from tests import models
from tests.server.dialogue import DialogueTestCase


class Section22Tests(DialogueTestCase):
    """
    Section 2.2, the offset argument.
    """

    size = 1253512

    def setUp(self):
        line = b"0123456789" * 7 + b"\r\n"
        self.whole = (line * (self.size // len(line) + 1))[: self.size - 2] + b"\r\n"
        self.messages = [self.whole]
        super().setUp()

    def test_example(self):
        """
        ``RETR 1 345628`` is ``+OK 1253512 octets`` and all after the first 345,628.
        """
        answer = self.send(b"RETR 1 345628\r\n")
        status, _, body = answer.partition(b"\r\n")
        self.assertEqual(status.split()[:3], [b"+OK", b"1253512", b"octets"])
        self.assertEqual(body, self.whole[345628:] + b".\r\n")

    def test_withoutOffset(self):
        """
        Without an offset RETR is that of RFC 1939.
        """
        _, _, body = self.send(b"RETR 1\r\n").partition(b"\r\n")
        self.assertEqual(body, self.whole + b".\r\n")

    def test_mayNotBeDeleted(self):
        """
        The message-number may not refer to a message marked as deleted.
        """
        self.send(b"DELE 1\r\n")
        self.assertTrue(self.send(b"RETR 1 345628\r\n").startswith(b"-ERR "))

    def test_beyondTheSize(self):
        """
        An offset beyond the size, or erroneous in its syntax, is -ERR.
        """
        for offset in (b"1253513", b"x", b"-1"):
            self.assertTrue(
                self.send(b"RETR 1 " + offset + b"\r\n").startswith(b"-ERR ")
            )


class Section23Tests(DialogueTestCase):
    """
    Section 2.3, bytestuffing.
    """

    def setUp(self):
        self.whole = b"x" * 113435 + b".rest of the line\r\n"
        self.whole += b"y" * (217743 - len(self.whole) - 2) + b"\r\n"
        self.messages = [self.whole]
        super().setUp()

    def test_example(self):
        """
        Cut after exactly 113,435 octets of 217,743, before a dot: it is stuffed.
        """
        answer = self.send(b"RETR 1 113435\r\n")
        status, _, body = answer.partition(b"\r\n")
        self.assertEqual(status.split()[1], b"217743")
        self.assertTrue(body.startswith(b"..rest of the line\r\n"))
        self.assertEqual(body, models.wire(self.whole[113435:]))

    def test_stuffingDoesNotCount(self):
        """
        Octets added by stuffing are in no size and no offset.
        """
        self.mailbox.messages.append(b".\r\n" * 100 + b"end\r\n")
        self.assertEqual(self.send(b"LIST 2\r\n"), b"+OK 2 305\r\n")
        self.assertEqual(
            self.send(b"RETR 2 300\r\n"), b"+OK 305 octets (5 to come)\r\nend\r\n.\r\n"
        )


class Section3Tests(DialogueTestCase):
    """
    Section 3, extended response codes.
    """

    def test_codes(self):
        """
        OFFSET-OVERRUN and NON-EXISTENT are sent with the texts of the draft.
        """
        self.dialogue(b"""
            C: RETR 1 99999
            S: -ERR [OFFSET-OVERRUN] message exists
            C: RETR 99 5
            S: -ERR [NON-EXISTENT] no such message
            C: RETR 99
            S: -ERR [NON-EXISTENT] no such message""")

    def test_otherErrors(self):
        """
        For all other errors a simple -ERR is sent.
        """
        self.assertRegex(self.send(b"RETR 1 x\r\n"), rb"\A-ERR [^\[]")


class Section4Tests(DialogueTestCase):
    """
    Section 4, the CAPA tag.
    """

    def test_tag(self):
        """
        EXT-RETR is announced in both states, without arguments.
        """
        self.assertIn(b"\r\nEXT-RETR\r\n", self.send(b"CAPA\r\n"))
        self.session.mbox = None
        self.assertIn(b"\r\nEXT-RETR\r\n", self.send(b"CAPA\r\n"))

    def test_state(self):
        """
        RETR is valid in the TRANSACTION state only.
        """
        self.session.mbox = None
        self.assertTrue(self.send(b"RETR 1 5\r\n").startswith(b"-ERR "))
