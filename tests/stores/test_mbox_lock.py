"""
The locks of an mbox.
"""

import errno
import fcntl
import mailbox
import os
import subprocess
import sys
import time
from types import SimpleNamespace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import StoreUnavailable
from extretr.stores import mbox_lock
from extretr.stores.holder import Record
from extretr.stores.mbox_lock import REFRESH, RETRY, STALE, MailboxLocks


class LockCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.text_path = os.path.join(self.folder, "user")
        self.path = os.fsencode(self.text_path)
        self.dot_lock = self.path + b".lock"
        with open(self.path, "wb") as file:
            file.write(b"From a\n\n")
        self.wall = time.time()
        self.locks = MailboxLocks(self.clock, 5.0, lambda: self.wall)
        self.warnings = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if event.get("log_level", LogLevel.debug) >= LogLevel.warn:
            self.warnings.append(event["log_format"])

    def acquire(self):
        return Deferred.fromCoroutine(self.locks.acquire(self.path))

    def acquired(self):
        locked = self.successResultOf(self.acquire())
        self.addCleanup(locked.release)
        return locked

    def assertFree(self):
        """
        Nothing is left behind, and the next one gets the locks.
        """
        self.assertEqual(os.listdir(self.folder), ["user"])
        self.successResultOf(self.acquire()).release()


class MailboxLocksTests(LockCase):
    """
    `MailboxLocks` keeps others out, and is kept out by them.
    """

    def test_bothLocks(self):
        """
        While it is locked there is a dot-lock and an fcntl lock; then neither.
        """
        locked = self.acquired()
        self.assertTrue(os.path.exists(self.dot_lock))
        with open(self.path, "r+b") as file:
            self.assertRaises(
                BlockingIOError, fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )
        locked.release()
        locked.release()
        with open(self.path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertFree()

    def test_survivesOtherDescriptors(self):
        """
        The end of a transfer, which closes a descriptor of the file, ends no lock.
        """
        self.acquired()
        os.close(os.open(self.path, os.O_RDONLY))
        with open(self.path, "r+b") as file:
            self.assertRaises(
                BlockingIOError, fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )

    def test_keepsMailboxOut(self):
        """
        Python's own mbox, which takes both locks, is kept out.
        """
        other = mailbox.mbox(self.text_path, create=False)
        self.addCleanup(other.close)
        locked = self.acquired()
        self.assertRaises(mailbox.ExternalClashError, other.lock)
        locked.release()
        other.lock()
        other.unlock()
        self.assertFree()

    def test_keptOutByMailbox(self):
        """
        While Python's own mbox has its locks, they are not got; then they are.
        """
        other = mailbox.mbox(self.text_path, create=False)
        self.addCleanup(other.close)
        other.lock()
        waiting = self.acquire()
        self.clock.pump([RETRY] * 20)
        self.assertNoResult(waiting)
        other.unlock()
        self.clock.advance(RETRY)
        self.successResultOf(waiting).release()
        self.assertFree()

    def test_keptOutByEither(self):
        """
        A dot-lock alone is enough to wait for, and so is an fcntl lock alone.
        """
        with open(self.dot_lock, "wb"):
            waiting = self.acquire()
        self.clock.advance(RETRY)
        self.assertNoResult(waiting)
        os.unlink(self.dot_lock)
        with open(self.path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.clock.advance(RETRY)
            self.assertNoResult(waiting)
            # Whoever has the one may want the other: we sit on none.
            self.assertFalse(os.path.exists(self.dot_lock))
        self.clock.advance(RETRY)
        self.successResultOf(waiting).release()

    def test_elsewhere(self):
        """
        Where the system has only locks of processes, one of these is taken.
        """
        self.patch(mbox_lock, "sys", SimpleNamespace(platform="elsewhere"))
        locked = self.acquired()
        script = (
            "import fcntl, sys\n"
            "with open(sys.argv[1], 'r+b') as file:\n"
            "    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        )
        command = [sys.executable, "-c", script, self.text_path]
        self.assertIn(
            b"BlockingIOError",
            subprocess.run(command, check=False, capture_output=True).stderr,
        )
        locked.release()
        subprocess.run(command, check=True)

    def test_timeout(self):
        """
        Who does not get them in time is told that the store is not available.
        """
        with open(self.dot_lock, "wb"):
            waiting = self.acquire()
        self.clock.pump([RETRY] * 49)
        self.assertNoResult(waiting)
        self.clock.pump([RETRY] * 2)
        self.failureResultOf(waiting, StoreUnavailable)
        self.assertEqual(self.warnings, ["{path} is locked by other mail software"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(os.path.exists(self.dot_lock))

    def test_cancelled(self):
        """
        Who no longer waits leaves nothing behind.
        """
        with open(self.dot_lock, "wb"):
            waiting = self.acquire()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        os.unlink(self.dot_lock)
        self.assertFree()

    def test_replaced(self):
        """
        A file that takes the mailbox's place while it is being locked is locked.
        """
        lock_whole = mbox_lock._lock_whole

        def replace(*arguments):
            self.patch(mbox_lock, "_lock_whole", lock_whole)
            os.rename(self.path + b".new", self.path)
            lock_whole(*arguments)

        with open(self.path + b".new", "wb"):
            self.patch(mbox_lock, "_lock_whole", replace)
        waiting = self.acquire()
        self.assertNoResult(waiting)
        self.clock.advance(RETRY)
        locked = self.successResultOf(waiting)
        self.assertTrue(
            os.path.samestat(os.stat(self.path), os.fstat(locked.descriptor))
        )
        locked.release()
        self.assertFree()

    def test_missing(self):
        """
        For a mailbox that is not there no lock is left behind.
        """
        os.unlink(self.path)
        self.failureResultOf(self.acquire(), FileNotFoundError)
        self.assertEqual(os.listdir(self.folder), [])

    def test_cannotBeLocked(self):
        """
        Where the file system has no locks, that is no lock that others have.
        """

        def no_locks(*_):
            raise OSError(errno.ENOLCK, "no locks")

        self.patch(mbox_lock, "_lock_whole", no_locks)
        self.failureResultOf(self.acquire(), OSError)
        self.assertEqual(os.listdir(self.folder), ["user"])


class NoDotLockTests(LockCase):
    """
    Where no dot-lock can be made, the fcntl lock alone is taken.
    """

    def setUp(self):
        super().setUp()
        self.patch(mbox_lock, "os", Forbidding(self.dot_lock))

    def test_fcntlAlone(self):
        """
        Others are kept out by the fcntl lock, and it is said once.
        """
        locked = self.acquired()
        self.assertFalse(os.path.exists(self.dot_lock))
        with open(self.path, "r+b") as file:
            self.assertRaises(
                BlockingIOError, fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )
        locked.refresh()
        locked.release()
        self.assertFree()
        self.assertEqual(
            self.warnings, ["no dot-locks can be made in {folder}: fcntl locks only"]
        )


class ReadOnlyTests(LockCase):
    """
    A mailbox that we may not write to is locked for reading.
    """

    def test_shared(self):
        """
        Writers are kept out, readers are not.
        """
        self.patch(mbox_lock, "os", Forbidding(self.path, os.O_RDWR))
        locked = self.acquired()
        self.assertFalse(locked.writable)
        with open(self.path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.assertRaises(
                BlockingIOError, fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )


class Forbidding:
    """
    An `os` in which a path cannot be opened with some flags.
    """

    def __init__(self, path, flags=os.O_CREAT):
        self._path = path
        self._flags = flags

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, *mode):
        if path == self._path and flags & self._flags:
            raise PermissionError(errno.EACCES, "no")
        return os.open(path, flags, *mode)

    def link(self, source, path, **more):
        if path == self._path and self._flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "no")
        os.link(source, path, **more)


class Observing:
    """
    An `os` that notes whether a path is there when something is written.
    """

    def __init__(self, path, nameless=True):
        self._path = path
        self._nameless = nameless
        self.seen = []

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, *mode):
        if not self._nameless and os.path.isdir(path):
            raise OSError(errno.EOPNOTSUPP, "not here")
        return os.open(path, flags, *mode)

    def write(self, descriptor, octets):
        self.seen.append(os.path.exists(self._path))
        return os.write(descriptor, octets)


class DotLockTests(LockCase):
    """
    Dot-locks that were left behind are removed, those of the living never.
    """

    def test_neverEmpty(self):
        """
        A dot-lock is there when all stands in it; where the file system cannot do that,
        it is made all the same.
        """
        for nameless in (True, False):
            observing = Observing(self.dot_lock, nameless)
            self.patch(mbox_lock, "os", observing)
            locked = self.acquired()
            with open(self.dot_lock, "rb") as file:
                self.assertTrue(file.read().startswith(b"%d\n" % os.getpid()))
            locked.release()
            self.assertEqual(observing.seen, [not nameless])
            self.assertEqual(os.listdir(self.folder), ["user"])

    def leave(self, content=b"", age=0.0):
        with open(self.dot_lock, "wb") as file:
            file.write(content)
        os.utime(self.dot_lock, (self.wall - age, self.wall - age))

    def test_old(self):
        """
        One that was not refreshed for minutes is removed; a younger one is not.
        """
        self.leave(b"1\n", STALE - 10)
        waiting = self.acquire()
        self.clock.advance(RETRY)
        self.assertNoResult(waiting)
        self.wall += 20
        self.clock.pump([RETRY] * 2)
        self.successResultOf(waiting).release()
        self.assertFree()

    def test_dead(self):
        """
        One of a process of ours that has died is removed at once.
        """
        script = (
            "import os\n"
            "from extretr.stores.mbox_lock import DotLock\n"
            "import time, sys\n"
            "DotLock(os.fsencode(sys.argv[1]), time.time).take()\n"
        )
        subprocess.run(
            [sys.executable, "-c", script, os.fsdecode(self.dot_lock)],
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.assertTrue(os.path.exists(self.dot_lock))
        waiting = self.acquire()
        self.clock.advance(RETRY)
        self.successResultOf(waiting).release()
        self.assertFree()

    def test_living(self):
        """
        One of a living process is waited for.
        """
        self.leave(b"1\n" + Record.of_this_process("mbox").format())
        waiting = self.acquire()
        self.clock.pump([RETRY] * 10)
        self.assertNoResult(waiting)

    def test_refreshed(self):
        """
        While it is held long, its time is set to now every half minute.
        """
        locked = self.acquired()
        os.utime(self.dot_lock, (1, 1))
        locked.refresh()
        self.assertEqual(os.stat(self.dot_lock).st_mtime, 1)
        self.clock.advance(REFRESH)
        locked.refresh()
        self.assertGreater(os.stat(self.dot_lock).st_mtime, self.wall - 60)

    def test_notOurs(self):
        """
        One that another has put in the place of ours is left alone.
        """
        locked = self.acquired()
        os.rename(self.dot_lock, self.dot_lock + b".old")
        self.leave(b"another's")
        locked.release()
        self.assertTrue(os.path.exists(self.dot_lock))

    def test_quickerThanWe(self):
        """
        A fresh one that takes the place of the one judged to be stale stays.
        """
        self.leave(b"", STALE + 10)
        rename = os.rename

        def quicker(*paths):
            os.unlink(self.dot_lock)
            # Another inode: the one before must not be free yet.
            with open(self.path + b".x", "wb"):
                self.leave(b"fresh")
            os.unlink(self.path + b".x")
            rename(*paths)

        judged = os.open(self.dot_lock, os.O_RDONLY)
        self.addCleanup(os.close, judged)
        self.patch(os, "rename", quicker)
        waiting = self.acquire()
        self.patch(os, "rename", rename)
        self.clock.advance(RETRY)
        self.assertNoResult(waiting)
        with open(self.dot_lock, "rb") as file:
            self.assertEqual(file.read(), b"fresh")
        self.assertEqual(sorted(os.listdir(self.folder)), ["user", "user.lock"])

    def test_noContent(self):
        """
        A full disk may make it empty; it is a lock all the same.
        """

        def full(*_):
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "write", full)
        locked = self.acquired()
        self.assertEqual(os.stat(self.dot_lock).st_size, 0)
        locked.release()
        self.assertFree()
