"""
Whatever fails while messages are taken out of an mbox, no other message is lost.
"""

import errno
import os
import re

from twisted.python.failure import Failure

from extretr.errors import NotAllDeleted, StoreUnavailable
from extretr.stores import mbox_copy, mbox_parse
from tests.stores.mboxes import (
    Crash,
    Failing,
    PowerLoss,
    StoreCase,
    all_stored,
    every,
    failures,
    outcome,
    stored,
    with_os,
)

LONG = b"".join(b"line %d of four\n" % number for number in range(9))

#: Messages of very different lengths, so that the new tail overlaps the old one
#: in all ways; the last one without its line end.
MESSAGES = [
    b"A: 1\n\nfirst\n",
    b"B: 2\n\n" + LONG,
    b"C: 3\n",
    b"D: 4\n\n" + LONG + LONG,
    b"E: 5\n\n.\nFrom x\n",
    b"",
    b"F: 6\n\n" + LONG + b"the end",
]

NEW = b"From new\nN: 7\n\nnew mail\n\n"

DELETIONS = [{0}, {1}, {6}, {0, 1}, {1, 3}, {2, 5}, {0, 2, 4, 6}, {0, 1, 2, 3, 4, 5, 6}]


def mbox(messages, line_end=b"\n"):
    octets = b"\n".join(b"From m\n" + message for message in messages)
    return octets.replace(b"\n", line_end)


def lines(message):
    """
    Give a message whose last line is ended: what it is when another follows it.
    """
    if not message or message.endswith(b"\n"):
        return message
    return message + b"\n"


def samefile(descriptor, path):
    return os.path.samestat(os.fstat(descriptor), os.stat(path))


class CrashCase(StoreCase):
    messages = MESSAGES

    def setUp(self):
        super().setUp()
        # Small steps: many writes for a small mailbox.
        self.patch(mbox_copy, "STEP", 50)
        self.patch(mbox_copy, "FOLLOW", 3)
        self.patch(mbox_copy.pieces, "__defaults__", (50,))
        self.patch(mbox_parse, "STEP", 100)

    def begin(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        for name in os.listdir(self.state) if os.path.exists(self.state) else []:
            os.unlink(os.path.join(self.state, name))
        self.write(mbox(self.messages))

    def failing(self, fake, indices):
        """
        Delete messages in a session of their own, on an `os` that fails; tell whether
        it did.
        """
        maildrop = self.open()
        for index in indices:
            maildrop.deleteMessage(index)
        result = with_os(self, fake, lambda: outcome(maildrop.sync()))
        maildrop.close()
        if not fake.failed:
            self.assertIsNone(result)
        elif isinstance(fake._error, OSError):
            result.trap(NotAllDeleted)
        else:
            result.trap(Crash)
        self.flushLoggedErrors(OSError)
        return fake.failed

    def check(self, deleted, more=()):
        """
        All messages are there once and whole, but for those deleted: all or none.
        """
        maildrop = with_os(self, Failing(1_000_000, Crash()), self.open)
        found = [lines(message) for message in all_stored(maildrop)]
        maildrop.close()
        everything = [lines(message) for message in self.messages]
        left = [
            message for index, message in enumerate(everything) if index not in deleted
        ]
        self.assertIn(found, ([*everything, *more], [*left, *more]))
        self.assertEqual(
            [name for name in os.listdir(self.state) if b"rewrite" in name], []
        )
        self.assertEqual(
            re.findall(b"unfinished", b"/".join(os.listdir(self.state))), []
        )
        return len(found) - len(more) == len(left)

    def everyFailure(self, deleted, between=lambda: None, more=()):
        """
        Fail at each change in turn, in each way; give how the deletions came out.
        """
        results = set()
        for error, torn in failures():

            def attempt(at, error=error, torn=torn):
                self.begin()
                fake = Failing(at, error, torn)
                failed = self.failing(fake, deleted)
                between()
                results.add(self.check(deleted, more))
                return failed

            self.assertGreater(every(attempt), 5)
        return results


class CrashTests(CrashCase):
    """
    After a failure at any single change of a file the next session finishes.
    """

    def test_everyChange(self):
        """
        Each message that was not deleted is there once and whole; the others too, or
        they are gone.
        """
        for deleted in DELETIONS:
            with self.subTest(deleted=deleted):
                self.assertEqual(self.everyFailure(deleted), {True, False})

    def test_mailCame(self):
        """
        Mail that came after the crash is kept, wherever the file ended then.
        """
        for deleted in ({1}, {6}, {0, 2}, {0, 1, 2, 3, 4, 5, 6}):
            with self.subTest(deleted=deleted):
                # The last message lacks its line end: who adds mail ends it.
                self.everyFailure(deleted, self.append, [b"N: 7\n\nnew mail\n"])

    def append(self):
        content = self.content()
        if content and not content.endswith(b"\n"):
            content += b"\n"
        if content and not content.endswith(b"\n\n"):
            content += b"\n"
        self.write(content[os.path.getsize(self.path) :] + NEW, "ab")

    def test_mailCameCarelessly(self):
        """
        Nor does new mail become part of a message whose last line lacks its end, if
        that had been about to be moved.
        """
        deleted = {1}
        self.begin()
        # The copy is made; nothing of the mailbox has been changed.
        changed = self.changesBeforeTheFirstOfTheMailbox(deleted)
        self.begin()
        self.assertTrue(self.failing(Failing(changed, Crash(), 0), deleted))
        self.assertEqual(self.content(), mbox(self.messages))
        self.write(NEW, "ab")
        self.assertTrue(self.check(deleted, [b"N: 7\n\nnew mail\n"]))

    def changesBeforeTheFirstOfTheMailbox(self, deleted):
        fake = Failing(10_000, Crash())
        self.failing(fake, deleted)
        # The rename of the copy, and the sync of its folder.
        return fake.log.index("rename") + 2

    def test_failsAgain(self):
        """
        What fails again while it is being finished is finished later still.
        """
        for error, torn in failures():
            for first in range(8, 40, 3):
                for second in (0, 1, 2, 3, 5, 8, 13):
                    self.begin()
                    if not self.failing(Failing(first, Crash(), 0.5), {1, 3}):
                        break
                    if second % 2:
                        self.append()
                    self.failAtOpening(Failing(second, error, torn))
                    more = [b"N: 7\n\nnew mail\n"] if second % 2 else []
                    self.check({1, 3}, more)
        self.flushLoggedErrors(OSError)

    def failAtOpening(self, fake):
        opening = with_os(
            self, fake, lambda: outcome(self.store().openMaildrop(b"user", None))
        )
        if isinstance(opening, Failure):
            self.assertTrue(fake.failed)
            opening.trap(StoreUnavailable, Crash)
        else:
            opening.close()

    def test_powerLoss(self):
        """
        A disk that forgets what was not synced makes no difference.
        """
        results = set()
        for deleted in ({0}, {1, 3}, {6}, {0, 1, 2, 3, 4, 5, 6}):
            for seed in range(3):

                def attempt(at, deleted=deleted, seed=seed):
                    self.begin()
                    failed = self.failing(PowerLoss(at, seed), deleted)
                    if seed == 2:
                        self.append()
                        self.check(deleted, [b"N: 7\n\nnew mail\n"])
                    else:
                        results.add(self.check(deleted))
                    return failed

                every(attempt)
        self.assertEqual(results, {True, False})

    def test_ownerAndMode(self):
        """
        The mailbox is the same file afterwards, with the same owner and mode.
        """
        self.begin()
        os.chmod(self.path, 0o640)
        if os.geteuid() == 0:
            os.chown(self.path, 12, 34)
        before = os.stat(self.path)
        self.failing(Failing(12, Crash()), {0})
        self.check({0})
        self.assertFalse(self.failing(Failing(10_000, Crash()), {0}))
        after = os.stat(self.path)
        for field in ("st_ino", "st_mode", "st_uid", "st_gid", "st_nlink"):
            self.assertEqual(getattr(after, field), getattr(before, field))

    def test_copyIsPrivate(self):
        """
        The safety copy can be read by its owner only, whatever the umask.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.begin()
        changed = self.changesBeforeTheFirstOfTheMailbox({0})
        self.begin()
        self.failing(Failing(changed, Crash()), {0})
        mode = os.stat(os.path.join(self.state, b"rewrite")).st_mode
        self.assertEqual(mode & 0o777, 0o600)


class CRLFCrashTests(CrashCase):
    """
    The same of a mailbox whose lines end in CRLF.
    """

    messages = [message.replace(b"\n", b"\r\n") for message in MESSAGES]

    def test_everyChange(self):
        """
        Each message that was not deleted is there once and whole; the others too, or
        they are gone.
        """
        for deleted in ({1, 3}, {6}):
            with self.subTest(deleted=deleted):
                self.assertEqual(self.everyFailure(deleted), {True, False})


class CannotFinishTests(CrashCase):
    """
    What cannot be finished any more is kept for a human being, and said.
    """

    def crash(self, at, deleted=frozenset({1})):
        self.begin()
        self.changed = self.changes(deleted)
        self.begin()
        self.assertTrue(self.failing(Failing(at(self.changed), Crash()), deleted))

    def changes(self, deleted):
        fake = Failing(10_000, Crash())
        self.failing(fake, deleted)
        return fake.log

    def half(self, log):
        """
        Give the number of changes up to the middle of the rewrite.
        """
        renamed = log.index("rename") + 2
        return renamed + (log.index("ftruncate") - renamed) // 2

    def kept(self):
        (name,) = (
            name for name in os.listdir(self.state) if name.startswith(b"unfinished")
        )
        with open(os.path.join(self.state, name), "rb") as file:
            return file.read()

    def assertSetAside(self, content):
        """
        Find the mailbox as it was, and what may be missing in it kept.
        """
        maildrop = self.open()
        maildrop.close()
        self.assertEqual(self.content(), content)
        tail = mbox(self.messages)[len(b"From m\n" + self.messages[0] + b"\n") :]
        self.assertTrue(self.kept().startswith(tail))
        self.assertIn("what it may lack now is in", "".join(self.logged))
        self.assertNotIn(b"rewrite", os.listdir(self.state))
        # It is said once, and the mailbox is served from then on.
        del self.logged[:]
        maildrop = self.open()
        maildrop.close()
        self.assertEqual(self.logged, [])

    def test_edited(self):
        """
        An octet that neither the old nor the new tail has there is another's work.
        """
        self.crash(self.half)
        content = self.content()
        for place in (30, len(content) - 5, len(content) // 2):
            with self.subTest(place=place):
                self.crash(self.half)
                changed = content[:place] + b"\0" + content[place + 1 :]
                self.write(changed, "r+b")
                self.assertSetAside(changed)
                for name in os.listdir(self.state):
                    os.unlink(os.path.join(self.state, name))

    def test_cutOff(self):
        """
        A mailbox that was emptied, or made shorter, is another's work.
        """
        for size in (0, 7, 100):
            with self.subTest(size=size):
                self.crash(self.half)
                os.truncate(self.path, size)
                self.assertSetAside(self.content())

    def test_damagedCopy(self):
        """
        A copy that is not what was written is not written back.
        """
        for damage in (0, 300, -60, -3):
            with self.subTest(damage=damage):
                self.crash(self.half)
                copy = os.path.join(self.state, b"rewrite")
                with open(copy, "r+b") as file:
                    file.seek(damage, os.SEEK_SET if damage >= 0 else os.SEEK_END)
                    octet = file.read(1)
                    file.seek(-1, os.SEEK_CUR)
                    file.write(bytes([octet[0] ^ 1]))
                content = self.content()
                self.open().close()
                self.assertEqual(self.content(), content)
                self.assertTrue(self.kept())

    def test_shortCopy(self):
        """
        Nor is one that was cut off, by whatever.
        """
        for size in (0, 10, 300):
            with self.subTest(size=size):
                self.crash(self.half)
                os.truncate(os.path.join(self.state, b"rewrite"), size)
                content = self.content()
                self.open().close()
                self.assertEqual(self.content(), content)

    def test_anotherSessionFirst(self):
        """
        In the session whose rewrite has failed, no further one is begun.
        """
        self.begin()
        log = self.changes({1})
        self.begin()
        fake = Failing(self.half(log), OSError(errno.EIO, "broken"))
        maildrop = self.open()
        maildrop.deleteMessage(1)
        with_os(self, fake, lambda: self.failureResultOf(maildrop.sync()))
        content = self.content()
        self.failureResultOf(maildrop.sync(), NotAllDeleted)
        self.assertEqual(self.content(), content)
        maildrop.close()
        self.flushLoggedErrors(OSError)
        self.assertTrue(self.check({1}))

    def test_stillBroken(self):
        """
        As long as it cannot be finished the mailbox is not served.
        """
        self.crash(self.half)
        content = self.content()
        self.failAtOpening(errno.ENOSPC)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.content()), len(content))
        self.assertTrue(self.check({1}))

    def failAtOpening(self, number):
        fake = Failing(0, OSError(number, "broken"), 0)
        result = with_os(
            self, fake, lambda: outcome(self.store().openMaildrop(b"user", None))
        )
        result.trap(StoreUnavailable)

    def test_grownInSpiteOfTheLocks(self):
        """
        Mail that comes while the mailbox is being rewritten, from one who minds no
        locks, is kept.
        """
        self.begin()
        maildrop = self.open()
        maildrop.deleteMessage(1)
        maildrop.deleteMessage(6)
        grown = []

        class Growing(Failing):
            def _change(fake, name, function, arguments):
                begun = name == "fsync" and "rename" in fake.log and not grown
                if begun and samefile(arguments[0], self.path):
                    grown.append(True)
                    self.write(NEW, "ab")
                return super()._change(name, function, arguments)

        with_os(
            self,
            Growing(10_000, Crash()),
            lambda: self.failureResultOf(maildrop.sync(), NotAllDeleted),
        )
        self.assertEqual(grown, [True])
        maildrop.close()
        self.flushLoggedErrors(OSError)
        self.assertTrue(self.check({1, 6}, [b"N: 7\n\nnew mail\n"]))

    def test_readWhileUnfinished(self):
        """
        What is there once it is finished can be read.
        """
        self.crash(self.half)
        maildrop = self.open()
        self.assertEqual(stored(maildrop, 0), self.messages[0])
        maildrop.close()
