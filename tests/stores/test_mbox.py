"""
Mboxes as maildrops.
"""

import errno
import mailbox
import os
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import (
    InUse,
    LockLost,
    MessageChanged,
    NotAllDeleted,
    StoreUnavailable,
    UnsafeUser,
)
from extretr.interfaces import IMaildrop, IStore
from extretr.stores import mbox, mbox_lock
from extretr.stores.mbox import default_state, folder_name
from extretr.stores.paths import PathTemplate
from extretr.stores.settled import SETTLED
from extretr.wire import Encoder
from tests.models import accepted, canonical, wire
from tests.stores.mboxes import StoreCase, all_stored, stored
from tests.stores.test_mbox_parse import model

THREE = b"From a\nA: 1\n\none\n\nFrom b\nB: 2\n\n>From two\n\nFrom c\nC: 3\n\nthree\n\n"


class ListTests(StoreCase):
    """
    `MboxStore` lists the messages of a mailbox.
    """

    def test_interfaces(self):
        """
        The store and its maildrops provide what they promise.
        """
        self.write(THREE)
        verifyObject(IStore, self.store())
        maildrop = self.open()
        verifyObject(IMaildrop, maildrop)
        maildrop.close()

    def test_messages(self):
        """
        Messages have their canonical sizes, and quoted lines are left as stored.
        """
        self.write(THREE)
        maildrop = self.open()
        self.assertEqual(
            all_stored(maildrop),
            [b"A: 1\n\none\n", b"B: 2\n\n>From two\n", b"C: 3\n\nthree\n"],
        )
        self.assertEqual(maildrop.listMessages(), [13, 19, 15])
        self.assertEqual(maildrop.listMessages(1), 19)
        maildrop.close()

    def test_sameAsPython(self):
        """
        Python's own mbox finds the same messages.
        """
        self.write(THREE)
        maildrop = self.open()
        other = mailbox.mbox(os.fsdecode(self.path), create=False)
        self.addCleanup(other.close)
        self.assertEqual(
            [stored(maildrop, index).rstrip(b"\n") for index in range(3)],
            [other.get_bytes(key).rstrip(b"\n") for key in other.iterkeys()],
        )
        maildrop.close()

    def test_noMailbox(self):
        """
        A user for whom no mail has come yet has an empty maildrop; nothing is made.
        """
        maildrop = self.open()
        self.assertEqual(maildrop.listMessages(), [])
        maildrop.close()
        self.assertEqual(os.listdir(self.folder), [b"mail"])

    def test_emptyMailbox(self):
        """
        A file of no octets is an empty maildrop too.
        """
        self.write(b"")
        maildrop = self.open()
        self.assertEqual(maildrop.listMessages(), [])
        maildrop.close()

    def test_goneMeanwhile(self):
        """
        So is a mailbox that is removed while it is being opened.
        """
        self.write(THREE)
        lock = self.patch(mbox.SafetyCopy, "discardNew", lambda _: self.remove())
        maildrop = self.open()
        self.assertEqual(maildrop.countMessages(), 0)
        lock.restore()
        self.write(THREE)
        self.open().close()

    def remove(self):
        os.unlink(self.path)

    def refused(self, error, user=b"user", **arguments):
        self.failureResultOf(self.store(**arguments).openMaildrop(user, None), error)

    def test_noRoot(self):
        """
        Where the mail root is missing the store is not available, which is logged.
        """
        os.rmdir(os.path.dirname(self.path))
        self.refused(StoreUnavailable)
        self.assertIn("the mail root", self.logged[0])
        fixed = PathTemplate(os.path.join(self.folder, b"none", b"mbox"))
        self.refused(StoreUnavailable, template=fixed)

    def test_fixedPath(self):
        """
        A path without a user in it is one mailbox, which may be missing.
        """
        fixed = PathTemplate(os.path.join(self.folder, b"mail", b"mbox"))
        opening = self.store(template=fixed).openMaildrop(b"user", None)
        self.assertEqual(self.successResultOf(opening).countMessages(), 0)

    def test_notAnMbox(self):
        """
        A file that is no mbox is left alone, and nothing is served from it.
        """
        for content in (b"\nFrom a\n", b"text\n", b"text\n\nFrom a\n\n"):
            self.write(content)
            self.refused(StoreUnavailable)
            self.assertEqual(self.content(), content)
            self.assertIn("does not begin with a From_ line", self.logged.pop())
        self.write(THREE)
        self.open().close()

    def test_noFile(self):
        """
        What is no regular file is not opened: a link may lead anywhere.
        """
        target = os.path.join(self.folder, b"target")
        with open(target, "wb") as file:
            file.write(THREE)
        for make in (
            lambda: os.symlink(target, self.path),
            lambda: os.mkdir(self.path),
            lambda: os.mkfifo(self.path),
        ):
            make()
            self.refused(StoreUnavailable)
            self.assertIn("is no regular file", self.logged.pop())
            (os.rmdir if os.path.isdir(self.path) else os.unlink)(self.path)

    def test_unsafeUser(self):
        """
        A name that must not become part of a path does not.
        """
        for user in (b"../user", b".user", b"", b"us\0er"):
            self.refused(UnsafeUser, user)

    def test_unreadable(self):
        """
        A mailbox that cannot be read makes the store unavailable; locks are given up.
        """
        self.write(THREE)
        pread = os.pread

        def broken(*_):
            raise OSError(errno.EIO, "broken")

        self.patch(os, "pread", broken)
        self.refused(StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.patch(os, "pread", pread)
        self.open().close()

    def test_inUse(self):
        """
        While one session has the maildrop, another that comes waits for its answer.
        """
        self.write(THREE)
        maildrop = self.open()
        second = self.store().openMaildrop(b"user", None)
        self.clock.pump([0.25] * 40)
        self.failureResultOf(second, InUse)
        maildrop.close()
        self.open().close()

    def test_lockOnTheSpot(self):
        """
        A lock that is free is waited for by nobody, once there is a state folder.
        """
        self.write(THREE)
        self.open().close()
        self.patch(mbox.SessionLock, "acquire", self.fail)
        self.open().close()


class MboxrdTests(StoreCase):
    """
    With *quoting* lines are unquoted.
    """

    quoting = True

    def test_unquoted(self):
        """
        Sizes, unique-ids and contents are those of the unquoted message.
        """
        self.write(b"From a\n>From b\n>>From c\nx>From d\n\nFrom b\n\nFrom c\n")
        maildrop = self.open()
        self.assertEqual(stored(maildrop, 0), b"From b\n>From c\nx>From d\n")
        self.assertEqual(maildrop.listMessages(), [27, 0, 0])
        quoted = maildrop.getUidl(0)
        maildrop.close()
        self.write(b"From a\nFrom b\n>From c\nx>From d\n")
        plain = self.open(quoting=False)
        self.assertEqual(plain.getUidl(0), quoted)
        plain.close()

    def test_rewritten(self):
        """
        What is stored stays quoted when messages before it are deleted.
        """
        self.write(THREE)
        maildrop = self.open()
        maildrop.deleteMessage(0)
        self.successResultOf(maildrop.sync())
        maildrop.close()
        self.assertEqual(self.content(), THREE[THREE.index(b"From b") :])


class ResumeTests(StoreCase):
    """
    Every message of an mbox can be sent from any offset.
    """

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.lists(
            st.sampled_from(
                [b"\n", b"\r\n", b"\r", b"From ", b">", b"text", b".", b"\n\nFrom b\n"]
            ),
            max_size=30,
        ),
        st.booleans(),
    )
    def test_everyOffset(self, letters, quoting):
        """
        What is held and what is sent make the canonical form.
        """
        self.write(b"From a\n" + b"".join(letters))
        expected = model(self.content(), quoting)
        maildrop = self.open(quoting=quoting)
        self.assertEqual(maildrop.countMessages(), len(expected))
        for index, body in enumerate(map(canonical, expected)):
            message = maildrop.openMessage(index)
            self.assertEqual(message.size, len(body))
            for offset in range(len(body) + 1):
                if not accepted(body, offset):
                    continue
                opened = message.openAt(offset)
                encoder = Encoder(opened.position)
                sent = b""
                while octets := opened.file.read(3):
                    sent += encoder.feed(octets)
                sent += encoder.finish()
                self.assertTrue(opened.unchanged())
                opened.file.close()
                self.assertEqual(sent, wire(body[offset:]))
        maildrop.close()


class UniqueIdTests(StoreCase):
    """
    A unique-id is the hash of the canonical form.
    """

    def ids(self):
        maildrop = self.open()
        ids = [maildrop.getUidl(index) for index in range(maildrop.countMessages())]
        maildrop.close()
        return ids

    def test_hash(self):
        """
        It does not depend on the line ends, the From_ line or the place.
        """
        self.write(b"From a\nsame\n\nFrom b\nother\n")
        first, second = self.ids()
        self.write(b"From c\r\nother\r\n\r\nFrom d at another time\r\nsame")
        self.assertEqual(self.ids(), [second, first])
        self.assertRegex(first, rb"\A[0-9a-f]{64}\Z")

    def test_twins(self):
        """
        Identical messages are numbered; where one goes it is the last number that
        goes.
        """
        self.write(b"From a\nsame\n\n" * 2 + b"From b\nother\n\n" + b"From a\nsame\n\n")
        first, second, other, third = self.ids()
        self.assertEqual(second, first + b".1")
        self.assertEqual(third, first + b".2")
        self.assertEqual(len({first, second, third, other}), 4)
        maildrop = self.open()
        maildrop.deleteMessage(0)
        self.successResultOf(maildrop.sync())
        maildrop.close()
        self.assertEqual(self.ids(), [first, other, second])

    def test_newMail(self):
        """
        New mail changes no unique-id.
        """
        self.write(b"From a\nsame\n\nFrom b\nother")
        before = self.ids()
        self.write(b"\n\nFrom c\nsame\n\n", "ab")
        self.assertEqual(self.ids(), [*before, before[0] + b".1"])


class RememberedTests(StoreCase):
    """
    A mailbox that has not changed is not read again.
    """

    def setUp(self):
        super().setUp()
        self.write(THREE)
        self.wall = time.time() + 100
        self.reads = []
        parsing = mbox.parsing
        self.patch(
            mbox, "parsing", lambda *rest: self.reads.append(1) or parsing(*rest)
        )

    def listed(self, **arguments):
        """
        List the mailbox; give what was listed, and whether it was read.
        """
        del self.reads[:]
        maildrop = self.open(**arguments)
        count = maildrop.countMessages()
        found = [
            (maildrop.getUidl(index), maildrop.listMessages(index))
            for index in range(count)
        ]
        messages = all_stored(maildrop)
        maildrop.close()
        return found, messages, bool(self.reads)

    def assertReads(self, expected, **arguments):
        found = self.listed(**arguments)
        self.assertEqual(found[2], expected)
        return found[:2]

    def test_unchanged(self):
        """
        The second login lists the same, and does not read.
        """
        first = self.assertReads(True)
        self.assertEqual(self.assertReads(False), first)
        self.assertEqual(self.assertReads(False), first)

    def test_resting(self):
        """
        What is noted of the mailbox takes little memory while nobody asks for it.
        """
        for _ in range(2):
            maildrop = self.open()
            self.assertEqual(len(maildrop._index._notes), 0)
            self.assertIsNone(maildrop._index._kept)
            maildrop.close()

    def test_noLocks(self):
        """
        Nor does it wait for anybody's lock.
        """
        self.assertReads(True)
        with open(self.path + b".lock", "wb"):
            self.assertReads(False)

    def test_quoted(self):
        """
        Nor does it where lines are unquoted; but it does where they were not.
        """
        first = self.assertReads(True, quoting=True)
        self.assertEqual(self.assertReads(False, quoting=True), first)
        self.assertNotEqual(self.assertReads(True, quoting=False), first)

    def test_manyMessages(self):
        """
        However many messages there are, and however much is remembered of each.
        """
        quoted = b">From x\n" * 40_000
        self.write(b"From m\n\n" * 1200 + b"From m\n" + quoted)
        first = self.assertReads(True, quoting=True)
        self.steps = 0
        self.assertEqual(self.assertReads(False, quoting=True), first)

    def test_changed(self):
        """
        New mail is read; so is what was edited in place with the times set back.
        """
        self.assertReads(True)
        self.write(b"From d\n\n", "ab")
        self.assertEqual(len(self.assertReads(True)[0]), 4)
        before = os.stat(self.path)
        time.sleep(0.02)
        self.write(self.content().replace(b"one", b"ONE"), "r+b")
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertIn(b"ONE", self.assertReads(True)[1][0])

    def test_notSettled(self):
        """
        What had just been changed when it was read is read again.
        """
        changed = os.stat(self.path).st_ctime
        self.wall = changed + SETTLED - 0.1
        self.assertReads(True)
        self.wall = changed + SETTLED + 0.1
        self.assertReads(True)
        self.assertReads(False)

    def test_corrupt(self):
        """
        An index that was damaged or removed costs the time to read, nothing else.
        """
        first = self.assertReads(True)
        index = os.path.join(self.state, b"index")
        for damage in range(0, os.path.getsize(index), 97):
            if not os.path.exists(index):
                # What cannot be read at all was removed.
                self.listed()
            with open(index, "r+b") as file:
                file.seek(damage)
                octets = file.read(60)
                file.seek(damage)
                file.write(bytes(octet ^ 0x5A for octet in octets))
            self.assertEqual(self.listed()[:2], first)
            self.flushLoggedErrors()
        os.unlink(index)
        self.assertEqual(self.assertReads(True), first)

    def test_foundChanged(self):
        """
        A mailbox that a session has found changed is read by the next.
        """
        self.assertReads(True)
        maildrop = self.open()
        before = os.stat(self.path)
        self.write(self.content().replace(b"From c", b"Form c"), "r+b")
        self.assertRaises(MessageChanged, maildrop.openMessage(2).openAt, 0)
        self.write(THREE, "r+b")
        maildrop.close()
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertReads(True)


class OthersTests(StoreCase):
    """
    What other programs do to the mailbox during a session is noticed.
    """

    def setUp(self):
        super().setUp()
        self.write(THREE)
        self.maildrop = self.open()
        self.addCleanup(self.maildrop.close)

    def insert(self, old, new):
        time.sleep(0.02)
        content = self.content()
        self.assertIn(old, content)
        self.write(content.replace(old, new), "r+b")

    def assertChanged(self, index):
        message = self.maildrop.openMessage(index)
        self.assertRaises(MessageChanged, message.openAt, 0)

    def test_newMail(self):
        """
        New mail changes no message.
        """
        opened = self.maildrop.openMessage(2).openAt(0)
        self.write(b"From d\n\nnew\n\n", "ab")
        self.assertTrue(opened.unchanged())
        opened.file.close()
        self.assertEqual(len(all_stored(self.maildrop)), 3)

    def test_newMailToUnended(self):
        """
        Not even that which ends the last line first.
        """
        for ending in (b"\n\nFrom d\n\n", b"\r\n\r\nFrom d\r\n", b"From d\n"):
            self.maildrop.close()
            self.write(b"From a\nthe end")
            self.maildrop = self.open()
            self.write(ending, "ab")
            self.assertEqual(stored(self.maildrop, 0), b"the end")

    def test_edited(self):
        """
        An edit that leaves all in its place is noticed, when a message is opened and
        before its end is sent.
        """
        opened = self.maildrop.openMessage(0).openAt(0)
        self.insert(b"one", b"ONE")
        self.assertFalse(opened.unchanged())
        opened.file.close()
        self.assertChanged(0)

    def test_shifted(self):
        """
        So is one that moves what comes behind it, new mail or not.
        """
        opened = self.maildrop.openMessage(1).openAt(0)
        self.insert(b"one\n", b"one\nStatus: RO\n")
        self.assertFalse(opened.unchanged())
        opened.file.close()
        for index in range(3):
            self.assertChanged(index)

    def test_cutOff(self):
        """
        So is a mailbox that was made shorter.
        """
        opened = self.maildrop.openMessage(0).openAt(0)
        os.truncate(self.path, len(THREE) - 1)
        self.assertFalse(opened.unchanged())
        opened.file.close()
        self.assertChanged(0)

    def test_replaced(self):
        """
        So is another file in its place; what is open is still that which was listed.
        """
        opened = self.maildrop.openMessage(0).openAt(0)
        with open(self.path + b".new", "wb") as file:
            file.write(THREE)
        os.rename(self.path + b".new", self.path)
        self.assertTrue(opened.unchanged())
        opened.file.close()
        self.assertChanged(0)
        os.unlink(self.path)
        self.assertChanged(1)

    def test_timesSetBack(self):
        """
        A mail reader that sets the times as they were changes nothing.
        """
        before = os.stat(self.path)
        time.sleep(0.02)
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(len(all_stored(self.maildrop)), 3)

    def test_tailIsShort(self):
        """
        Where less is read than there was, that is no whole message.
        """
        opened = self.maildrop.openMessage(2).openAt(0)
        os.truncate(self.path, len(THREE) - 9)
        self.assertLess(len(opened.file.read(100)), 13)
        self.assertFalse(opened.unchanged())
        opened.file.close()


class SyncTests(StoreCase):
    """
    Deletion takes messages out of the mailbox, and nothing else.
    """

    def setUp(self):
        super().setUp()
        self.write(THREE)
        self.maildrop = self.open()
        self.addCleanup(self.maildrop.close)

    def sync(self, *indices):
        for index in indices:
            self.maildrop.deleteMessage(index)
        return self.maildrop.sync()

    def assertRefused(self, *indices):
        """
        Nothing is deleted, and it is said.
        """
        content = self.content()
        self.failureResultOf(self.sync(*indices), NotAllDeleted)
        self.assertEqual(self.content(), content)
        self.assertNotIn(b"rewrite", os.listdir(self.state))
        self.assertFalse(os.path.exists(self.path + b".lock"))

    def test_deleted(self):
        """
        The others stay, octet for octet, with their From_ lines.
        """
        a = b"From a\nA: 1\n\none\n\n"
        b = b"From b\nB: 2\n\n>From two\n\n"
        c = b"From c\nC: 3\n\nthree\n\n"
        self.assertEqual(a + b + c, THREE)
        for indices, left in [
            ((0,), b + c),
            ((1,), a + c),
            ((2,), a + b),
            ((0, 2), b),
            ((2, 1), a),
            ((0, 1, 2), b""),
        ]:
            with self.subTest(indices=indices):
                self.maildrop.close()
                self.write(THREE)
                self.maildrop = self.open()
                self.successResultOf(self.sync(*indices))
                self.assertEqual(self.content(), left)
                self.assertTrue(self.maildrop.isDeleted(indices[0]))

    def test_nothingDeleted(self):
        """
        Without a deletion the mailbox is not touched.
        """
        before = os.stat(self.path)
        self.maildrop.deleteMessage(0)
        self.maildrop.undeleteMessages()
        self.assertIsNone(self.maildrop.sync())
        self.assertEqual(os.stat(self.path), before)

    def test_twice(self):
        """
        What was deleted is not deleted again.
        """
        self.successResultOf(self.sync(0))
        content = self.content()
        self.assertIsNone(self.maildrop.sync())
        self.assertEqual(self.content(), content)

    def test_newMail(self):
        """
        Mail that came since the mailbox was listed stays.
        """
        new = b"From d\n\nnew\n\n"
        self.write(new, "ab")
        self.successResultOf(self.sync(0, 2))
        self.assertEqual(self.content(), b"From b\nB: 2\n\n>From two\n\n" + new)

    def test_separable(self):
        """
        A last message that lacks its line end gets it where it moves, and stays the
        same message.
        """
        for body, line_end in [
            (b"the end", b"\n"),
            (b"the end\n", b"\n"),
            (b"the end\r\n", b"\r\n"),
            (b"the end\r", b"\n"),
            (b"", b"\n"),
        ]:
            with self.subTest(body=body):
                self.maildrop.close()
                first = b"From a\none\n\n".replace(b"\n", line_end)
                self.write(first + b"From b" + line_end + body)
                self.maildrop = self.open()
                unique_id = self.maildrop.getUidl(1)
                self.successResultOf(self.sync(0))
                self.maildrop.close()
                self.write(b"From c\nnew\n", "ab")
                self.maildrop = self.open()
                self.assertEqual(self.maildrop.countMessages(), 2)
                self.assertEqual(self.maildrop.getUidl(0), unique_id)

    def test_changedOtherwise(self):
        """
        Where anything but new mail has come, nothing is deleted.
        """
        for old, new in [
            (b"one", b"ONE"),
            (b"one", b"one\nStatus: RO"),
            (b"three\n", b"three\nand more\n"),
            (b"From c\nC: 3\n\nthree\n\n", b""),
            (THREE, b""),
            (b"From a", b"Form a"),
        ]:
            for indices in ((0,), (1,), (2,)):
                with self.subTest(new=new, indices=indices):
                    self.maildrop.close()
                    self.write(THREE)
                    self.maildrop = self.open()
                    time.sleep(0.01)
                    self.write(THREE.replace(old, new))
                    self.assertRefused(*indices)
                    self.assertIn("has changed otherwise", self.logged.pop())

    def test_replaced(self):
        """
        Nor is anything where another file has taken its place, or none.
        """
        with open(self.path + b".new", "wb") as file:
            file.write(THREE)
        os.rename(self.path + b".new", self.path)
        self.assertRefused(0)
        os.unlink(self.path)
        self.failureResultOf(self.maildrop.sync(), NotAllDeleted)
        self.assertFalse(os.path.exists(self.path))
        self.flushLoggedErrors(FileNotFoundError)

    def test_locked(self):
        """
        While others have the mailbox locked it waits, and not for ever.
        """
        with open(self.path + b".lock", "wb"):
            waiting = self.sync(0)
        self.clock.pump([0.1] * 100)
        self.assertNoResult(waiting)
        self.assertEqual(self.content(), THREE)
        os.unlink(self.path + b".lock")
        self.clock.pump([0.1] * 2)
        self.successResultOf(waiting)
        self.assertNotEqual(self.content(), THREE)

    def test_lockedForLong(self):
        """
        Then nothing is deleted.
        """
        with open(self.path + b".lock", "wb"):
            waiting = self.sync(0)
        self.clock.pump([0.1] * 210)
        self.failureResultOf(waiting, NotAllDeleted)
        self.assertEqual(self.content(), THREE)

    def test_lockLost(self):
        """
        Whose session lock was taken over deletes nothing.
        """
        os.unlink(os.path.join(self.state, b"lock"))
        self.maildrop.deleteMessage(0)
        self.assertRaises(LockLost, self.maildrop.sync)
        self.assertEqual(self.content(), THREE)

    def test_notOursToWrite(self):
        """
        A mailbox that may only be read is served, and nothing is deleted.
        """
        self.maildrop.close()
        open_ = os.open

        def read_only(path, flags, *mode):
            if path == self.path and flags & os.O_RDWR:
                raise PermissionError(errno.EACCES, "no")
            return open_(path, flags, *mode)

        self.patch(os, "open", read_only)
        self.maildrop = self.open()
        self.assertEqual(len(all_stored(self.maildrop)), 3)
        self.assertRefused(1)
        self.assertIn("is not ours to write", self.logged.pop())

    def test_inSteps(self):
        """
        A large mailbox is rewritten in steps, with the locks held and refreshed.
        """
        self.maildrop.close()
        large = b"From m\n" + b"x" * 4_000_000 + b"\n\n"
        self.write(THREE + large)
        pending = []

        def cooperate(steps):
            done = Deferred()
            pending.append((steps, done))
            return done

        def run(check):
            steps, done = pending.pop()
            count = 0
            for count, _ in enumerate(steps, 1):  # noqa: B007
                check()
            done.callback(None)
            return count

        def locked():
            self.assertTrue(os.path.exists(self.path + b".lock"))
            self.clock.advance(mbox_lock.REFRESH)
            self.assertGreater(os.stat(self.path + b".lock").st_mtime, 1)
            os.utime(self.path + b".lock", (1, 1))

        opening = self.store(cooperate=cooperate).openMaildrop(b"user", None)
        self.assertNoResult(opening)
        self.assertGreater(run(locked), 20)
        self.maildrop = self.successResultOf(opening)
        syncing = self.sync(0, 1)
        self.assertGreater(run(locked), 60)
        self.successResultOf(syncing)
        self.assertEqual(self.content(), THREE[THREE.index(b"From c") :] + large)


class OpeningTests(StoreCase):
    """
    To open a mailbox may take long, and be given up.
    """

    def test_onTheSpot(self):
        """
        A small mailbox needs no turn of the reactor.
        """
        self.write(THREE)

        def never(steps):
            raise AssertionError("it takes turns")

        self.open(cooperate=never).close()

    def test_locked(self):
        """
        While others have the mailbox locked a login waits, and not for ever.
        """
        self.write(THREE)
        with open(self.path + b".lock", "wb"):
            opening = self.store().openMaildrop(b"user", None)
        self.clock.pump([0.1] * 210)
        self.failureResultOf(opening, StoreUnavailable)
        os.unlink(self.path + b".lock")
        self.open().close()

    def test_cancelled(self):
        """
        Who hangs up while the mailbox is being read leaves no lock and no step behind.
        """
        self.write(b"From m\n" + b"x" * 2_000_000)
        left = []

        def cooperate(steps):
            left.append(steps)
            next(steps)
            return Deferred()

        opening = self.store(cooperate=cooperate).openMaildrop(b"user", None)
        self.assertTrue(os.path.exists(self.path + b".lock"))
        opening.addErrback(lambda _: None)
        opening.cancel()
        self.assertFalse(os.path.exists(self.path + b".lock"))
        self.assertEqual(list(left[0]), [])
        self.open().close()

    def test_changesInSpiteOfTheLocks(self):
        """
        A mailbox that changes while it is being read is read again, three times.
        """
        self.write(THREE)
        parsing = mbox.parsing
        changes = [b"From d\n\n", b"From e\n\n"]

        def changing(*rest):
            yield from parsing(*rest)
            if changes:
                self.write(changes.pop(), "ab")

        self.patch(mbox, "parsing", changing)
        maildrop = self.open()
        self.assertEqual(maildrop.countMessages(), 5)
        maildrop.close()
        changes += [b"From x\n\n"] * 3
        opening = self.store().openMaildrop(b"user", None)
        self.failureResultOf(opening, StoreUnavailable)
        self.assertIn("changes in spite of the locks", self.logged.pop())


class StateTests(SynchronousTestCase):
    """
    Where index, session lock and safety copies lie.
    """

    def test_names(self):
        """
        No two mailboxes have one folder, and no name leaves it.
        """
        paths = [b"/m/user", b"/m/us_er", b"/m/us er", b"/n/user", b"/m/..", b"/m/\xff"]
        names = {folder_name(path) for path in paths}
        self.assertEqual(len(names), len(paths))
        for name in names:
            self.assertRegex(name, rb"\A[A-Za-z0-9@_-]{1,97}\Z")
        self.assertLess(len(folder_name(b"/m/" + b"x" * 5000)), 100)

    def test_default(self):
        """
        It is the system's for root, else that of the user.
        """
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(default_state(), b"/var/lib/extretr/mbox")
        self.patch(os, "geteuid", lambda: 1000)
        self.patch(os, "environb", {b"XDG_STATE_HOME": b"/x/state"})
        self.assertEqual(default_state(), b"/x/state/extretr/mbox")
        home = os.path.expanduser(b"~")
        for unset in ({}, {b"XDG_STATE_HOME": b"relative"}):
            self.patch(os, "environb", unset)
            expected = os.path.join(home, b".local/state/extretr/mbox")
            self.assertEqual(default_state(), expected)


class StateFolderTests(StoreCase):
    """
    The state folder of a mailbox.
    """

    def test_private(self):
        """
        Only its owner may look into it: it holds copies of mail.
        """
        self.write(THREE)
        self.addCleanup(os.umask, os.umask(0))
        self.open().close()
        self.assertEqual(os.stat(self.state).st_mode & 0o777, 0o700)

    def test_beside(self):
        """
        Beside the mailbox nothing is left.
        """
        self.write(THREE)
        maildrop = self.open()
        maildrop.deleteMessage(0)
        self.successResultOf(maildrop.sync())
        maildrop.close()
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [b"user"])

    def test_cannotBeMade(self):
        """
        Where it cannot be made the store is not available.
        """
        self.write(THREE)
        with open(os.path.join(self.folder, b"state"), "wb"):
            pass
        opening = self.store().openMaildrop(b"user", None)
        self.failureResultOf(opening, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_copyCannotBeMade(self):
        """
        Without a safety copy nothing is deleted.
        """
        self.write(THREE)
        maildrop = self.open()
        maildrop.deleteMessage(0)
        os.mkdir(os.path.join(self.state, b"rewrite.new"))
        self.failureResultOf(maildrop.sync(), NotAllDeleted)
        self.assertEqual(self.content(), THREE)
        self.flushLoggedErrors(OSError)
        maildrop.close()
