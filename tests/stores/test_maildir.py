"""
`extretr.stores.maildir`, and what `extretr.stores.maildrop` gives to all stores.
"""

import errno
import os
import shutil
import stat

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import (
    LockLost,
    MessageChanged,
    NoSuchMessage,
    NotAllDeleted,
    StoreUnavailable,
    UnsafeUser,
)
from extretr.interfaces import IMaildrop, IStore
from extretr.message import STEP
from extretr.stores import maildir as module
from extretr.stores import maildir_scan
from extretr.stores.maildir import MaildirStore
from extretr.stores.paths import PathTemplate
from tests import models


def at_once(steps):
    for _ in steps:
        pass
    return succeed(None)


class MaildirTestCase(SynchronousTestCase):
    """
    A mail root with the Maildir of bob.
    """

    def setUp(self):
        self.root = os.fsencode(os.path.abspath(self.mktemp()))
        self.maildir = os.path.join(self.root, b"bob")
        for name in (b"tmp", b"new", b"cur"):
            os.makedirs(os.path.join(self.maildir, name))
        self.clock = Clock()
        self.now = 4_000_000_000.0
        self.addCleanup(self.forget)
        self.open_ones = []

    def forget(self):
        for maildrop in self.open_ones:
            maildrop.close()

    def store(self, **options):
        options = {"cooperate": at_once, "wall": lambda: self.now, **options}
        return MaildirStore(
            template=PathTemplate(self.root + b"/%u"), clock=self.clock, **options
        )

    def open(self, **options):
        maildrop = self.successResultOf(
            self.store(**options).openMaildrop(b"bob", None)
        )
        self.open_ones.append(maildrop)
        return maildrop

    def again(self, maildrop, **options):
        """
        End a session and begin another.
        """
        maildrop.close()
        self.open_ones.remove(maildrop)
        return self.open(**options)

    def deliver(self, name, stored, folder=b"new"):
        path = os.path.join(self.maildir, folder, name)
        with open(path, "wb") as file:
            file.write(stored)
        return path

    def sizes(self, maildrop):
        """
        Give all sizes, which may take a Deferred.
        """
        sizes = maildrop.listMessages()
        return self.successResultOf(sizes) if isinstance(sizes, Deferred) else sizes

    def read(self, maildrop, index, offset=0):
        message = maildrop.openMessage(index)
        opened = message.openAt(offset)
        with opened.file:
            return opened.file.read(-1)


class MaildirStoreTests(MaildirTestCase):
    """
    Opening a maildrop.
    """

    def test_interfaces(self):
        """
        The store and its maildrops provide what they promise.
        """
        verifyObject(IStore, self.store())
        verifyObject(IMaildrop, self.open())

    def test_layout(self):
        """
        new/ and cur/ are served, in the order of arrival; tmp/, hidden files, folders,
        pipes and links are not.
        """
        self.deliver(b"20.b", b"two\n", b"cur")
        self.deliver(b"3.c:2,S", b"one\n", b"cur")
        self.deliver(b"100.a", b"three\n")
        self.deliver(b"1.tmp", b"no\n", b"tmp")
        self.deliver(b".hidden", b"no\n")
        os.mkdir(os.path.join(self.maildir, b"new", b"folder"))
        os.mkfifo(os.path.join(self.maildir, b"new", b"pipe"))
        os.symlink(b"/etc/passwd", os.path.join(self.maildir, b"new", b"link"))
        maildrop = self.open()
        self.assertEqual(maildrop.countMessages(), 3)
        uids = [maildrop.getUidl(index) for index in range(3)]
        self.assertEqual(uids, [b"3.c", b"20.b", b"100.a"])
        self.assertEqual(
            [self.read(maildrop, index) for index in range(3)],
            [b"one\n", b"two\n", b"three\n"],
        )

    def test_sizes(self):
        """
        f10: sizes are those of the canonical form, whatever the name claims.
        """
        bodies = [b"", b"a", b"a\n", b"a\r\n.\r\n", b"\n\n", b"x\r", b"\0\xff\n"]
        for number, stored in enumerate(bodies):
            self.deliver(b"%d.m,S=999,W=998:2," % number, stored, b"cur")
        maildrop = self.open()
        wanted = [len(models.canonical(stored)) for stored in bodies]
        self.assertEqual(self.sizes(maildrop), wanted)
        self.assertEqual(maildrop.listMessages(3), wanted[3])
        self.assertFalse(maildrop.isDeleted(0))

    def test_movedWhileListed(self):
        """
        A message that stands in both folders is one.
        """
        self.deliver(b"1.a", b"x\n")
        self.deliver(b"1.a:2,S", b"x\n", b"cur")
        self.assertEqual(self.open().countMessages(), 1)

    def test_nothingIsTouched(self):
        """
        No mail is moved and no flag is set.
        """
        path = self.deliver(b"1.a", b"x\n")
        maildrop = self.open()
        self.read(maildrop, 0)
        maildrop.sync()
        self.again(maildrop)
        self.assertTrue(os.path.exists(path))

    def test_octetsInNames(self):
        """
        Names may hold any octets; what cannot be sent is hashed.
        """
        self.deliver(b"1.\xe9 x", b"x\n")
        maildrop = self.open()
        self.assertEqual(len(maildrop.getUidl(0)), 64)
        self.assertEqual(self.read(maildrop, 0), b"x\n")

    def test_noFolder(self):
        """
        A user without a folder has an empty maildrop, and none is made.
        """
        store = self.store()
        maildrop = self.successResultOf(store.openMaildrop(b"ann", None))
        self.assertEqual(self.sizes(maildrop), [])
        maildrop.sync()
        maildrop.close()
        self.assertEqual(os.listdir(self.root), [b"bob"])

    def test_unreachable(self):
        """
        A Maildir that cannot be looked into does not pass for an empty one.
        """
        stat_ = os.stat

        def fails(path, *args, **options):
            if path == os.path.join(self.maildir, b"."):
                raise PermissionError(13, "no")
            return stat_(path, *args, **options)

        self.patch(module.os, "stat", fails)
        opening = self.store().openMaildrop(b"bob", None)
        self.failureResultOf(opening, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)

    def test_movedBetweenListings(self):
        """
        A message that is moved to cur/ after one folder was listed is not missed.
        """
        path = self.deliver(b"1.a", b"x\n")
        moved = os.path.join(self.maildir, b"cur", b"1.a:2,S")
        scandir, listed = os.scandir, []

        def moving(folder):
            if listed and os.path.exists(path):
                os.rename(path, moved)
            listed.append(folder)
            return scandir(folder)

        self.patch(module.os, "scandir", moving)
        maildrop = self.open()
        self.assertEqual(
            [os.path.basename(folder) for folder in listed[:2]], [b"new", b"cur"]
        )
        self.assertEqual(maildrop.countMessages(), 1)
        self.assertEqual(self.read(maildrop, 0), b"x\n")

    def test_noSubfolders(self):
        """
        A Maildir without new/ or cur/ is empty so far.
        """
        for name in (b"new", b"cur"):
            os.rmdir(os.path.join(self.maildir, name))
        self.assertEqual(self.sizes(self.open()), [])

    def test_noRoot(self):
        """
        A mail root that is gone is a failure of the store, which is logged, whether or
        not there ever was such a Maildir; nothing is made in its place.
        """
        other = os.fsencode(os.path.abspath(self.mktemp()))
        self.open().close()
        os.rename(self.root, self.root + b".away")
        logged = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        for make in (lambda: None, lambda: open(self.root, "wb").close()):
            make()
            for state in (None, PathTemplate(other + b"/%u")):
                for user in (b"bob", b"ann"):
                    opening = self.store(state=state).openMaildrop(user, None)
                    self.failureResultOf(opening, StoreUnavailable)
                    self.assertIn("no mail root", logged.pop()["log_format"])
        self.assertEqual(logged, [])
        self.assertFalse(os.path.exists(other))
        self.assertFalse(os.path.isdir(self.root))

    def test_onTheSpot(self):
        """
        A lock that is free, in a Maildir that was opened before, is waited for by
        nobody, and what is above the Maildir not looked at.
        """
        other = PathTemplate(os.fsencode(os.path.abspath(self.mktemp())) + b"/%u")
        for state in (None, other):
            self.open(state=state).close()
            never = [
                self.patch(module.SessionLock, "acquire", self.fail),
                self.patch(module.os.path, "isdir", self.fail),
            ]
            self.open(state=state).close()
            for patched in never:
                patched.restore()

    def test_goneBesideItsState(self):
        """
        The Maildir of a user that is gone is empty, and its lock not taken, also where
        the state is elsewhere.
        """
        other = os.fsencode(os.path.abspath(self.mktemp()))
        state = PathTemplate(other + b"/%u")
        self.deliver(b"1.a", b"x\n")
        self.open(state=state).close()
        os.rename(self.maildir, self.maildir + b".away")
        maildrop = self.open(state=state)
        self.assertEqual(self.sizes(maildrop), [])
        self.assertNotIn(b"lock", os.listdir(other + b"/bob"))
        os.rename(self.maildir + b".away", self.maildir)
        self.assertEqual(self.open(state=state).countMessages(), 1)

    def test_unsafeUser(self):
        """
        A bad name never reaches a path.
        """
        for user in (b"../bob", b"", b".bob", b"bob/new"):
            self.failureResultOf(self.store().openMaildrop(user, None), UnsafeUser)

    def test_stateThatCannotBeMade(self):
        """
        Where the lock has no place the store is unavailable, and the log says why.
        """
        store = self.store(state=PathTemplate(b"/proc/nowhere/%u"))
        self.failureResultOf(store.openMaildrop(b"bob", None), StoreUnavailable)
        self.assertTrue(self.flushLoggedErrors(OSError))

    def test_state(self):
        """
        Index and lock lie in the Maildir for the owner only, or where they are told to.
        """
        self.again(self.open())
        inside = os.path.join(self.maildir, b"extretr")
        self.assertEqual(stat.S_IMODE(os.stat(inside).st_mode), 0o700)
        other = os.fsencode(os.path.abspath(self.mktemp()))
        self.open(state=PathTemplate(other + b"/deep/%u"))
        self.assertIn(b"lock", os.listdir(other + b"/deep/bob"))

    def test_listingFails(self):
        """
        Where the folder cannot be listed the lock is free again.
        """

        def fails(path):
            raise PermissionError(13, "no")

        scandir = os.scandir
        self.patch(module.os, "scandir", fails)
        self.failureResultOf(self.store().openMaildrop(b"bob", None), StoreUnavailable)
        self.patch(module.os, "scandir", scandir)
        self.flushLoggedErrors()
        self.assertEqual(self.sizes(self.open()), [])

    def test_manyInSteps(self):
        """
        A folder of many messages is listed in steps.
        """
        for number in range(maildir_scan.STEP * 2 + 10):
            self.deliver(b"%d.a" % number, b"x\n")
        waiting = []

        def later(steps):
            done = Deferred()
            waiting.append((steps, done))
            return done

        opening = self.store(cooperate=later).openMaildrop(b"bob", None)
        self.assertNoResult(opening)
        steps, done = waiting.pop()
        self.assertGreaterEqual(sum(1 for _ in steps), 1)
        done.callback(None)
        maildrop = self.successResultOf(opening)
        self.open_ones.append(maildrop)
        self.assertEqual(maildrop.countMessages(), maildir_scan.STEP * 2 + 10)


class RememberedTests(MaildirTestCase):
    """
    What was measured is not measured again; what has changed is.
    """

    def setUp(self):
        super().setUp()
        self.opened = []
        descriptorOf = module.MaildirMaildrop._descriptorOf

        def counting(maildrop, entry):
            self.opened.append(entry.key)
            return descriptorOf(maildrop, entry)

        self.patch(module.MaildirMaildrop, "_descriptorOf", counting)
        self.statted = []
        lstat = os.lstat

        def counted(path):
            if os.path.dirname(path).endswith((b"new", b"cur")):
                self.statted.append(path)
            return lstat(path)

        self.patch(module.os, "lstat", counted)
        self.listed = []
        scandir = os.scandir

        def listing(path):
            self.listed.append(os.path.basename(path))
            return scandir(path)

        self.patch(module.os, "scandir", listing)

    def test_nextSession(self):
        """
        A later login opens no message and stats none where nothing has changed.
        """
        for number in range(5):
            self.deliver(b"%d.a" % number, b"x\n" * number)
        maildrop = self.open()
        sizes = self.sizes(maildrop)
        self.assertEqual(len(self.opened), 5)
        maildrop = self.again(maildrop)
        for calls in (self.opened, self.statted, self.listed):
            calls.clear()
        maildrop = self.again(maildrop)
        self.assertEqual(self.sizes(maildrop), sizes)
        self.assertEqual((self.opened, self.statted, self.listed), ([], [], []))

    def test_newMail(self):
        """
        Mail that came costs the new mail only.
        """
        self.deliver(b"1.a", b"x\n")
        maildrop = self.open()
        self.sizes(maildrop)
        self.deliver(b"2.a", b"yy\n")
        self.opened.clear()
        self.assertEqual(self.sizes(self.again(maildrop)), [3, 4])
        self.assertEqual(self.opened, [b"2.a"])

    def test_unsettled(self):
        """
        A folder that changed less than 2 s before it was listed is not trusted.
        """
        path = self.deliver(b"1.a", b"x\n")
        changed = os.stat(os.path.dirname(path)).st_mtime
        for age, trusted in ((1.9, False), (-100.0, False), (2.1, True)):
            self.now = changed + age
            maildrop = self.again(self.open())
            self.listed.clear()
            maildrop = self.again(maildrop)
            self.assertEqual(b"new" not in self.listed, trusted, age)
            self.again(maildrop)
            self.forget()
            self.open_ones.clear()

    def test_restored(self):
        """
        A Maildir that was put back from a copy, times and index with it, is listed
        anew: the copies are other files.
        """
        self.deliver(b"1.a", b"x\n")
        maildrop = self.again(self.open())
        maildrop.close()
        self.open_ones.clear()
        copy = self.root + b".copy"
        shutil.copytree(self.root, copy)
        os.rename(self.root, self.root + b".lost")
        os.rename(copy, self.root)
        maildrop = self.open()
        self.assertEqual(self.sizes(maildrop), [3])
        self.assertEqual(self.read(maildrop, 0), b"x\n")

    def test_changedBetween(self):
        """
        A file that was replaced in place is noticed when it is opened, and measured
        anew by the next session.
        """
        path = self.deliver(b"1.a", b"x\n")
        maildrop = self.open()
        self.sizes(maildrop)
        maildrop = self.again(maildrop)
        with open(path, "wb") as file:
            file.write(b"longer\n")
        maildrop = self.again(maildrop)
        self.assertEqual(self.sizes(maildrop), [3])
        self.assertRaises(MessageChanged, lambda: self.read(maildrop, 0))
        maildrop = self.again(maildrop)
        self.assertEqual(self.sizes(maildrop), [8])
        self.assertEqual(self.read(maildrop, 0), b"longer\n")

    def test_nameComesAgain(self):
        """
        New mail that has the name, and the inode, of a message that was deleted is
        served, and not taken for that.
        """
        path = self.deliver(b"1.a", b"x\n")
        kept = os.path.join(self.root, b"kept")
        os.link(path, kept)
        self.deliver(b"2.b", b"other\n")
        maildrop = self.open()
        self.sizes(maildrop)
        maildrop.deleteMessage(0)
        self.assertIsNone(maildrop.sync())
        maildrop.close()
        self.open_ones.remove(maildrop)
        with open(kept, "wb") as file:
            file.write(b"longer\n")
        os.link(kept, path)
        maildrop = self.open()
        self.assertEqual(self.sizes(maildrop), [8, 7])
        self.assertEqual(self.read(maildrop, 0), b"longer\n")

    def test_indexGone(self):
        """
        Without the index, or with a broken one, sizes are as exact.
        """
        self.deliver(b"1.a", b"x\n")
        maildrop = self.open()
        self.sizes(maildrop)
        path = os.path.join(self.maildir, b"extretr", b"index")

        def overwrite(path):
            with open(path, "wb") as file:
                file.write(b"x" * 9999)

        for damage in (os.unlink, overwrite):
            maildrop = self.again(maildrop)
            self.sizes(maildrop)
            maildrop.close()
            self.open_ones.remove(maildrop)
            damage(path)
            maildrop = self.open()
            self.assertEqual(self.sizes(maildrop), [3])
            self.flushLoggedErrors()


class ChangedTests(MaildirTestCase):
    """
    Files that vanish, shrink or change under a session are noticed.
    """

    def changed(self, change):
        path = self.deliver(b"1.a", b"x\n" * 100)
        maildrop = self.open()
        self.sizes(maildrop)
        change(path)
        return maildrop

    def test_refused(self):
        """
        Gone, truncated, grown, touched or replaced: the message is refused.
        """

        def replace(path):
            with open(path + b".new", "wb") as file:
                file.write(b"x\n" * 100)
            os.rename(path + b".new", path)

        def append(path):
            with open(path, "ab") as file:
                file.write(b"more")

        for change in (
            os.unlink,
            lambda path: os.truncate(path, 10),
            lambda path: os.utime(path, (1, 1)),
            append,
            replace,
        ):
            maildrop = self.changed(change)
            self.assertRaises(MessageChanged, self.read, maildrop, 0)
            self.forget()
            self.open_ones.clear()

    def test_linkInItsPlace(self):
        """
        A link that stands in the place of a message is not followed.
        """

        def link(path):
            os.unlink(path)
            os.symlink(b"/etc/passwd", path)

        self.assertRaises(MessageChanged, self.read, self.changed(link), 0)

    def test_movedByAnother(self):
        """
        A message that was flagged or moved from new/ to cur/ is found again.
        """
        maildrop = self.changed(
            lambda path: os.rename(
                path, os.path.join(self.maildir, b"cur", b"1.a:2,RS")
            )
        )
        self.assertEqual(self.read(maildrop, 0), b"x\n" * 100)
        maildrop.deleteMessage(0)
        maildrop.sync()
        self.assertEqual(os.listdir(os.path.join(self.maildir, b"cur")), [])

    def test_changedWhileOpen(self):
        """
        A change during a transfer is seen at its end; an unlinked file reads whole.
        """
        path = self.deliver(b"1.a", b"x\n" * 100)
        maildrop = self.open()
        opened = maildrop.openMessage(0).openAt(0)
        self.assertTrue(opened.unchanged())
        with open(path, "ab") as file:
            file.write(b"more")
        self.assertFalse(opened.unchanged())
        opened.file.close()

    def test_goneBeforeMeasured(self):
        """
        f15b: a message that vanished before it was measured is in no list, and refused.
        """
        path = self.deliver(b"1.a", b"x\n")
        self.deliver(b"2.a", b"x\n")
        maildrop = self.open()
        os.unlink(path)
        self.assertEqual(self.sizes(maildrop), [0, 3])
        self.assertTrue(maildrop.isDeleted(0))
        self.assertRaises(MessageChanged, maildrop.openMessage, 0)
        maildrop.undeleteMessages()
        self.assertTrue(maildrop.isDeleted(0))

    def test_unreadable(self):
        """
        A message that cannot be read is in no list; the others are served.
        """
        self.deliver(b"1.a", b"x\n")
        self.deliver(b"2.a", b"x\n")
        maildrop = self.open()
        descriptorOf = maildrop._descriptorOf

        def fails(_, entry):
            if entry.key == b"1.a":
                raise PermissionError(13, "no")
            return descriptorOf(entry)

        self.patch(module.MaildirMaildrop, "_descriptorOf", fails)
        self.assertEqual(self.sizes(maildrop), [0, 3])
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)

    def test_maildirGone(self):
        """
        A Maildir that goes during a session does not look like one that is empty; what
        is in it cannot be deleted, which QUIT says.
        """
        self.deliver(b"1.a", b"x\n")
        maildrop = self.open(state=PathTemplate(self.root + b"/state/%u"))
        os.rename(self.maildir, self.maildir + b".away")
        self.assertRaises(StoreUnavailable, maildrop.listMessages)
        self.assertRaises(StoreUnavailable, maildrop.openMessage, 0)
        maildrop.deleteMessage(0)
        self.assertRaises(NotAllDeleted, maildrop.sync)
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)
        os.rename(self.maildir + b".away", self.maildir)
        maildrop.sync()
        self.assertEqual(self.sizes(self.again(maildrop)), [])

    def test_shortOfDescriptors(self):
        """
        Where the process is short of something, no list without the message is given.
        """
        self.deliver(b"1.a", b"x\n")
        self.deliver(b"2.a", b"x\n")
        maildrop = self.open()

        def fails(maildrop, entry):
            raise OSError(errno.EMFILE, "too many open files")

        short = self.patch(module.MaildirMaildrop, "_descriptorOf", fails)
        self.assertRaises(StoreUnavailable, maildrop.listMessages)
        self.assertRaises(StoreUnavailable, maildrop.openMessage, 0)
        self.assertTrue(self.flushLoggedErrors(OSError))
        short.restore()
        self.assertEqual(self.sizes(maildrop), [3, 3])


class MaildropTests(MaildirTestCase):
    """
    What all maildrops have in common.
    """

    def setUp(self):
        super().setUp()
        self.paths = [self.deliver(b"%d.a" % n, b"x\n" * n) for n in range(1, 4)]

    def test_numbers(self):
        """
        f14b, f15: an index that is not there is none, a negative one neither.
        """
        maildrop = self.open()
        for index in (-1, 3, 10**18):
            self.assertRaises(NoSuchMessage, maildrop.openMessage, index)
            self.assertRaises(NoSuchMessage, maildrop.deleteMessage, index)
            self.assertRaises(ValueError, maildrop.listMessages, index)
            self.assertRaises(ValueError, maildrop.getUidl, index)

    def test_marks(self):
        """
        f13, f53: marks remove nothing before sync, keep the order, and can be taken
        back.
        """
        maildrop = self.open()
        maildrop.deleteMessage(1)
        maildrop.deleteMessage(0)
        self.assertEqual(self.sizes(maildrop), [0, 0, 9])
        self.assertEqual(maildrop.listMessages(1), 0)
        self.assertTrue(maildrop.isDeleted(1))
        self.assertRaises(NoSuchMessage, maildrop.openMessage, 1)
        self.assertTrue(all(map(os.path.exists, self.paths)))
        maildrop.undeleteMessages()
        self.assertEqual(self.sizes(maildrop), [3, 6, 9])

    def test_closeDeletesNothing(self):
        """
        f13: a session that ends without sync deletes nothing.
        """
        maildrop = self.open()
        maildrop.deleteMessage(0)
        self.assertEqual(self.again(maildrop).countMessages(), 3)

    def test_sync(self):
        """
        f12: sync removes what is marked, and nothing else.
        """
        maildrop = self.open()
        maildrop.deleteMessage(1)
        maildrop.sync()
        self.assertEqual(list(map(os.path.exists, self.paths)), [True, False, True])

    def test_manyInSteps(self):
        """
        Many messages are removed in steps, while the lock is ours.
        """
        for number in range(900):
            self.deliver(b"%d.m" % (number + 10), b"x")
        waiting = []

        def later(steps):
            done = Deferred()
            waiting.append((steps, done))
            return done

        maildrop = self.open()
        maildrop._cooperate = later
        for index in range(maildrop.countMessages()):
            maildrop.deleteMessage(index)
        self.assertEqual((maildrop.hidden(), maildrop.total()), (set(range(903)), 0))
        removal = maildrop.sync()
        self.assertNoResult(removal)
        maildrop.close()
        self.assertIn(b"lock", os.listdir(os.path.join(self.maildir, b"extretr")))
        steps, done = waiting.pop(0)
        self.assertGreaterEqual(sum(1 for _ in steps), 4)
        done.callback(None)
        self.successResultOf(removal)
        self.assertEqual(os.listdir(os.path.join(self.maildir, b"new")), [])
        self.assertNotIn(b"lock", os.listdir(os.path.join(self.maildir, b"extretr")))
        self.open_ones.remove(maildrop)

    def test_goneIsRemoved(self):
        """
        What another agent has removed already counts as removed.
        """
        maildrop = self.open()
        maildrop.deleteMessage(1)
        os.unlink(self.paths[1])
        maildrop.sync()

    def test_notAllDeleted(self):
        """
        Where one cannot be removed the others are, and the failure is told.
        """
        maildrop = self.open()
        for index in range(3):
            maildrop.deleteMessage(index)
        unlink = os.unlink

        def fails(path):
            if path == self.paths[0]:
                raise PermissionError(13, "no")
            unlink(path)

        self.patch(module.os, "unlink", fails)
        self.assertRaises(NotAllDeleted, maildrop.sync)
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)
        self.assertEqual(list(map(os.path.exists, self.paths)), [True, False, False])

    def test_changedIsNotRemoved(self):
        """
        What has taken the place of a marked message, and nobody has seen, is kept.
        """
        maildrop = self.open()
        maildrop.deleteMessage(0)
        other = self.deliver(b"other", b"another message\n", b"tmp")
        os.rename(other, self.paths[0])
        self.assertRaises(NotAllDeleted, maildrop.sync)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertTrue(os.path.exists(self.paths[0]))

    def test_lockLost(self):
        """
        f37: an evicted session deletes nothing.
        """
        maildrop = self.open()
        maildrop.deleteMessage(0)
        os.unlink(os.path.join(self.maildir, b"extretr", b"lock"))
        self.assertRaises(LockLost, maildrop.sync)
        self.assertTrue(os.path.exists(self.paths[0]))

    def test_exclusive(self):
        """
        f37: two sessions do not share a maildrop; the second gets in after the first.
        """
        maildrop = self.open()
        opening = self.store().openMaildrop(b"bob", None)
        self.assertNoResult(opening)
        maildrop.close()
        self.open_ones.remove(maildrop)
        self.clock.pump([0.25] * 8)
        self.open_ones.append(self.successResultOf(opening))

    def test_measuredInSteps(self):
        """
        Large messages are measured in steps; one small one on the spot.
        """
        self.deliver(b"9.a", b"z" * (STEP * 3))
        waiting = []

        def later(steps):
            done = Deferred()
            waiting.append((steps, done))
            return done

        maildrop = self.open(cooperate=later)
        self.assertEqual(maildrop.listMessages(0), 3)
        self.assertEqual(waiting, [])
        opening = maildrop.openMessage(3)
        self.assertNoResult(opening)
        steps, done = waiting.pop()
        self.assertGreaterEqual(sum(1 for _ in steps), 2)
        done.callback(None)
        self.assertEqual(self.successResultOf(opening).size, STEP * 3 + 2)

    def test_stockGetMessage(self):
        """
        f09, f54: who knows no more than IMailbox gets a file of octets.
        """
        maildrop = self.open()
        with maildrop.getMessage(0) as file:
            self.assertEqual(file.read(), b"x\n")
        maildrop.deleteMessage(0)
        self.assertRaises(NoSuchMessage, maildrop.getMessage, 0)
