"""
`extretr.mailbox`: any mailbox made seekable.
"""

from io import BytesIO, TextIOWrapper

from twisted.internet.defer import Deferred, succeed
from twisted.mail.interfaces import IMailboxPOP3
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from extretr.errors import MessageChanged, NoSuchMessage
from extretr.interfaces import ISeekableMailbox, ISeekableMessage
from extretr.mailbox import SPOOL_LIMIT, SeekableMailbox
from extretr.message import STEP
from tests import models
from tests.server.dialogue import ListMailbox


class Unseekable:
    """
    A file that can only be read on, as a pipe or a response body.
    """

    def __init__(self, octets):
        self._file = BytesIO(octets)
        self.closed = False

    def read(self, count):
        return self._file.read(count)

    def close(self):
        self.closed = True


class ByHand:
    """
    Runs steps when it is told to.
    """

    def __init__(self):
        self.waiting = []

    def __call__(self, steps):
        done = Deferred()
        self.waiting.append((steps, done))
        return done

    def step(self):
        steps, done = self.waiting[0]
        if next(steps, self) is self:
            self.waiting.pop(0)
            done.callback(None)


class SeekableMailboxTests(SynchronousTestCase):
    """
    The adapter.
    """

    messages = (b"a\nb\n", b".\r\nx", b"y" * (STEP * 2) + b"\n")

    def setUp(self):
        self.original = ListMailbox(self.messages)
        self.mailbox = SeekableMailbox(self.original)

    def read(self, opened):
        octets = opened.file.read(-1)
        opened.file.close()
        return octets

    def test_interfaces(self):
        """
        It provides what it promises, and its messages too.
        """
        verifyObject(ISeekableMailbox, self.mailbox)
        message = self.successResultOf(self.mailbox.openMessage(0))
        verifyObject(ISeekableMessage, message)

    def test_adaptation(self):
        """
        A mailbox that declares IMailboxPOP3 is adapted by calling the interface.
        """
        adapted = ISeekableMailbox(self.original)
        self.assertIsInstance(adapted, SeekableMailbox)
        self.assertIs(adapted.original, self.original)
        self.assertIs(ISeekableMailbox(adapted), adapted)

    def test_sizes(self):
        """
        Sizes are those of the canonical form, whatever the mailbox counts.
        """
        wanted = [len(models.canonical(stored)) for stored in self.messages]
        self.assertEqual(self.successResultOf(self.mailbox.listMessages()), wanted)
        for index, size in enumerate(wanted):
            self.assertEqual(
                self.successResultOf(self.mailbox.listMessages(index)), size
            )
        self.assertEqual(self.successResultOf(self.mailbox.countMessages()), 3)

    def test_measuredOnce(self):
        """
        A message is read through once a session for its size, and its file closed.
        """
        opened = []
        getMessage = self.original.getMessage

        def counting(index):
            opened.append(getMessage(index))
            return opened[-1]

        self.original.getMessage = counting
        for _ in range(3):
            self.mailbox.listMessages()
        self.assertEqual(len(opened), 3)
        self.assertTrue(all(file.closed for file in opened))

    def test_openAtAnyOffset(self):
        """
        A message opens at an offset of its canonical form.
        """
        message = self.successResultOf(self.mailbox.openMessage(0))
        self.assertEqual(message.size, 6)
        self.assertEqual(self.read(message.openAt(3)), b"b\n")

    def test_deleted(self):
        """
        What is marked counts as deleted at once, and no more after RSET.
        """
        self.mailbox.deleteMessage(1)
        self.assertTrue(self.mailbox.isDeleted(1))
        self.assertEqual(self.original.deleted, {1})
        self.assertEqual(self.successResultOf(self.mailbox.listMessages())[1], 0)
        self.assertEqual(self.successResultOf(self.mailbox.listMessages(1)), 0)
        self.failureResultOf(self.mailbox.openMessage(1), NoSuchMessage)
        self.mailbox.undeleteMessages()
        self.assertFalse(self.mailbox.isDeleted(1))
        self.successResultOf(self.mailbox.openMessage(1))

    def test_markedThoughTheMailboxForgets(self):
        """
        A mailbox that goes on to give a size for what is deleted is not believed.
        """
        self.original.deleteMessage = lambda index: None
        self.mailbox.deleteMessage(1)
        self.assertTrue(self.mailbox.isDeleted(1))
        self.assertEqual(self.successResultOf(self.mailbox.listMessages())[1], 0)
        self.failureResultOf(self.mailbox.openMessage(1), NoSuchMessage)

    def test_numbersThatAreNotThere(self):
        """
        f14b: an index out of range, a negative one too, is no message.
        """
        self.failureResultOf(self.mailbox.openMessage(3), NoSuchMessage)
        self.assertRaises(NoSuchMessage, self.mailbox.deleteMessage, -1)
        self.assertEqual(self.original.deleted, set())

    def test_attributesShowThrough(self):
        """
        What else a mailbox has can be had still.
        """
        self.original.messageExpiration = 60
        self.assertEqual(self.mailbox.messageExpiration, 60)
        self.assertRaises(AttributeError, lambda: self.mailbox.loginDelay)

    def test_restPassesThrough(self):
        """
        Unique-ids, files and sync are the mailbox's own.
        """
        self.assertEqual(self.mailbox.getUidl(2), b"uid-2")
        self.assertEqual(self.mailbox.getMessage(0).read(), self.messages[0])
        self.mailbox.sync()
        self.assertEqual(self.original.synced, 1)

    def test_deferreds(self):
        """
        A mailbox may return Deferreds of sizes and files.
        """
        sizes, file = Deferred(), Deferred()
        self.original.listMessages = lambda index=None: sizes
        self.original.getMessage = lambda index: file
        opening = self.mailbox.openMessage(0)
        sizes.callback(4)
        self.assertNoResult(opening)
        file.callback(BytesIO(b"a\nb\n"))
        self.assertEqual(self.successResultOf(opening).size, 6)

    def test_manyDeferreds(self):
        """
        Thousands of Deferreds that have fired already do not pile up on the stack.
        """
        self.original.messages = [b"x\n"] * 3000
        getMessage = self.original.getMessage
        self.original.getMessage = lambda index: succeed(getMessage(index))
        sizes = self.successResultOf(self.mailbox.listMessages())
        self.assertEqual(sizes, [3] * 3000)

    def test_deferredDeletion(self):
        """
        Of a mailbox that makes one wait, a size of 0 that it gave means deleted.
        """
        self.original.deleted.add(1)
        listMessages = self.original.listMessages
        self.original.listMessages = lambda index=None: succeed(listMessages(index))
        self.successResultOf(self.mailbox.listMessages())
        self.assertTrue(self.mailbox.isDeleted(1))
        self.assertFalse(self.mailbox.isDeleted(0))

    def test_inSteps(self):
        """
        A large message is measured in steps, so that others have their turn.
        """
        self.mailbox.cooperate = by_hand = ByHand()
        size = self.mailbox.listMessages(2)
        turns = 0
        while by_hand.waiting:
            self.assertNoResult(size)
            by_hand.step()
            turns += 1
        self.assertGreaterEqual(turns, 2)
        self.assertEqual(self.successResultOf(size), STEP * 2 + 2)

    def test_twoAtOnce(self):
        """
        Two who ask for one message while it is measured both get it.
        """
        self.mailbox.cooperate = by_hand = ByHand()
        both = [self.mailbox.openMessage(2), self.mailbox.openMessage(2)]
        while by_hand.waiting:
            by_hand.step()
        for opening in both:
            opened = self.successResultOf(opening).openAt(STEP)
            self.assertEqual(len(self.read(opened)), STEP + 1)

    def test_unseekable(self):
        """
        A file that cannot seek is spooled, small or large, and closed.
        """
        for stored in (b"a\n.b\n", b"z\n" * SPOOL_LIMIT):
            files = []

            def getMessage(index, stored=stored, files=files):
                files.append(Unseekable(stored))
                return files[-1]

            self.original.getMessage = getMessage
            mailbox = SeekableMailbox(self.original)
            for offset in (0, 3, len(models.canonical(stored)) - 3):
                message = self.successResultOf(mailbox.openMessage(0))
                opened = message.openAt(offset)
                self.assertEqual(
                    models.canonical(opened.position.owed + self.read(opened)),
                    models.canonical(stored)[offset:],
                )
            self.assertTrue(all(file.closed for file in files))

    def test_textFile(self):
        """
        f09: a file opened as text is read as the octets behind it.
        """
        self.original.getMessage = lambda index: TextIOWrapper(BytesIO(b"\xff\n"))
        message = self.successResultOf(self.mailbox.openMessage(0))
        self.assertEqual(self.read(message.openAt(0)), b"\xff\n")

    def test_failureWhileReading(self):
        """
        A file that cannot be read is closed, and the failure told.
        """

        class Failing(Unseekable):
            def read(self, count):
                raise OSError("no")

        for extra in ({}, {"seek": lambda place: None}):
            file = Failing(b"")
            file.__dict__.update(extra)
            self.original.getMessage = lambda index, file=file: file
            self.failureResultOf(self.mailbox.openMessage(0), OSError)
            self.assertTrue(file.closed)

    def test_changedMeanwhile(self):
        """
        A file that reads otherwise than it was measured is refused.
        """
        self.original.getMessage = lambda index: Unseekable(b"a\nb\n")
        self.successResultOf(self.mailbox.listMessages(0))
        self.original.getMessage = lambda index: Unseekable(b"a\n")
        self.failureResultOf(self.mailbox.openMessage(0), MessageChanged)

    def test_duckTyped(self):
        """
        A mailbox that declares no interface is adapted by the class itself.
        """

        class Duck(ListMailbox):
            pass

        @implementer(IMailboxPOP3)
        class Declared(ListMailbox):
            pass

        for kind in (Duck, Declared):
            mailbox = SeekableMailbox(kind([b"x\n"]))
            self.assertEqual(self.successResultOf(mailbox.listMessages()), [3])
