"""
Maildirs: a folder a user, a file a message.

``new/`` and ``cur/`` are served; mail is never moved between them, nor are flags set.
A message is known by the part of its name before the flags.  What its name says of
its size (``,S=`` and ``,W=``) is never trusted.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from extretr.coroutines import started
from extretr.errors import MessageChanged, StoreUnavailable
from extretr.interfaces import ISession, IStore
from extretr.offsets import Measured
from extretr.stores.descriptor import OPEN, StoredFile, read_whole
from extretr.stores.entries import Entry
from extretr.stores.folders import sync_folder
from extretr.stores.index import Index
from extretr.stores.index_blocks import BLOCKS_A_STEP
from extretr.stores.lock import SessionLock, make_state
from extretr.stores.maildir_entries import FOLDERS, MaildirEntries
from extretr.stores.maildir_listing import Listing, distrust, recalled
from extretr.stores.maildir_scan import signature_of
from extretr.stores.maildrop import (
    ON_THE_SPOT,
    Maildrop,
    empty_maildrop,
    removing,
)
from extretr.stores.paths import PathTemplate
from extretr.stores.steps import Cooperate, run
from extretr.stores.unique_ids import base_name


class MaildirMaildrop(Maildrop):
    """
    A maildrop over a Maildir.
    """

    __slots__ = ("_maildir",)

    # What was given.
    _entries: MaildirEntries

    def __init__(self, maildir: bytes, entries: MaildirEntries, *rest: Any) -> None:
        super().__init__(entries, *rest)
        self._maildir = maildir

    def _openEntry(self, entry: Any) -> tuple[StoredFile, Callable[[], bool]]:
        descriptor = self._descriptorOf(entry)
        if signature_of(os.fstat(descriptor)) != entry.status:
            os.close(descriptor)
            raise MessageChanged

        def unchanged() -> bool:
            return signature_of(os.fstat(descriptor)) == entry.status

        return StoredFile(descriptor), unchanged

    def _readEntry(self, entry: Any, size: int) -> bytes | None:
        stored, status = read_whole(entry.path, size)
        if status is None or signature_of(status) != entry.status:
            return None
        return stored

    def _descriptorOf(self, entry: Any) -> int:
        try:
            try:
                return os.open(entry.path, OPEN)
            except FileNotFoundError:
                path = self._findAgain(entry)
                if path is None:
                    raise
                return os.open(path, OPEN)
        except FileNotFoundError:
            self._checkIsThere()
            raise MessageChanged from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            # A link stands in its place.
            raise MessageChanged from None

    def _findAgain(self, entry: Any) -> bytes | None:
        """
        Find a message that another agent has moved or flagged, None where it is gone.
        """
        for folder in FOLDERS:
            path = os.path.join(self._maildir, folder)
            try:
                names = os.listdir(path)
            except FileNotFoundError:
                continue
            for name in names:
                if base_name(name) == entry.key:
                    found = os.path.join(path, name)
                    self._entries.moved(entry.index, found)
                    return found
        return None

    def _checkIsThere(self) -> None:
        """
        Tell a message that is gone from a Maildir that is, with all that was in it.

        Raises:
            StoreUnavailable: where the Maildir is gone.
        """
        if not os.path.isdir(self._maildir):
            self._log.error("a Maildir is gone while a session uses it")
            raise StoreUnavailable

    def _remember(self, entry: Entry, measured: Measured) -> None:
        """
        Do nothing: the columns are what is remembered.
        """

    def _distrust(self, entry: Entry) -> None:
        distrust(self._index)

    def _saving(self) -> Iterator[None]:
        blocks = self._entries.blocks
        return iter(()) if self._index.is_saved(blocks) else self._index.saving(blocks)

    def _measuredAll(self, result: Callable[[], Any]) -> Any:
        if len(self._entries.blocks) > BLOCKS_A_STEP:
            # What is measured already may have to be saved.
            return self._measured(self._entries.unmeasured(), result)
        return super()._measuredAll(result)

    def _measuring(self, indexes: Iterable[int]) -> Iterator[None]:
        yield from super()._measuring(indexes)
        if len(self._index.unsaved(self._entries.blocks)) > BLOCKS_A_STEP:
            # The end of the session must not take long.
            yield from self._saving()

    def _removeEntries(self, entries: Iterator[Any]) -> Any:
        steps = removing(entries, self._remove, self._sync)
        for _ in range(ON_THE_SPOT):
            if next(steps, self) is self:
                return None
        return self._cooperate(steps)

    def _sync(self) -> None:
        for folder in FOLDERS:
            with suppress(FileNotFoundError):
                sync_folder(os.path.join(self._maildir, folder))

    def _remove(self, entry: Any) -> None:
        try:
            self._unlink(entry, entry.path)
        except FileNotFoundError:
            path = self._findAgain(entry)
            if path is not None:
                self._unlink(entry, path)
            else:
                os.stat(self._maildir)

    def _unlink(self, entry: Any, path: bytes) -> None:
        if signature_of(os.lstat(path)) != entry.status:
            # Nobody has seen what is there now: it must not be lost.
            self._distrust(entry)
            raise OSError(errno.ESTALE, "the message has changed", path)
        os.unlink(path)
        self._entries.removed(entry.index)


@implementer(IStore)
class MaildirStore:
    """
    The Maildirs of all users.
    """

    _log = Logger()

    def __init__(
        self,
        template: PathTemplate,
        clock: Any,
        cooperate: Cooperate,
        state: PathTemplate | None = None,
        takeover_after: float = 15.0,
        unique_ids: str = "name",
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            template: where a user's Maildir is.
            clock: an IReactorTime.
            cooperate: runs what takes long, a step a turn.
            state: where index and lock lie; in the Maildir where it is None.
            takeover_after: see `SessionLock`.
            unique_ids: see `extretr.stores.unique_ids`.
            wall: the time that the file system's time stamps are made by.
        """
        self._template = template
        self._clock = clock
        self._cooperate = cooperate
        self._state = state
        self._takeover_after = takeover_after
        self._unique_ids = unique_ids
        self._wall = wall

    def openMaildrop(
        self, user: bytes, session: ISession | None
    ) -> "Deferred[Maildrop]":
        """
        Open a user's maildrop: see `IStore`.
        """
        return started(self._open(user, session))

    async def _open(self, user: bytes, session: ISession | None) -> Maildrop:
        maildir = self._template.expand(user)
        # No leading dot: Maildir++ has sub-folders behind one.
        state = self._state.expand(user) if self._state else maildir + b"/extretr"
        lock = SessionLock(state + b"/lock", self._clock, self._takeover_after)
        held = None
        # A lock that lies in the Maildir can be taken only where that is there.
        if self._state is None or self._isThere(maildir):
            held = lock.acquireNow(session)
        if held is None:
            if not self._isThere(maildir):
                return empty_maildrop(self._cooperate)
            make_state(state)
            held = await lock.acquire(session)
        try:
            index = Index(state + b"/index")
            blocks = recalled(maildir, index, self._unique_ids, self._wall)
            if blocks is None:
                listing = Listing(maildir, index, self._unique_ids, self._wall)
                blocks = tuple(await run(self._cooperate, listing.steps()))
            index.rest()
        except OSError:
            held.release()
            self._log.failure("a Maildir cannot be listed")
            raise StoreUnavailable from None
        except BaseException:
            held.release()
            raise
        entries = MaildirEntries(maildir, blocks)
        return MaildirMaildrop(maildir, entries, index, held, self._cooperate)

    def _isThere(self, maildir: bytes) -> bool:
        """
        Tell whether a Maildir is there.

        Raises:
            StoreUnavailable: where the mail root is not, or where it cannot be told: to
                whom an empty maildrop is shown, all their mail seems deleted.
        """
        try:
            os.stat(maildir + b"/.")
        except OSError as error:
            if not os.path.isdir(self._template.root):
                root = self._template.root
                self._log.error("there is no mail root {root}", root=root)
            elif isinstance(error, FileNotFoundError):
                return False
            else:
                self._log.failure("a Maildir cannot be reached")
            raise StoreUnavailable from None
        return True
