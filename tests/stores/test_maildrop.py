"""
`extretr.stores.maildrop`: what the maildrops of all stores have in common.
"""

import errno
import os
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import (
    LockLost,
    MessageChanged,
    NoSuchMessage,
    NotAllDeleted,
    StoreUnavailable,
)
from extretr.interfaces import IMaildrop, ISeekableMessage
from extretr.message import STEP
from extretr.offsets import Measured
from extretr.stores.index import Index
from extretr.stores.lock import SessionLock
from extretr.stores.maildrop import (
    REMOVED_A_STEP,
    Entry,
    Maildrop,
    empty_maildrop,
    removing,
)
from tests import models

SIGNATURE = b"signature"

STORED = {
    b"lf": b"Subject: one\n\n.dot\n",
    b"crlf": b"Subject: two\r\n\r\nbody\r\n",
    b"cut": b"no end of line",
}


class FakeHeld:
    """
    A session lock that says whether it is ours, and what was done with it.
    """

    def __init__(self):
        self.ours = True
        self.held = False
        self.released = 0

    def whileOurs(self, action):
        if not self.ours:
            raise LockLost
        self.held = True
        try:
            result = action()
        except BaseException:
            self.held = False
            raise
        if isinstance(result, Deferred):
            return result.addBoth(self.let_go)
        return self.let_go(result)

    def let_go(self, result):
        self.held = False
        return result

    def release(self):
        self.released += 1


class FakeMaildrop(Maildrop):
    """
    A maildrop whose messages are in a dict, in which an exception is raised.
    """

    def __init__(self, stored, *rest):
        super().__init__([Entry(key, key, SIGNATURE) for key in stored], *rest)
        self.stored = dict(stored)
        self.opened = []
        self.files = []
        self.removed = []
        #: Called when a message was opened.
        self.whenOpened = lambda entry: None
        #: What _removeEntries gives.
        self.removal = lambda entries: None

    def _openEntry(self, entry):
        self.opened.append(entry.key)
        stored = self.stored.get(entry.key, MessageChanged())
        if isinstance(stored, Exception):
            raise stored
        file = BytesIO(stored)
        self.files.append(file)
        self.whenOpened(entry)
        return file, lambda: self.stored.get(entry.key) is stored

    def _removeEntries(self, entries):
        self.removed.append([entry.key for entry in entries])
        self.heldWhenRemoved = self._held.held
        return self.removal(entries)


class Later:
    """
    A way to cooperate that waits to be told.
    """

    def __init__(self):
        self.waiting = []

    def __call__(self, steps):
        done = Deferred()
        self.waiting.append((steps, done))
        return done

    def finish(self):
        """
        Take the steps that wait and give their number.
        """
        steps, done = self.waiting.pop(0)
        count = sum(1 for _ in steps)
        done.callback(None)
        return count


def at_once(steps):
    for _ in steps:
        pass
    return succeed(None)


class MaildropTestCase(SynchronousTestCase):
    """
    A maildrop of three messages.
    """

    def setUp(self):
        self.held = FakeHeld()
        self.index = Index(None)

    def maildrop(self, stored=STORED, cooperate=at_once):
        return FakeMaildrop(stored, self.index, self.held, cooperate)

    def sizes(self, maildrop):
        result = maildrop.listMessages()
        return self.successResultOf(result) if isinstance(result, Deferred) else result

    def sizeOf(self, stored):
        return len(models.canonical(stored))


class ListTests(MaildropTestCase):
    """
    Numbers, sizes and unique-ids.
    """

    def test_interfaces(self):
        """
        Maildrops and their messages provide what they promise.
        """
        maildrop = self.maildrop()
        verifyObject(IMaildrop, maildrop)
        verifyObject(ISeekableMessage, maildrop.openMessage(0))

    def test_sizes(self):
        """
        f10: sizes count the octets of the canonical form, one by one and all at once.
        """
        wanted = [self.sizeOf(stored) for stored in STORED.values()]
        self.assertEqual(self.sizes(self.maildrop()), wanted)
        maildrop = self.maildrop()
        self.assertEqual([maildrop.listMessages(n) for n in range(3)], wanted)

    def test_uniqueIds(self):
        """
        Unique-ids and the number of messages need no message to be opened.
        """
        maildrop = self.maildrop()
        self.assertEqual(maildrop.countMessages(), 3)
        self.assertEqual([maildrop.getUidl(n) for n in range(3)], list(STORED))
        self.assertEqual(maildrop.opened, [])

    def test_noSuchNumber(self):
        """
        f14, f14b, f15: neither a negative index nor one beyond the end is a message.
        """
        maildrop = self.maildrop()
        for index in (-1, 3, 10**18):
            for refuses in (
                maildrop.openMessage,
                maildrop.deleteMessage,
                maildrop.getMessage,
            ):
                self.assertRaises(NoSuchMessage, refuses, index)
            for fails in (
                maildrop.listMessages,
                maildrop.getUidl,
                maildrop.isDeleted,
            ):
                self.assertRaises(ValueError, fails, index)
        self.assertEqual(self.sizes(maildrop).count(0), 0)

    def test_zeroOctets(self):
        """
        f23: a message of no octets is a message, and is not deleted.
        """
        maildrop = self.maildrop({b"none": b""})
        self.assertEqual(self.sizes(maildrop), [0])
        self.assertFalse(maildrop.isDeleted(0))
        message = maildrop.openMessage(0)
        self.assertEqual(message.size, 0)
        with message.openAt(0).file as file:
            self.assertEqual(file.read(), b"")

    def test_remembered(self):
        """
        What the index remembers is not measured again; of another signature it is.
        """
        told = Measured(12345, 12345, True, False)
        self.index.remember(b"lf", SIGNATURE, told)
        self.index.remember(b"crlf", b"another", told)
        maildrop = self.maildrop()
        self.assertEqual(maildrop.listMessages(0), 12345)
        self.assertEqual(maildrop.opened, [])
        self.assertEqual(maildrop.listMessages(1), self.sizeOf(STORED[b"crlf"]))

    def test_remembers(self):
        """
        What one session has measured the next one on the same index need not.
        """
        wanted = self.sizes(self.maildrop())
        maildrop = self.maildrop()
        self.assertEqual(self.sizes(maildrop), wanted)
        self.assertEqual(maildrop.opened, [])

    def test_stockFile(self):
        """
        f09: who knows no more than IMailbox gets a file of octets, the stored form.
        """
        with self.maildrop().getMessage(0) as file:
            self.assertEqual(file.read(), STORED[b"lf"])

    def test_offsets(self):
        """
        A message opens at any offset that is accepted, at the octet that lies there.
        """
        maildrop = self.maildrop()
        for index, stored in enumerate(STORED.values()):
            whole = models.canonical(stored)
            message = maildrop.openMessage(index)
            for offset in filter(
                lambda n: models.accepted(whole, n), range(len(whole))
            ):
                opened = message.openAt(offset)
                with opened.file as file:
                    rest = models.canonical(file.read())
                self.assertEqual(opened.position.owed + rest, whole[offset:], offset)
                self.assertTrue(opened.unchanged())


class MarkTests(MaildropTestCase):
    """
    Marks of deletion.
    """

    def test_deleted(self):
        """
        f24, f53: a deleted message is of size 0, is refused, and keeps its place.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(1)
        sizes = self.sizes(maildrop)
        self.assertEqual([bool(size) for size in sizes], [True, False, True])
        self.assertEqual(maildrop.listMessages(1), 0)
        self.assertTrue(maildrop.isDeleted(1))
        for refuses in (
            maildrop.openMessage,
            maildrop.getMessage,
            maildrop.deleteMessage,
        ):
            self.assertRaises(NoSuchMessage, refuses, 1)
        self.assertEqual(maildrop.getUidl(1), b"crlf")
        self.assertEqual(maildrop.countMessages(), 3)

    def test_nothingIsRemoved(self):
        """
        f13: a session that ends without sync removes nothing.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(0)
        maildrop.close()
        self.assertEqual(maildrop.removed, [])

    @settings(derandomize=True, deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 2), st.none())))
    def test_anyOrder(self, commands):
        """
        f53: however messages are marked and taken back, the maildrop is as it was but
        for the marks, and sync removes what is marked, in its order.
        """
        self.setUp()
        maildrop, marked = self.maildrop(), set()
        for command in commands:
            if command is None:
                maildrop.undeleteMessages()
                marked.clear()
            elif command in marked:
                self.assertRaises(NoSuchMessage, maildrop.deleteMessage, command)
            else:
                maildrop.deleteMessage(command)
                marked.add(command)
        keys = list(STORED)
        wanted = [
            0 if index in marked else self.sizeOf(STORED[key])
            for index, key in enumerate(keys)
        ]
        self.assertEqual(self.sizes(maildrop), wanted)
        self.assertEqual(
            [maildrop.isDeleted(n) for n in range(3)], [not n for n in wanted]
        )
        maildrop.sync()
        removed = [keys[index] for index in sorted(marked)]
        self.assertEqual(maildrop.removed, [removed] if removed else [])


class SyncTests(MaildropTestCase):
    """
    Removal of what is marked, under the session lock.
    """

    def test_underLock(self):
        """
        f12: sync removes what is marked, nothing else, while the lock is ours.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(2)
        maildrop.deleteMessage(0)
        self.assertIsNone(maildrop.sync())
        self.assertEqual(maildrop.removed, [[b"lf", b"cut"]])
        self.assertTrue(maildrop.heldWhenRemoved)
        self.assertFalse(self.held.held)

    def test_nothingMarked(self):
        """
        Without a mark there is nothing to remove, even for one who has lost the lock.
        """
        maildrop = self.maildrop()
        self.held.ours = False
        self.assertIsNone(maildrop.sync())
        self.assertEqual(maildrop.removed, [])

    def test_lockLost(self):
        """
        f37: who has lost the lock removes nothing.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(0)
        self.held.ours = False
        self.assertRaises(LockLost, maildrop.sync)
        self.assertEqual(maildrop.removed, [])

    def test_takenOver(self):
        """
        f37: a session whose lock another has taken removes nothing, by the real lock.
        """
        clock = Clock()
        path = os.fsencode(os.path.join(os.path.abspath(self.mktemp()), "lock"))
        os.makedirs(os.path.dirname(path))
        held = self.successResultOf(SessionLock(path, clock).acquire(None))
        maildrop = FakeMaildrop(STORED, self.index, held, at_once)
        maildrop.deleteMessage(0)
        os.unlink(path)
        other = self.successResultOf(SessionLock(path, clock).acquire(None))
        self.assertRaises(LockLost, maildrop.sync)
        self.assertEqual(maildrop.removed, [])
        maildrop.close()
        self.assertTrue(os.path.exists(path))
        other.release()
        self.assertFalse(os.path.exists(path))

    def test_later(self):
        """
        f22: where removal takes time sync gives a Deferred, and the lock is ours until
        it fires.
        """
        maildrop, removal = self.maildrop(), Deferred()
        maildrop.removal = lambda entries: removal
        maildrop.deleteMessage(0)
        result = maildrop.sync()
        self.assertNoResult(result)
        self.assertTrue(self.held.held)
        removal.callback(None)
        self.successResultOf(result)
        self.assertFalse(self.held.held)

    def test_notAllDeleted(self):
        """
        That some could not be removed is told, at once or later.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(0)

        def fails(entries):
            raise NotAllDeleted

        maildrop.removal = fails
        self.assertRaises(NotAllDeleted, maildrop.sync)
        removal = Deferred()
        maildrop.removal = lambda entries: removal
        result = maildrop.sync()
        removal.errback(Failure(NotAllDeleted()))
        self.failureResultOf(result, NotAllDeleted)

    def test_goneIsNotRemoved(self):
        """
        What was found to be gone is not removed: another may be there by now.
        """
        maildrop = self.maildrop()
        maildrop.deleteMessage(0)
        del maildrop.stored[b"crlf"]
        maildrop.undeleteMessages()
        self.sizes(maildrop)
        self.assertRaises(MessageChanged, maildrop.deleteMessage, 1)
        maildrop.deleteMessage(0)
        maildrop.sync()
        self.assertEqual(maildrop.removed, [[b"lf"]])


class MeasureTests(MaildropTestCase):
    """
    Sizes measured when they are first asked for, in steps.
    """

    def test_onTheSpot(self):
        """
        One small message is measured on the spot.
        """
        later = Later()
        maildrop = self.maildrop(cooperate=later)
        self.assertEqual(maildrop.listMessages(0), self.sizeOf(STORED[b"lf"]))
        self.assertEqual(maildrop.openMessage(1).size, self.sizeOf(STORED[b"crlf"]))
        self.assertEqual(later.waiting, [])

    def test_inSteps(self):
        """
        A large message, or more than one, is measured in steps, and nothing waits for
        what has been measured.
        """
        later = Later()
        stored = {b"small": b"x\n", b"large": b"z" * (3 * STEP)}
        maildrop = self.maildrop(stored, later)
        result = maildrop.listMessages()
        self.assertNoResult(result)
        self.assertGreaterEqual(later.finish(), 3)
        self.assertEqual(self.successResultOf(result), [3, 3 * STEP + 2])
        self.assertEqual(maildrop.listMessages(), [3, 3 * STEP + 2])
        self.assertEqual(maildrop.opened, [b"small", b"large"])
        self.assertTrue(all(file.closed for file in maildrop.files))

    def test_openWaits(self):
        """
        A large message that was never measured is, before it is opened.
        """
        later = Later()
        maildrop = self.maildrop({b"large": b"z" * (3 * STEP)}, later)
        result = maildrop.openMessage(0)
        self.assertNoResult(result)
        later.finish()
        self.assertEqual(self.successResultOf(result).size, 3 * STEP + 2)

    def test_twoAtOnce(self):
        """
        Of two commands that measure the same message both give its size.
        """
        later = Later()
        stored = {b"a": b"x\n", b"b": b"yy\n", b"c": b"zzz\n"}
        maildrop = self.maildrop(stored, later)
        first, second = maildrop.listMessages(), maildrop.listMessages()
        later.finish()
        later.finish()
        self.assertEqual(self.successResultOf(first), [3, 4, 5])
        self.assertEqual(self.successResultOf(second), [3, 4, 5])
        self.assertEqual(sorted(set(maildrop.opened)), [b"a", b"b", b"c"])

    def test_deletedMeanwhile(self):
        """
        A message that is marked while sizes are measured is of size 0 in their list.
        """
        later = Later()
        maildrop = self.maildrop(cooperate=later)
        result = maildrop.listMessages()
        maildrop.deleteMessage(2)
        later.finish()
        self.assertEqual(self.successResultOf(result)[2], 0)

    def test_goneOfSeveral(self):
        """
        f15b, f41: a message that is gone is of size 0, and refused; the others are not.
        """
        maildrop = self.maildrop()
        del maildrop.stored[b"lf"]
        sizes = self.sizes(maildrop)
        self.assertEqual([bool(size) for size in sizes], [False, True, True])
        self.assertTrue(maildrop.isDeleted(0))
        self.assertRaises(MessageChanged, maildrop.openMessage, 0)
        maildrop.undeleteMessages()
        self.assertTrue(maildrop.isDeleted(0))

    def test_unreadable(self):
        """
        f41: a message that cannot be read is logged, and is of size 0; who asks for it
        is told that the store fails, not that the message has changed.
        """
        maildrop = self.maildrop()
        maildrop.stored[b"crlf"] = PermissionError(13, "no")
        sizes = self.sizes(maildrop)
        self.assertEqual([bool(size) for size in sizes], [True, False, True])
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)
        self.assertRaises(StoreUnavailable, maildrop.openMessage, 1)
        self.assertRaises(StoreUnavailable, maildrop.listMessages, 1)

    def test_unreadableAll(self):
        """
        Where none can be read no list is given: an empty one would tell clients that
        all mail is gone.  The next command tries again.
        """
        maildrop = self.maildrop()
        whole = dict(maildrop.stored)
        for name in whole:
            maildrop.stored[name] = OSError(errno.EIO, "no")
        self.assertRaises(StoreUnavailable, self.sizes, maildrop)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), len(whole))
        maildrop.stored.update(whole)
        self.assertTrue(all(self.sizes(maildrop)))

    def test_goneAlone(self):
        """
        To open a message that proves to be gone is refused, with no size for it.
        """
        maildrop = self.maildrop()
        del maildrop.stored[b"lf"]
        self.assertRaises(MessageChanged, maildrop.openMessage, 0)
        self.assertEqual(maildrop.listMessages(0), 0)

    def test_changedWhileMeasured(self):
        """
        What changes while it is measured is neither listed nor remembered.
        """
        maildrop = self.maildrop()

        def change(entry):
            maildrop.stored[entry.key] += b"more"

        maildrop.whenOpened = change
        self.assertEqual(self.sizes(maildrop), [0, 0, 0])
        self.assertTrue(all(file.closed for file in maildrop.files))
        for key in STORED:
            self.assertIsNone(self.index.remembered(key, SIGNATURE))

    def test_abandoned(self):
        """
        Where measuring is given up in the middle no file stays open.
        """
        later = Later()
        maildrop = self.maildrop({b"large": b"z" * (3 * STEP)}, later)
        maildrop.listMessages()
        later.waiting[0][0].close()
        self.assertTrue(all(file.closed for file in maildrop.files))


class TrustTests(MaildropTestCase):
    """
    A message that is found to be another makes the store look anew next time.
    """

    def setUp(self):
        super().setUp()
        self.index.set_note(b"note", b"what a folder held")

    def found(self, look):
        maildrop = self.maildrop()
        self.sizes(maildrop)
        self.assertIsNotNone(self.index.note(b"note"))
        del maildrop.stored[b"lf"]
        self.assertRaises(MessageChanged, look, maildrop)
        self.assertIsNone(self.index.note(b"note"))
        self.assertIsNone(self.index.remembered(b"lf", SIGNATURE))
        self.assertIsNotNone(self.index.remembered(b"cut", SIGNATURE))

    def test_opened(self):
        """
        It is forgotten, and notes are no longer trusted, when it is opened.
        """
        self.found(lambda maildrop: maildrop.openMessage(0).openAt(0))

    def test_stockFile(self):
        """
        The same holds for who knows no more than IMailbox.
        """
        self.found(lambda maildrop: maildrop.getMessage(0))

    def test_measured(self):
        """
        The same holds when it is measured: else each session would list it as gone.
        """
        maildrop = self.maildrop()
        del maildrop.stored[b"lf"]
        self.sizes(maildrop)
        self.assertIsNone(self.index.note(b"note"))

    def test_changedWhileMeasured(self):
        """
        The same holds when it changes while it is measured.
        """
        maildrop = self.maildrop()

        def change(entry):
            maildrop.stored[entry.key] += b"more"

        maildrop.whenOpened = change
        self.sizes(maildrop)
        self.assertIsNone(self.index.note(b"note"))

    def test_unreadable(self):
        """
        A message that cannot be read for now withdraws no trust.
        """
        maildrop = self.maildrop()
        maildrop.stored[b"lf"] = PermissionError(13, "no")
        self.sizes(maildrop)
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)
        self.assertIsNotNone(self.index.note(b"note"))


class CloseTests(MaildropTestCase):
    """
    The end of a session.
    """

    def test_close(self):
        """
        What was measured is saved, and the lock released.
        """
        path = os.fsencode(os.path.abspath(self.mktemp()))
        self.index = Index(path)
        maildrop = self.maildrop()
        wanted = self.sizes(maildrop)
        maildrop.close()
        self.assertEqual(self.held.released, 1)
        self.index = Index(path)
        maildrop = self.maildrop()
        self.assertEqual(self.sizes(maildrop), wanted)
        self.assertEqual(maildrop.opened, [])

    def test_cannotSave(self):
        """
        The lock is released whatever becomes of the index.
        """

        def fails(index):
            raise MemoryError

        self.patch(Index, "save", fails)
        self.assertRaises(MemoryError, self.maildrop().close)
        self.assertEqual(self.held.released, 1)

    def test_empty(self):
        """
        A maildrop for which no mail has come needs no lock and leaves no index.
        """
        maildrop = empty_maildrop(at_once)
        verifyObject(IMaildrop, maildrop)
        self.assertEqual(maildrop.listMessages(), [])
        self.assertEqual(maildrop.countMessages(), 0)
        self.assertRaises(NoSuchMessage, maildrop.openMessage, 0)
        maildrop.undeleteMessages()
        self.assertIsNone(maildrop.sync())
        maildrop.close()


class RemovalTests(SynchronousTestCase):
    """
    `removing`.
    """

    entries = [Entry(key, key, SIGNATURE) for key in STORED]

    def setUp(self):
        self.ended = 0

    def last(self):
        self.ended += 1

    def test_all(self):
        """
        Each is removed, in their order, and then what comes last is done.
        """
        removed = []
        steps = removing(self.entries, removed.append, self.last)
        self.assertEqual(list(steps), [])
        self.assertEqual(removed, self.entries)
        self.assertEqual(self.ended, 1)

    def test_some(self):
        """
        One that fails is logged and keeps none of the others; the failure is told at
        the end.
        """
        removed = []

        def remove(entry):
            if entry.key == b"lf":
                raise PermissionError(13, "no")
            removed.append(entry.key)

        steps = removing(self.entries, remove, self.last)
        self.assertRaises(NotAllDeleted, list, steps)
        self.assertEqual(removed, [b"crlf", b"cut"])
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)
        self.assertEqual(self.ended, 1)

    def test_steps(self):
        """
        Many are removed in steps; one that is cut off is ended all the same.
        """
        removed = []
        steps = removing(range(10 * REMOVED_A_STEP), removed.append, self.last)
        next(steps)
        self.assertEqual(len(removed), REMOVED_A_STEP)
        self.assertEqual(len(list(steps)), 9)
        self.assertEqual(self.ended, 1)
        steps = removing(range(10 * REMOVED_A_STEP), removed.append, self.last)
        next(steps)
        steps.close()
        self.assertEqual(self.ended, 2)
