"""
`extretr.server.listings`: STAT, LIST and UIDL of mailboxes that list piece by piece.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from extretr.interfaces import IListableMailbox, ISeekableMailbox
from extretr.offsets import Measured
from extretr.server import listings
from extretr.server.listings import SIZE_LINE, UNIQUE_ID_LINE, listing_lines
from extretr.stores.entries import Entry
from extretr.stores.index import Index
from extretr.stores.maildrop import Maildrop
from tests.server.dialogue import DialogueTestCase


class FakeHeld:
    def release(self):
        pass


def at_once(steps):
    for _ in steps:
        pass
    return succeed(None)


def maildrop(sizes):
    return Maildrop(
        [
            Entry(b"%d" % n, b"uid%d" % n, b"", Measured(size, size, True, False))
            for n, size in enumerate(sizes)
        ],
        Index(None),
        FakeHeld(),
        at_once,
    )


class LineTests(SynchronousTestCase):
    """
    `listing_lines`.
    """

    @settings(derandomize=True, deadline=None)
    @given(
        st.lists(st.integers(0, 10**20), max_size=20),
        st.sets(st.integers(0, 19)),
        st.integers(1, 7),
    )
    def test_sizes(self, sizes, hidden, piece):
        """
        However many at a time, there is a line for each message that is not hidden.
        """
        hidden = {index for index in hidden if index < len(sizes)}
        lines = listing_lines(
            SIZE_LINE, lambda b, e: sizes[b:e], len(sizes), hidden, piece
        )
        wanted = b"".join(
            b"%d %d\r\n" % (index + 1, size)
            for index, size in enumerate(sizes)
            if index not in hidden
        )
        self.assertEqual(b"".join(lines), wanted)

    def test_allHidden(self):
        """
        Where a whole piece is hidden there is no empty one in its place: a transport
        that is given nothing to send never asks for more.
        """
        lines = listing_lines(
            SIZE_LINE, lambda b, e: [7] * (e - b), 9, set(range(3, 6)), 3
        )
        self.assertEqual([piece[:4] for piece in lines], [b"1 7\r", b"7 7\r"])

    def test_percent(self):
        """
        Whatever octets a unique-id is of, they are sent as they are.
        """
        names = [b"%d", b"100%", b"%b%%"]
        lines = listing_lines(UNIQUE_ID_LINE, lambda b, e: names[b:e], 3, (), 2)
        self.assertEqual(b"".join(lines), b"1 %d\r\n2 100%\r\n3 %b%%\r\n")


class ListableTests(DialogueTestCase):
    """
    A session over a maildrop of many messages.
    """

    def makeMailbox(self):
        return None

    def over(self, mailbox):
        """
        Begin a session over a mailbox.
        """
        self.setUp()
        self.session.mbox = mailbox
        return mailbox

    def ask(self, command):
        return self.send(command + b"\r\n")

    def test_interface(self):
        """
        Maildrops provide it.
        """
        verifyObject(IListableMailbox, maildrop([1]))

    def test_many(self):
        """
        More messages than go into one piece are listed whole, marks considered.
        """
        self.patch(listings, "LINES_A_TURN", 3)
        mailbox = self.over(maildrop(range(10)))
        for deleted in ((), (0, 4, 9)):
            for index in deleted:
                mailbox.deleteMessage(index)
            shown = [index for index in range(10) if index not in deleted]
            self.assertEqual(
                self.ask(b"STAT"), b"+OK %d %d\r\n" % (len(shown), sum(shown))
            )
            self.assertEqual(
                self.ask(b"LIST"),
                b"+OK %d\r\n" % len(shown)
                + b"".join(b"%d %d\r\n" % (index + 1, index) for index in shown)
                + b".\r\n",
            )
            self.assertEqual(
                self.ask(b"UIDL"),
                b"+OK \r\n"
                + b"".join(b"%d uid%d\r\n" % (index + 1, index) for index in shown)
                + b".\r\n",
            )

    def test_likeAnyOther(self):
        """
        The responses are those of a mailbox that cannot list piece by piece.
        """

        @implementer(ISeekableMailbox)
        class Plain:
            def __init__(self, original):
                self.original = original

            def __getattr__(self, name):
                if name in ("sizes", "uniqueIds", "hidden", "total", "measureAll"):
                    raise AttributeError(name)
                return getattr(self.original, name)

        self.assertFalse(IListableMailbox.providedBy(Plain(None)))
        found = []
        for wrap in (lambda one: one, Plain):
            mailbox = maildrop([5, 0, 7])
            mailbox.deleteMessage(2)
            self.over(wrap(mailbox))
            found.append([self.ask(word) for word in (b"STAT", b"LIST", b"UIDL")])
        self.assertEqual(found[0], found[1])

    def test_piecesAreMadeWhenAskedFor(self):
        """
        Of a long list no more is made than the transport takes.
        """
        self.patch(listings, "LINES_A_TURN", 10)
        mailbox = self.over(maildrop(range(1000)))
        asked = []
        sizes = mailbox.sizes

        def recording(_, begin, end):
            asked.append(end - begin)
            return sizes(begin, end)

        self.patch(Maildrop, "sizes", recording)
        self.transport.clear()
        self.session.dataReceived(b"LIST\r\n")
        self.assertLess(sum(asked), 200)
        self.assertEqual(set(asked) | {10}, {10})

    def test_measuredFirst(self):
        """
        Sizes that have to be measured are waited for.
        """
        mailbox = maildrop([3, 4])
        measured = Deferred()
        self.patch(Maildrop, "measureAll", lambda _: measured)
        self.over(mailbox)
        for word, reply in (
            (b"STAT", b"+OK 2 7\r\n"),
            (b"LIST", b"+OK 2\r\n1 3\r\n2 4\r\n.\r\n"),
        ):
            measured = Deferred()
            self.assertEqual(self.ask(word), b"")
            measured.callback(None)
            self.assertEqual(self.transport.value(), reply)
