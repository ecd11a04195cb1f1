"""
Maildirs: a folder a user, a file a message.

``new/`` and ``cur/`` are served; mail is never moved between them, nor are flags set.
A message is known by the part of its name before the flags.  What its name says of
its size (``,S=`` and ``,W=``) is never trusted.
"""

import errno
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from extretr.errors import MessageChanged, StoreUnavailable
from extretr.interfaces import ISession, IStore
from extretr.stores.descriptor import OPEN, StoredFile, read_whole
from extretr.stores.index import Index
from extretr.stores.lock import lock_in
from extretr.stores.maildrop import (
    Cooperate,
    Entry,
    Maildrop,
    empty_maildrop,
    whole_removal,
)
from extretr.stores.paths import PathTemplate
from extretr.stores.unique_ids import UNIQUE_IDS, assign, base_name

#: In this order: mail that another agent moves meanwhile, which is from new/ to
#: cur/, is then in one of them at least.
FOLDERS = (b"new", b"cur")

#: Seconds that a folder must have been left alone before its listing is trusted the
#: next time: what changes within one tick of the clock does not show.
SETTLED = 2.0

#: Names listed in one turn of the reactor.
STEP = 500

#: size, mtime in nanoseconds, inode.
_SIGNATURE = struct.Struct("<QqQ")

#: mtime and ctime of a folder, in nanoseconds.
_FOLDER = struct.Struct("<qq")

#: Named anew when the form of the notes is another.
_NOTE = b"listing 2 of "


@dataclass(slots=True)
class MaildirEntry(Entry):
    """
    A message of a Maildir.
    """

    #: Where it was when it was listed; its folder and its flags may change.
    path: bytes = b""


class MaildirMaildrop(Maildrop):
    """
    A maildrop over a Maildir.
    """

    def __init__(self, maildir: bytes, entries: list[Entry], *rest: Any) -> None:
        super().__init__(entries, *rest)
        self._maildir = maildir

    def _openEntry(self, entry: Entry) -> tuple[StoredFile, Callable[[], bool]]:
        descriptor = self._descriptorOf(entry)
        if _signature(os.fstat(descriptor)) != entry.signature:
            os.close(descriptor)
            raise MessageChanged

        def unchanged() -> bool:
            return _signature(os.fstat(descriptor)) == entry.signature

        return StoredFile(descriptor), unchanged

    def _readEntry(self, entry: Any, size: int) -> bytes | None:
        stored, status = read_whole(entry.path, size)
        if status is None or _signature(status) != entry.signature:
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
            for name in _names(path):
                if base_name(name) == entry.key:
                    entry.path = os.path.join(path, name)
                    return entry.path
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

    def _removeEntries(self, entries: list[Entry]) -> None:
        try:
            whole_removal(entries, self._remove)
        finally:
            for folder in FOLDERS:
                _sync_folder(os.path.join(self._maildir, folder))

    def _remove(self, entry: Any) -> None:
        try:
            self._unlink(entry, entry.path)
        except FileNotFoundError:
            path = self._findAgain(entry)
            if path is not None:
                self._unlink(entry, path)
            else:
                os.stat(self._maildir)

    def _unlink(self, entry: Entry, path: bytes) -> None:
        if _signature(os.lstat(path)) != entry.signature:
            # Nobody has seen what is there now: it must not be lost.
            self._index.forget(entry.key)
            raise OSError(errno.ESTALE, "the message has changed", path)
        os.unlink(path)


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
        self._unique_ids = UNIQUE_IDS[unique_ids]
        self._wall = wall

    def openMaildrop(
        self, user: bytes, session: ISession | None
    ) -> "Deferred[Maildrop]":
        """
        Open a user's maildrop: see `IStore`.
        """
        return Deferred.fromCoroutine(self._open(user, session))

    async def _open(self, user: bytes, session: ISession | None) -> Maildrop:
        maildir = self._template.expand(user)
        if not os.path.isdir(self._template.root):
            self._log.error("there is no mail root {root}", root=self._template.root)
            raise StoreUnavailable
        try:
            os.stat(os.path.join(maildir, b"."))
        except FileNotFoundError:
            return empty_maildrop(self._cooperate)
        except OSError:
            # To whom an empty maildrop is shown, all their mail seems deleted.
            self._log.failure("a Maildir cannot be reached")
            raise StoreUnavailable from None
        # No leading dot: Maildir++ has sub-folders behind one.
        state = os.path.join(maildir, b"extretr")
        if self._state is not None:
            state = self._state.expand(user)
        lock = lock_in(state, self._clock, self._takeover_after)
        held = await lock.acquire(session)
        try:
            index = Index(os.path.join(state, b"index"))
            entries = await self._list(maildir, index)
        except OSError:
            held.release()
            self._log.failure("a Maildir cannot be listed")
            raise StoreUnavailable from None
        except BaseException:
            held.release()
            raise
        return MaildirMaildrop(maildir, entries, index, held, self._cooperate)

    async def _list(self, maildir: bytes, index: Index) -> list[Entry]:
        found: dict[bytes, tuple[bytes, bytes]] = {}
        steps = self._listing(maildir, index, found)
        # The folders of most are short, and listed on the spot.
        if next(steps, self) is not self:
            await self._cooperate(steps)
        names = sorted(found, key=_chronological)
        unique_ids = assign(names, self._unique_ids(maildir))
        index.keep_only(found)
        return [
            MaildirEntry(name, unique_id, found[name][1], path=found[name][0])
            for name, unique_id in zip(names, unique_ids, strict=True)
        ]

    def _listing(
        self, maildir: bytes, index: Index, found: dict[bytes, tuple[bytes, bytes]]
    ) -> Iterator[None]:
        """
        Fill *found* with path and signature by base name, in steps.
        """
        for folder in FOLDERS:
            path = os.path.join(maildir, folder)
            # The listing may take longer than it takes to settle.
            now = self._wall()
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            # A copy of a Maildir may have the times of the original but for ctime.
            state = _FOLDER.pack(status.st_mtime_ns, status.st_ctime_ns)
            listed = _from_note(index.note(_NOTE + folder), state)
            if listed is None:
                listed = {}
                for count, name in enumerate(_names(path), 1):
                    if count % STEP == 0:
                        yield
                    try:
                        one = os.lstat(os.path.join(path, name))
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(one.st_mode):
                        listed[name] = _signature(one)
                changed = max(status.st_mtime_ns, status.st_ctime_ns)
                settled = now - changed / 1e9 >= SETTLED
                note = _to_note(state, listed) if settled else b""
                index.set_note(_NOTE + folder, note)
            for name, signature in listed.items():
                # A message that is being moved may be in both: it is one.
                found[base_name(name)] = os.path.join(path, name), signature


def _names(folder: bytes) -> Iterator[bytes]:
    """
    Give the names in a folder that may be messages; none where it is not there.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if not name.startswith(b"."):
            yield name


def _signature(status: os.stat_result) -> bytes:
    return _SIGNATURE.pack(status.st_size, status.st_mtime_ns, status.st_ino)


def _chronological(name: bytes) -> tuple[int, bytes]:
    seconds = name.partition(b".")[0]
    return (int(seconds) if seconds.isdigit() else 0), name


def _to_note(state: bytes, listed: dict[bytes, bytes]) -> bytes:
    # No name holds a slash, and all signatures are of one size.
    head = state + struct.pack("<I", len(listed))
    return head + b"".join(listed.values()) + b"/".join(listed)


def _from_note(note: bytes | None, state: bytes) -> dict[bytes, bytes] | None:
    """
    Give the names and signatures of a folder, None where it has changed since.
    """
    if not note or not note.startswith(state):
        return None
    (count,) = struct.unpack_from("<I", note, len(state))
    begin, size = len(state) + 4, _SIGNATURE.size
    names = note[begin + count * size :].split(b"/") if count else []
    return {
        name: note[begin + number * size : begin + (number + 1) * size]
        for number, name in enumerate(names)
    }


def _sync_folder(path: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
