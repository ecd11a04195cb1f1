"""
Messages put into a Maildir, so that a crash at any point neither loses nor doubles any.

A message is written to a file in ``tmp/`` and synced.  When its name is written down as
an intent it is renamed into ``new/``.  After a crash the name tells how far that
got: where it is in ``tmp/`` still, the message was not delivered.  Such a file is
emptied and stays, for others to see the same if what was found out is lost again; what
has lain in ``tmp/`` for 36 hours anybody may remove.
"""

import itertools
import os
import re
import secrets
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from extretr.stores.appending import (
    BATCH,
    CannotDeliver,
    Intend,
    Intent,
    Source,
    Staged,
    shown,
    whole,
)
from extretr.stores.folders import sync_folder
from extretr.stores.line_ends import LineEnds

FOLDERS = (b"new", b"cur", b"tmp")

#: Seconds that a file in tmp/ is left alone, by us and by others.
LEFT_ALONE = 36 * 3600.0

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: Files that are synced at once, and the seconds that it takes to sync one from which
#: on that pays.
AT_ONCE = 8
SLOW = 20e-6

#: Deliveries of this process: part of each name.
_count = itertools.count(1)


@dataclass(kw_only=True)
class StagedFile(Staged):
    """
    A message in ``tmp/``.
    """

    name: bytes
    #: Open until it is synced.
    descriptor: int
    #: Whether its name may have been written down as an intent.
    intended: bool = False

    def close(self) -> None:
        """
        Close the file.
        """
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class MaildirAppender:
    """
    Puts messages into one Maildir.
    """

    batch = BATCH
    _log = Logger()

    def __init__(
        self,
        path: bytes,
        crlf: bool = False,
        wall: Callable[[], float] = time.time,
        host: str | None = None,
    ) -> None:
        """
        Args:
            path: the Maildir.
            crlf: whether lines end in CRLF there; else in LF.
            wall: the time that the file system's time stamps are made by.
            host: the name of this host, the system's own where it is None.
        """
        self._path = os.path.abspath(path)
        self._new, self._cur, self._tmp = (
            os.path.join(self._path, folder) for folder in FOLDERS
        )
        # What is done for each message is done without os.path.join, which takes as
        # long as to rename a file.
        self._new_, self._tmp_ = self._new + b"/", self._tmp + b"/"
        self._crlf = crlf
        self._wall = wall
        name = os.fsencode(socket.gethostname() if host is None else host)
        escaped = name.replace(b"/", rb"\057").replace(b":", rb"\072")
        self._host = escaped or b"localhost"
        self._random = secrets.token_hex(8).encode("ascii")
        self._pid = os.getpid()
        self._pool: ThreadPoolExecutor | None = None
        #: What the last commit has renamed.
        self._moved: set[bytes] = set()

    def prepare(self) -> str | None:
        """
        See to it that the Maildir is there, its parent must be; say where it is new.

        Raises:
            CannotDeliver: where it is not, and cannot be made, or is something else.
        """
        try:
            return self._prepare()
        except OSError as error:
            text = f"{shown(error.filename or self._path)}: {error.strerror}"
            raise CannotDeliver(text) from error

    def _prepare(self) -> str | None:
        parent = os.path.dirname(self._path)
        if not os.path.isdir(parent):
            text = f"there is no folder {shown(parent)} for a Maildir to be made in"
            raise CannotDeliver(text)
        try:
            os.mkdir(self._path, 0o700)
        except FileExistsError:
            pass
        names = set(os.listdir(self._path))
        missing = [folder for folder in FOLDERS if folder not in names]
        if missing and not names.issubset(FOLDERS):
            raise CannotDeliver(
                f"{shown(self._path)} is no Maildir: it has no folder "
                f"{shown(missing[0])}, but other content"
            )
        for folder in missing:
            os.mkdir(os.path.join(self._path, folder), 0o700)
        if missing:
            sync_folder(self._path)
            sync_folder(parent)
        for folder in (self._new, self._cur, self._tmp):
            if not os.path.isdir(folder):
                raise CannotDeliver(f"{shown(folder)} is no folder")
        for folder in (self._new, self._tmp):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise CannotDeliver(f"{shown(folder)} is not ours to write")
        return f"the Maildir {shown(self._path)} is new" if missing else None

    def stage(self, source: Source) -> StagedFile:
        """
        Write a message to ``tmp/``.

        Raises:
            OSError, CannotDeliver: where that fails; nothing is left of it.
        """
        now = self._wall()
        name = self._unique(now)
        path = self._tmp_ + name
        descriptor = os.open(path, _CREATE, 0o600)
        try:
            line_ends = LineEnds(self._crlf)
            for octets in whole(source):
                _write(descriptor, line_ends.feed(octets))
            _write(descriptor, line_ends.finish())
            # Others go by this when they clean up.
            written = min(now, os.fstat(descriptor).st_mtime)
        except BaseException:
            os.close(descriptor)
            os.unlink(path)
            raise
        return StagedFile(source=source, time=written, name=name, descriptor=descriptor)

    def discard(self, staged: StagedFile) -> None:
        """
        Take back what was staged and not delivered.
        """
        staged.close()
        path = os.path.join(self._tmp, staged.name)
        try:
            if staged.intended:
                os.truncate(path, 0)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Some later sweep will.
            self._warn(path, error)

    def commit(self, staged: Sequence[StagedFile], intend: Intend) -> "Deferred[None]":
        """
        Deliver messages that were staged, to stay.

        Raises:
            OSError: where that fails; `settle` tells of each whether it is delivered.
        """
        return Deferred.fromCoroutine(self._commit(staged, intend))

    async def _commit(self, staged: Sequence[StagedFile], intend: Intend) -> None:
        self._moved = set()
        self._syncAll(staged)
        # Only then does a name that is not there any more mean something.
        sync_folder(self._tmp)
        inode = os.stat(self._tmp).st_ino
        for one in staged:
            one.intended = True
        intend(
            [
                {"name": os.fsdecode(one.name), "time": one.time, "tmp": inode}
                for one in staged
            ]
        )
        for one in staged:
            os.rename(self._tmp_ + one.name, self._new_ + one.name)
            self._moved.add(one.name)
        sync_folder(self._new)
        sync_folder(self._tmp)

    def _syncAll(self, staged: Sequence[StagedFile]) -> None:
        """
        See to it that the files are on the disk: many at once, which disks like.

        Where it takes no time, in memory say, threads would take more.
        """
        waiting = deque(one.descriptor for one in staged)
        is_slow = False
        while waiting and not is_slow:
            begun = time.perf_counter()
            os.fsync(waiting.popleft())
            is_slow = time.perf_counter() - begun > SLOW
        if waiting:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE)
            # An error of any comes out here.
            list(self._pool.map(_sync_each, [waiting] * AT_ONCE))
        for one in staged:
            one.close()

    def settle(self, intent: Intent, source: Source | None) -> "Deferred[bool]":
        """
        Tell whether a message was delivered that was about to be.

        Where it was, it is on the disk to stay; otherwise no octet of it is left.

        Args:
            intent: what was written down of it.
            source: the message, where it is this run that was about to.

        Raises:
            OSError: where that cannot be found out.
        """
        return Deferred.fromCoroutine(self._settle(intent, source))

    async def _settle(self, intent: Intent, source: Source | None) -> bool:
        name = os.fsencode(intent["name"])
        draft = os.path.join(self._tmp, name)
        try:
            links = os.lstat(draft).st_nlink
        except FileNotFoundError:
            pass
        else:
            if links == 1 and not os.path.lexists(os.path.join(self._new, name)):
                os.truncate(draft, 0)
                return False
            # A file system on which a rename is not one step, and was cut off.
            os.unlink(draft)
        sync_folder(self._new)
        sync_folder(self._cur)
        if source is not None and name in self._moved:
            return True
        # Where nobody else can have removed it from tmp/ it is delivered, though its
        # reader may have removed it since.  Better a doubled message than a lost one.
        age = self._wall() - intent["time"]
        same = os.stat(self._tmp).st_ino == intent["tmp"]
        if source is None and same and 0 <= age <= LEFT_ALONE:
            return True
        return self._isThere(name)

    def _isThere(self, name: bytes) -> bool:
        """
        Tell whether a message is in ``new/`` or ``cur/``, with flags or without.
        """
        return any(
            found.startswith(name)
            for folder in (self._new, self._cur)
            for found in os.listdir(folder)
        )

    def sweep(self) -> None:
        """
        Remove what earlier runs have left in ``tmp/`` more than 36 hours ago.
        """
        ours = re.compile(
            rb"\d+\.M\d+P\d+Q\d+R[0-9a-f]{16}\." + re.escape(self._host), re.DOTALL
        )
        before = self._wall() - LEFT_ALONE
        for name in filter(ours.fullmatch, os.listdir(self._tmp)):
            path = os.path.join(self._tmp, name)
            try:
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                    os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self._warn(path, error)

    def _unique(self, now: float) -> bytes:
        """
        Give a name that no other message has, here or anywhere.
        """
        seconds, micro = divmod(int(now * 1_000_000), 1_000_000)
        parts = seconds, micro, self._pid, next(_count), self._random, self._host
        return b"%d.M%dP%dQ%dR%b.%b" % parts

    def _warn(self, path: bytes, error: OSError) -> None:
        text = "{path} cannot be removed: {why}"
        self._log.warn(text, path=shown(path), why=error.strerror)


def _sync_each(waiting: "deque[int]") -> None:
    """
    Sync files until none is left; others may be doing the same.
    """
    while True:
        try:
            descriptor = waiting.popleft()
        except IndexError:
            return
        os.fsync(descriptor)


def _write(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
