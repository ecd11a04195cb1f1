"""
Messages put at the end of an mbox, so that a crash at any point neither loses nor
doubles any, nor leaves a half of one: see `extretr.stores.mbox_intent`.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from extretr.errors import StoreUnavailable
from extretr.stores.appending import (
    BATCH,
    CannotDeliver,
    Intend,
    Intent,
    Source,
    Staged,
    TargetBusy,
    shown,
)
from extretr.stores.folders import sync_folder
from extretr.stores.mbox_copy import read_at, write_at
from extretr.stores.mbox_intent import CONTEXT, HEAD, Append, Settling
from extretr.stores.mbox_lock import OPEN_FLAGS, LockedMailbox, MailboxLocks
from extretr.stores.mbox_text import MboxText, from_line_of, opening


@dataclass(kw_only=True)
class StagedText(Staged):
    """
    A message that is to be appended.
    """

    from_line: bytes


class MboxAppender:
    """
    Puts messages into one mbox.
    """

    batch = BATCH
    _log = Logger()

    def __init__(
        self,
        path: bytes,
        locks: MailboxLocks,
        crlf: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            path: the mailbox.
            locks: take the locks of mailboxes.
            crlf: whether lines end in CRLF there; else in LF.
            wall: gives the time for From_ lines.
        """
        self._path = os.path.abspath(path)
        self._locks = locks
        self._crlf = crlf
        self._wall = wall

    def prepare(self) -> None:
        """
        See to it that mail can be put there; the file need not be there yet.

        Raises:
            CannotDeliver: where it cannot.
        """
        try:
            self._prepare()
        except OSError as error:
            text = f"{shown(error.filename or self._path)}: {error.strerror}"
            raise CannotDeliver(text) from error

    def _prepare(self) -> None:
        parent = os.path.dirname(self._path)
        if not os.path.isdir(parent):
            text = f"there is no folder {shown(parent)} for an mbox to be made in"
            raise CannotDeliver(text)
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            if not os.access(parent, os.W_OK | os.X_OK):
                text = f"{shown(parent)} is not ours to make an mbox in"
                raise CannotDeliver(text) from None
            return
        if not stat.S_ISREG(status.st_mode):
            raise self._no_mbox("it is no regular file")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise CannotDeliver(f"{shown(self._path)} is not ours to write")
        descriptor = os.open(self._path, os.O_RDONLY | OPEN_FLAGS)
        try:
            self._check(descriptor)
        finally:
            os.close(descriptor)

    def stage(self, source: Source) -> StagedText:
        """
        Take a message, to be committed.
        """
        now = self._wall()
        return StagedText(source=source, time=now, from_line=from_line_of(source, now))

    def discard(self, staged: StagedText) -> None:
        """
        Take back what was staged: nothing has been written of it.
        """

    def commit(self, staged: Sequence[StagedText], intend: Intend) -> "Deferred[None]":
        """
        Append messages that were staged, to stay.

        Raises:
            TargetBusy: where others have the mailbox locked.
            OSError, CannotDeliver: where that fails; `settle` tells of each whether
                it is there.
        """
        return Deferred.fromCoroutine(self._commit(staged, intend))

    async def _commit(self, staged: Sequence[StagedText], intend: Intend) -> None:
        if not staged:
            return
        try:
            locked = await self._acquire()
        except FileNotFoundError:
            self._make()
            locked = await self._acquire()
        try:
            if not locked.writable:
                raise CannotDeliver(f"{shown(self._path)} is not ours to write")
            if self._check(locked.descriptor) == 0:
                # Its name may not be on the disk, whoever has made it.
                sync_folder(os.path.dirname(self._path))
            appends = self._survey(locked, staged)
            intend([append.format() for append in appends])
            self._append(locked, staged, appends)
        finally:
            locked.release()

    def settle(self, intent: Intent, source: Source | None) -> "Deferred[bool]":
        """
        Tell whether a message is there that was about to be appended.

        Where it is, it is on the disk to stay; else a half of it is taken out.

        Args:
            intent: what was written down of it.
            source: the message, where it is this run that was about to.

        Raises:
            TargetBusy: where others have the mailbox locked.
            OSError, CannotDeliver: where it cannot be found out, or taken out.
        """
        return Deferred.fromCoroutine(self._settle(intent))

    async def _settle(self, intent: Intent) -> bool:
        try:
            locked = await self._acquire()
        except FileNotFoundError:
            return False
        try:
            return Settling(self._path, locked, Append.parse(intent)).settle()
        finally:
            locked.release()

    def sweep(self) -> None:
        """
        Remove what earlier runs have left: nothing.
        """

    async def _acquire(self) -> LockedMailbox:
        try:
            return await self._locks.acquire(self._path)
        except StoreUnavailable:
            text = f"{shown(self._path)} is locked by other mail software"
            raise TargetBusy(text) from None

    def _make(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS
        try:
            os.close(os.open(self._path, flags, 0o600))
        except FileExistsError:
            # Another has just made it.
            pass

    def _check(self, descriptor: int) -> int:
        """
        Give the size of the mailbox, in octets.

        Raises:
            CannotDeliver: where it is no mbox.
        """
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise self._no_mbox("it is no regular file")
        if status.st_size and os.pread(descriptor, 5, 0) != b"From ":
            raise self._no_mbox("it does not begin with a From_ line")
        return status.st_size

    def _no_mbox(self, why: str) -> CannotDeliver:
        return CannotDeliver(f"{shown(self._path)} is no mbox: {why}")

    def _text(self, staged: StagedText) -> MboxText:
        return MboxText(staged.source, staged.from_line, self._crlf)

    def _survey(
        self, locked: LockedMailbox, staged: Sequence[StagedText]
    ) -> list[Append]:
        """
        Find out what is going to be written, and where.
        """
        start = os.fstat(locked.descriptor).st_size
        known = min(start, CONTEXT)
        context = read_at(locked.descriptor, known, start - known)
        first = opening(context, self._crlf)
        found: list[dict[str, Any]] = []
        places: dict[bytes, list[int]] = {}
        end, batch = start, sha256()
        for one in staged:
            before = batch.digest()
            batch.update(first)
            text, size, head = sha256(), 0, b""
            for octets in self._text(one).pieces():
                head = head or octets[:HEAD]
                size += len(octets)
                text.update(octets)
                if one is not staged[-1]:
                    batch.update(octets)
                locked.refresh()
            digest = text.digest()
            written = {"before": before, "length": end, "opening": first}
            found.append({**written, "size": size, "digest": digest, "head": head})
            places.setdefault(digest, []).append(end + len(first))
            end += len(first) + size
            first = b""
        for fields in found:
            place = fields["length"] + len(fields["opening"])
            alike = places[fields["digest"]]
            fields["twins"] = [other for other in alike if other != place]
        return [
            Append(start=start, end=end, context=context, **fields) for fields in found
        ]

    def _append(
        self,
        locked: LockedMailbox,
        staged: Sequence[StagedText],
        appends: Sequence[Append],
    ) -> None:
        descriptor = locked.descriptor
        start, end = appends[0].start, appends[0].end
        if os.fstat(descriptor).st_size != start:
            raise CannotDeliver(f"{shown(self._path)} changes in spite of the locks")
        # Where in the file the last message ends that is whole.
        kept = start
        # What any text ends with.  It makes room for all, and others can add mail
        # behind it from the first.
        closing = b"\r\n\r\n" if self._crlf else b"\n\n"
        # It begins with a From_ line: so what may be left by half is a message by
        # itself, and no part of the one before.
        begin = appends[0].opening + appends[0].head.partition(b"\n")[0] + b"\n"
        try:
            write_at(descriptor, closing, end - len(closing))
            write_at(descriptor, begin, start)
            os.fsync(descriptor)
            for one, append in zip(staged, appends, strict=True):
                place = kept
                for octets in chain([append.opening], self._text(one).pieces()):
                    # Never more than was made room for.
                    room = append.text_end - place
                    write_at(descriptor, octets[:room], place)
                    place += len(octets)
                    locked.refresh()
                if place != append.text_end:
                    raise CannotDeliver("a message has changed on its way")
                kept = place
            # Where this fails the disk has any of it, or none.
            kept = start
            os.fsync(descriptor)
        except BaseException:
            self._takeOut(descriptor, kept, end)
            raise

    def _takeOut(self, descriptor: int, kept: int, end: int) -> None:
        """
        Cut off what was written by half, unless others have added mail behind it.
        """
        try:
            if os.fstat(descriptor).st_size <= end:
                os.ftruncate(descriptor, kept)
                os.fsync(descriptor)
        except OSError as error:
            self._log.warn(
                "a half of a message cannot be taken out of {path} now: {why}",
                path=shown(self._path),
                why=error.strerror,
            )
