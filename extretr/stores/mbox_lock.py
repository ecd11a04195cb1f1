"""
The locks of an mbox, as other mail software takes them: ``FILE.lock``, then fcntl.

The dot-lock keeps out whoever looks for nothing else, the lock on the file whoever
cannot write beside it.  Neither is waited for by blocking: who does not get both gives
up what he has and tries again, so that the order in which others take them is no
matter.
"""

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from extretr.errors import StoreUnavailable
from extretr.stores.holder import Record

#: Seconds after which a dot-lock that nobody refreshes is taken for one of the dead.
STALE = 300.0

#: Seconds between two signs of life that are put into a dot-lock of ours.
REFRESH = 30.0

#: Seconds between two attempts.
RETRY = 0.1

#: With what a mailbox is opened besides: it is no link, no pipe.
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_BUSY = (errno.EACCES, errno.EAGAIN)

#: Linux: makes a file that has no name yet; and how it fails where that is not known.
_NAMELESS = getattr(os, "O_TMPFILE", os.O_EXCL)
_NO_NAMELESS = (errno.EISDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)

#: Linux: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("@hhqqi")


class MailboxLocks:
    """
    Takes the locks of mailboxes.
    """

    _log = Logger()

    def __init__(
        self, clock: Any, timeout: float, wall: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            clock: an IReactorTime.
            timeout: seconds to go on trying.
            wall: the time that the file system's time stamps are made by.
        """
        self._clock = clock
        self._timeout = timeout
        self._wall = wall
        self._told: set[bytes] = set()

    async def acquire(self, path: bytes) -> "LockedMailbox":
        """
        Lock the mailbox at *path*, which is there.

        Raises:
            StoreUnavailable: where others have it for too long.
            OSError: where it cannot be opened or locked.
        """
        deadline = self._clock.seconds() + self._timeout
        while (locked := self._attempt(path)) is None:
            if self._clock.seconds() >= deadline:
                self._log.warn(
                    "{path} is locked by other mail software",
                    path=path.decode("utf-8", "replace"),
                )
                raise StoreUnavailable
            await self._pause()
        return locked

    def _pause(self) -> "Deferred[None]":
        paused: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(RETRY, paused.callback, None)
        return paused

    def _attempt(self, path: bytes) -> "LockedMailbox | None":
        dot_lock = DotLock(path + b".lock", self._wall)
        try:
            if not dot_lock.take():
                return None
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            self._tell(os.path.dirname(path))
        try:
            locked = LockedMailbox(path, dot_lock, self._clock)
        except BaseException:
            dot_lock.release()
            raise
        if locked.isLocked():
            return locked
        locked.release()
        return None

    def _tell(self, folder: bytes) -> None:
        if folder not in self._told:
            self._told.add(folder)
            self._log.warn(
                "no dot-locks can be made in {folder}: fcntl locks only",
                folder=folder.decode("utf-8", "replace"),
            )


class LockedMailbox:
    """
    A mailbox that is open and locked.
    """

    def __init__(self, path: bytes, dot_lock: "DotLock", clock: Any) -> None:
        """
        Open the file, for reading alone where no more is allowed.

        Raises:
            OSError: where that fails.
        """
        self._path = path
        self._dot_lock = dot_lock
        self._clock = clock
        self._refreshed = clock.seconds()
        self.writable = True
        try:
            self.descriptor = os.open(path, os.O_RDWR | OPEN_FLAGS)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            self.descriptor = os.open(path, os.O_RDONLY | OPEN_FLAGS)
            self.writable = False

    def isLocked(self) -> bool:
        """
        Lock the file, if that can be done now; false also where it has been replaced.

        Raises:
            OSError: where it cannot be locked at all.
        """
        try:
            _lock_whole(self.descriptor, self.writable)
            there = os.stat(self._path, follow_symlinks=False)
        except OSError as error:
            if error.errno in _BUSY or isinstance(error, FileNotFoundError):
                return False
            self.release()
            raise
        return os.path.samestat(there, os.fstat(self.descriptor))

    def refresh(self) -> None:
        """
        Show others that whoever has the dot-lock is alive; to be called in each step.
        """
        now = self._clock.seconds()
        if now - self._refreshed >= REFRESH:
            self._refreshed = now
            self._dot_lock.refresh()

    def release(self) -> None:
        """
        Give the locks up and close the file.
        """
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self._dot_lock.release()


class DotLock:
    """
    A file whose being there is a lock.
    """

    _log = Logger()

    def __init__(self, path: bytes, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._descriptor = -1

    def take(self) -> bool:
        """
        Make the file, unless another has.

        Raises:
            OSError: where it cannot be made.
        """
        try:
            self._make()
        except FileExistsError:
            if not self._isStale():
                return False
            self._log.warn(
                "{path} was left behind and is removed",
                path=self._path.decode("utf-8", "replace"),
            )
            self._breakStale()
            return False
        return True

    def _make(self) -> None:
        # A dot-lock in which nothing stands yet, left behind by one who was killed just
        # then, would last until it is stale: so it gets its name when it is written.
        folder = os.path.dirname(self._path) or b"."
        try:
            descriptor = os.open(folder, _NAMELESS | os.O_WRONLY | OPEN_FLAGS, 0o644)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | OPEN_FLAGS
            self._descriptor = os.open(self._path, flags, 0o644)
            _sign(self._descriptor)
            return
        try:
            _sign(descriptor)
            name = b"/proc/self/fd/%d" % descriptor
            # A folder's descriptor, of no meaning here, makes Python follow the link.
            os.link(name, self._path, src_dir_fd=descriptor, follow_symlinks=True)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def refresh(self) -> None:
        """
        Set its time to now.
        """
        if self._descriptor >= 0:
            os.utime(self._descriptor)

    def release(self) -> None:
        """
        Remove the file, if it is ours still.
        """
        if self._descriptor < 0:
            return
        ours = os.fstat(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        try:
            if os.path.samestat(os.lstat(self._path), ours):
                os.unlink(self._path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._log.failure("a dot-lock cannot be removed")

    def _isStale(self) -> bool:
        try:
            self._judged = os.lstat(self._path)
            if self._wall() - self._judged.st_mtime > STALE:
                return True
            descriptor = os.open(self._path, os.O_RDONLY | OPEN_FLAGS)
        except OSError:
            # Gone meanwhile, or not for us to read.
            return False
        try:
            record = Record.parse(os.read(descriptor, 4096).partition(b"\n")[2])
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return record is not None and record.is_of_dead_process()

    def _breakStale(self) -> None:
        """
        Remove the file that was judged, and no other that has taken its place.
        """
        aside = b"%b.%d" % (self._path, os.getpid())
        try:
            os.rename(self._path, aside)
            try:
                if not os.path.samestat(os.lstat(aside), self._judged):
                    os.link(aside, self._path)
            finally:
                os.unlink(aside)
        except OSError:
            # Another was quicker; or it cannot be removed, and goes on being a lock.
            pass


def _sign(descriptor: int) -> None:
    """
    Write into a dot-lock whose it is.
    """
    # The first line is what others look at, the second what we do.
    text = b"%d\n%b" % (os.getpid(), Record.of_this_process("mbox").format())
    try:
        os.write(descriptor, text)
    except OSError:
        # A full disk.  An empty dot-lock is one as well.
        pass


def _lock_whole(descriptor: int, exclusive: bool) -> None:
    """
    Lock the file until the descriptor is closed, without waiting.

    Raises:
        OSError: where another has a lock on it.
    """
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    if sys.platform == "linux":
        # An ordinary fcntl lock goes when any descriptor of the file is closed in
        # this process, as the end of each RETR does.  This one excludes those of
        # others in the same way, and stays.
        whole = _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
            return
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    command = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    fcntl.lockf(descriptor, command | fcntl.LOCK_NB)
