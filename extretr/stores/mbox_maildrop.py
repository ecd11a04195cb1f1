"""
The maildrop over an mbox.

The mailbox is not locked while a message is being sent: a slow link would keep new
mail out.  So what others do to it meanwhile is looked for when a message is opened,
and again before the end of it is sent: the file must be as it was, or longer with the
message's From_ line and what comes behind the message still in their places.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from typing import Any

from twisted.internet.defer import Deferred

from extretr.errors import MessageChanged, NotAllDeleted, StoreUnavailable
from extretr.interfaces import IStoredFile
from extretr.stores.entries import Entry
from extretr.stores.maildrop import Maildrop
from extretr.stores.mbox_copy import SafetyCopy
from extretr.stores.mbox_file import UnquotedWindow, Window
from extretr.stores.mbox_layout import MboxEntry, signature_of
from extretr.stores.mbox_lock import OPEN_FLAGS, MailboxLocks
from extretr.stores.mbox_parse import FROM_LINE, Parsed
from extretr.stores.mbox_rewrite import MailboxChangedError, removing
from extretr.stores.steps import run

#: What may come behind a message.
_BEHIND = re.compile(rb"(?:\r?\n){0,2}(?:From |\Z)")


class MboxMaildrop(Maildrop):
    """
    A maildrop over an mbox.
    """

    def __init__(
        self,
        path: bytes,
        status: os.stat_result,
        quoting: bool,
        locks: MailboxLocks,
        copy: SafetyCopy,
        entries: list[MboxEntry],
        *rest: Any,
    ) -> None:
        """
        Args:
            path: the mailbox.
            status: that of the mailbox when it was read.
            quoting: whether lines are unquoted.
            locks: what takes the mailbox's locks.
            copy: where the safety copy of a rewrite lies.
            entries: the messages, in the order of the file.
            rest: what `Maildrop` takes.
        """
        super().__init__(list[Entry](entries), *rest)
        self._messages = entries
        self._path = path
        self._status = status
        self._quoting = quoting
        self._locks = locks
        self._copy = copy

    def _openEntry(self, entry: Any) -> tuple[IStoredFile, Callable[[], bool]]:
        one: Parsed = entry.parsed
        try:
            file = FileIO(os.open(self._path, os.O_RDONLY | OPEN_FLAGS))
        except FileNotFoundError:
            raise MessageChanged from None
        try:
            opened = os.fstat(file.fileno())
            if not _is_there(one, file, self._status, opened):
                raise MessageChanged
            window = Window(file, one.begin, one.end)
            stored = UnquotedWindow(window, one.places) if one.places else window
        except BaseException:
            file.close()
            raise

        def unchanged() -> bool:
            return _is_there(one, file, opened, os.fstat(file.fileno()))

        return stored, unchanged

    def _removeEntries(self, entries: Iterator[Any]) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._remove(list(entries)))

    async def _remove(self, entries: list[Entry]) -> None:
        try:
            await self._rewrite(entries)
        except MailboxChangedError:
            self._complain("has changed otherwise than by new mail: nothing is deleted")
            raise NotAllDeleted from None
        except StoreUnavailable:
            raise NotAllDeleted from None
        except OSError:
            self._log.failure(
                "{path} cannot be rewritten; what was begun the next session finishes",
                path=self._path.decode("utf-8", "replace"),
            )
            raise NotAllDeleted from None
        for entry in entries:
            self._isGone(entry.index, False)

    async def _rewrite(self, entries: list[Entry]) -> None:
        locked = await self._locks.acquire(self._path)
        try:
            if not locked.writable:
                self._complain("is not ours to write: nothing is deleted")
                raise StoreUnavailable
            status = os.fstat(locked.descriptor)
            if status.st_ino != self._status.st_ino:
                raise MailboxChangedError
            everything: list[Any] = self._messages
            steps = removing(
                locked.descriptor,
                self._copy,
                [entry.parsed for entry in everything],
                {entry.index for entry in entries},
                self._quoting,
                whole=signature_of(status) != signature_of(self._status),
            )
            await run(self._cooperate, steps, locked.refresh)
        finally:
            self._copy.close()
            locked.release()

    def _complain(self, text: str) -> None:
        path = self._path.decode("utf-8", "replace")
        self._log.error("{path} {text}", path=path, text=text)


def _is_there(
    one: Parsed, file: FileIO, then: os.stat_result, now: os.stat_result
) -> bool:
    """
    Tell whether the file holds a message where it did.
    """
    if signature_of(now) == signature_of(then):
        return True
    if now.st_ino != then.st_ino or now.st_size < then.st_size:
        return False
    if now.st_size == then.st_size and now.st_mtime_ns != then.st_mtime_ns:
        return False
    # It was appended to; or a mail reader has set its times back.
    length = min(FROM_LINE, one.begin - one.from_at)
    line = os.pread(file.fileno(), length, one.from_at)
    behind = os.pread(file.fileno(), len(b"\r\n\r\nFrom "), one.end)
    return zlib.crc32(line) == one.from_line and _BEHIND.match(behind) is not None
