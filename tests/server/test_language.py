"""
`extretr.server.language`: UTF8 and LANG (RFC 6856).
"""

from hypothesis import given
from hypothesis import strategies as st

from extretr.server.language import HEADER_LIMIT
from extretr.server.protocol import ExtendedPOP3
from tests import models
from tests.server.dialogue import DialogueTestCase, ListMailbox

INTERNATIONAL = "From: Ægir <ægir@example.org>\nSubject: grüße\n\nKörper\n.\n".encode()


class LanguageTests(DialogueTestCase):
    """
    LANG.
    """

    def makeMailbox(self):
        return None

    def test_listing(self):
        """
        Without an argument the languages are listed; and so they are after the login.
        """
        for _ in range(2):
            self.dialogue(b"""
                C: LANG
                S: +OK language listing follows:
                S: en English
                S: i-default Default language
                S: .""")
            self.session.mbox = ListMailbox(self.messages)

    def test_chosen(self):
        """
        A language is chosen by its range, in any case, and the reply has its tag; the
        one that the administrator prefers, by a star.
        """
        self.dialogue(b"""
            C: LANG en
            S: +OK en this text is in English
            C: LANG *
            S: +OK en this text is in English
            C: lang EN-gb-oed
            S: +OK en this text is in English
            C: LANG i-default
            S: +OK i-default this text is in English""")

    def test_unknown(self):
        """
        Any other, and what is no range, is refused.
        """
        self.dialogue(b"""
            C: LANG uga
            S: -ERR invalid language uga
            C: LANG e
            S: -ERR invalid language e
            C: LANG i
            S: -ERR invalid language i
            C: LANG en-
            S: -ERR invalid language en-
            C: LANG **
            S: -ERR invalid language **
            C: LANG \xff\x00
            S: -ERR invalid language ??
            C: LANG en de
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments""")


class ModeCase(DialogueTestCase):
    """
    A session that has not logged in yet.
    """

    messages = (INTERNATIONAL, b"Subject: plain\n\nbody\n")

    def makeMailbox(self):
        return None

    def log_in(self):
        self.session.mbox = ListMailbox(self.messages)

    def anew(self, *before):
        """
        Begin another session, say this before the login, and log in.
        """
        self.setUp()
        for command in before:
            self.assertEqual(self.send(command + b"\r\n")[:3], b"+OK")
        self.log_in()


class UTF8Tests(ModeCase):
    """
    UTF8, where the server sends whatever it has.
    """

    def test_state(self):
        """
        UTF8 is for before the login, without an argument; STLS may not follow it.
        """
        self.session.tls = object()
        self.transport.startTLS = None
        self.assertIn(b"\r\nUTF8\r\n", self.send(b"CAPA\r\n"))
        self.dialogue(b"""
            C: UTF8 USER
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments
            C: UTF8
            S: +OK UTF-8 mode
            C: UTF8
            S: +OK UTF-8 mode
            C: STLS
            S: -ERR STLS comes before UTF8""")
        self.log_in()
        self.dialogue(b"""
            C: UTF8
            S: -ERR UTF8 comes before the login
            C: STLS
            S: -ERR STLS comes before the login""")
        self.assertIn(b"\r\nUTF8\r\n", self.send(b"CAPA\r\n"))

    def test_sameOctets(self):
        """
        Sizes, unique-ids and all that is sent, from any offset, are the same with UTF8
        and without.
        """
        size = len(models.canonical(INTERNATIONAL))
        commands = [b"STAT", b"LIST", b"UIDL", b"TOP 1 1"]
        commands += [b"RETR 1 %d" % offset for offset in range(size + 2)]
        answers = []
        for before in ((), (b"UTF8",)):
            self.anew(*before)
            answers.append([self.send(command + b"\r\n") for command in commands])
        self.assertTrue(self.session.utf8Mode)
        self.assertEqual(*answers)

    @given(
        st.text(min_size=1, max_size=60).map(str.encode)
        | st.binary(min_size=1, max_size=60),
        st.integers(0, 100),
        st.booleans(),
    )
    def test_resumedAcross(self, octets, held, first):
        """
        A download that was begun without UTF8 goes on with it, and the other way
        round: the octets fit.
        """
        self.messages = (octets,)
        whole = models.canonical(octets)
        held = min(held, len(whole))
        if not models.accepted(whole, held):
            held -= 1
        got = []
        for mode, offset in ((first, 0), (not first, held)):
            self.anew(*([b"UTF8"] if mode else []))
            said = self.send(b"RETR 1 %d\r\n" % offset)
            got.append(said.partition(b"\r\n")[2])
        self.assertEqual(got, [models.wire(whole), models.wire(whole[held:])])


class StrictPOP3(ExtendedPOP3):
    strictUTF8 = True


class StrictTests(ModeCase):
    """
    UTF8, where the server holds back what a client has not asked for.
    """

    protocol = StrictPOP3

    def test_heldBack(self):
        """
        A message with UTF-8 in its header is for clients with UTF8 alone, from
        whatever offset; lists are the same for all, and so is what else they get.
        """
        self.anew()
        listed = self.send(b"LIST\r\n")
        self.dialogue(b"""
            C: RETR 1
            S: -ERR [UTF8] the message needs UTF-8 mode
            C: RETR 1 20
            S: -ERR [UTF8] the message needs UTF-8 mode
            C: TOP 1 0
            S: -ERR [UTF8] the message needs UTF-8 mode
            C: RETR 2 18
            S: +OK 24 octets (6 to come)
            S: body
            S: .
            C: RETR 2 99
            S: -ERR [OFFSET-OVERRUN] message exists
            C: RETR 3
            S: -ERR [NON-EXISTENT] no such message""")
        self.anew(b"UTF8")
        self.assertEqual(self.send(b"LIST\r\n"), listed)
        whole = models.canonical(INTERNATIONAL)
        self.assertTrue(self.send(b"RETR 1\r\n").endswith(models.wire(whole)))

    def test_headers(self):
        """
        Only a header counts, and only UTF-8 in it: a body of eight bits is for all,
        and so are octets that are no UTF-8.
        """
        for message, held_back in (
            (b"A: b\n\n\xc3\xa6\n", False),
            (b"A: b\r\n\r\n\xc3\xa6\r\n", False),
            (b"\n\xc3\xa6\n", False),
            (b"\r\n\xc3\xa6\n", False),
            (b"A: \xe6\n\nbody\n", False),
            (b"A: \xc3\xa6 \xe6\n\nbody\n", False),
            (b"A: \xc3\xa6\r\n\r\nbody\r\n", True),
            (b"A: \xc3\xa6", True),
            (b"A: " + b"b" * HEADER_LIMIT + b"\xc3\xa6", False),
            # The limit falls between two characters, and within one.
            (b"A:" + b"\xc3\xa9" * HEADER_LIMIT, True),
            (b"A: " + b"\xc3\xa9" * HEADER_LIMIT, True),
        ):
            self.messages = (message,)
            self.anew()
            said = self.send(b"RETR 1\r\n")
            self.assertEqual(said.startswith(b"-ERR [UTF8]"), held_back, message[:20])

    def test_closed(self):
        """
        The file that is looked into is closed.
        """
        opened = []

        class Mailbox(ListMailbox):
            def getMessage(self, index):
                opened.append(super().getMessage(index))
                return opened[-1]

        self.session.mbox = Mailbox(self.messages)
        self.assertEqual(self.send(b"RETR 1\r\n")[:11], b"-ERR [UTF8]")
        self.assertGreater(len(opened), 0)
        self.assertTrue(all(file.closed for file in opened))
