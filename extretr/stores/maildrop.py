"""
What the maildrops of all stores have in common.

The messages of one session, numbered; which are marked as deleted; their sizes,
taken from the index or measured when first asked for.  A store says how an entry
is opened and how entries are removed.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from extretr.errors import (
    MessageChanged,
    NoSuchMessage,
    NotAllDeleted,
    Refusal,
    StoreUnavailable,
)
from extretr.interfaces import IMaildrop, IStoredFile
from extretr.message import SeekableMessage, measuring
from extretr.offsets import Measured
from extretr.stores.held import Held
from extretr.stores.index import Index

#: Runs an iterator to its end, a step a turn; the Deferred fires then.
Cooperate = Callable[[Iterator[None]], "Deferred[Any]"]


#: What says nothing about a message: the process, or the host, is short of something.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})


@dataclass(slots=True)
class Entry:
    """
    One message of the maildrop, as it was listed.
    """

    #: What the store and its index know the message by, between sessions.
    key: bytes
    #: RFC 1939, section 7.
    unique_id: bytes
    #: What must not change while the message is the same: size, times, inode.
    signature: bytes
    measured: Measured | None = None
    deleted: bool = False
    #: Found to be no longer in the store, or not to be readable.
    gone: bool = False
    #: Which of the two.
    unreadable: bool = False


@implementer(IMaildrop)
class Maildrop:
    """
    A maildrop over entries; a store subclasses it.
    """

    _log = Logger()

    def __init__(
        self, entries: list[Entry], index: Index, held: Held, cooperate: Cooperate
    ) -> None:
        self._entries = entries
        self._index = index
        self._held = held
        self._cooperate = cooperate
        for entry in entries:
            if entry.measured is None:
                entry.measured = index.remembered(entry.key, entry.signature)

    # What a store says.

    def _openEntry(self, entry: Entry) -> tuple[Any, Callable[[], bool]]:
        """
        Open the stored form, with a check whether it is still the same.

        Raises:
            MessageChanged: where it is not what was listed.
        """
        raise NotImplementedError

    def _readEntry(self, entry: Any, size: int) -> bytes | None:
        """
        Read the whole stored form, so many octets, if it is still what was listed.

        None where it is not, or where the store has no short way to read it.
        """
        return None

    def _removeEntries(self, entries: list[Entry]) -> Any:
        """
        Remove the messages from the store, or give a Deferred that does.

        It runs while the session lock is known to be ours.

        Raises:
            NotAllDeleted: where some could not be removed.
        """
        raise NotImplementedError

    # IMailboxPOP3

    def listMessages(self, index: int | None = None) -> Any:
        """
        Give one size or all of them, 0 for deleted, or a Deferred where it takes time.
        """
        if index is not None:
            entry = self._entryAt(index)
            if entry.deleted:
                return 0
            return self._measured([entry], lambda: self._sizeOfOne(entry))
        return self._measured(
            self._entries, lambda: [self._sizeOf(entry) for entry in self._entries]
        )

    def getMessage(self, index: int) -> IStoredFile:
        """
        Open the stored form of a message, for those who know no more than IMailbox.
        """
        return self._openListed(self._presentAt(index))[0]

    def getUidl(self, index: int) -> bytes:
        """
        Give the unique-id of a message.
        """
        return self._entryAt(index).unique_id

    def deleteMessage(self, index: int) -> None:
        """
        Mark a message as deleted; sync removes it.
        """
        self._presentAt(index).deleted = True

    def undeleteMessages(self) -> None:
        """
        Take all marks of deletion back.
        """
        for entry in self._entries:
            entry.deleted = False

    def sync(self) -> Any:
        """
        Remove what is marked (RFC 1939, section 6), if the session lock is ours still.

        Raises:
            LockLost: where a later session has taken over; nothing was removed.
            NotAllDeleted: where some messages could not be removed.
        """
        marked = [entry for entry in self._entries if entry.deleted and not entry.gone]
        if not marked:
            return None
        return self._held.whileOurs(lambda: self._removeEntries(marked))

    # ISeekableMailbox

    def openMessage(self, index: int) -> Any:
        """
        Give the message, or a Deferred of it while it has yet to be measured.
        """
        entry = self._presentAt(index)
        if entry.measured is not None:
            return self._messageOf(entry)
        return self._measured([entry], lambda: self._messageOf(entry))

    def readShort(self, index: int, most: int) -> tuple[int, bytes] | None:
        """
        Give canonical size and stored form of a message of at most *most* octets.

        None where that is not to be had at once, for whatever reason: `openMessage`
        finds the reason again, and tells it.
        """
        if not 0 <= index < len(self._entries):
            return None
        entry = self._entries[index]
        measured = entry.measured
        if entry.deleted or entry.gone or measured is None:
            return None
        if measured.stored_size > most:
            return None
        stored = self._readEntry(entry, measured.stored_size)
        return None if stored is None else (measured.size, stored)

    def countMessages(self) -> int:
        """
        Give the number of messages, deleted ones included.
        """
        return len(self._entries)

    def isDeleted(self, index: int) -> bool:
        """
        Tell whether a message is marked as deleted, or gone from the store.
        """
        entry = self._entryAt(index)
        return entry.deleted or entry.gone

    # IMaildrop

    def close(self) -> None:
        """
        Remember what was measured and release the session lock.
        """
        try:
            self._index.save()
        finally:
            self._held.release()

    def _entryAt(self, index: int) -> Entry:
        if not 0 <= index < len(self._entries):
            # ValueError is what IMailboxPOP3 promises for a number that is not there.
            raise ValueError(index)
        return self._entries[index]

    def _presentAt(self, index: int) -> Entry:
        if not 0 <= index < len(self._entries):
            raise NoSuchMessage
        entry = self._entries[index]
        if entry.deleted:
            raise NoSuchMessage
        if entry.gone:
            raise self._why(entry)
        return entry

    @staticmethod
    def _why(entry: Entry) -> Refusal:
        """
        Tell why a message that is listed cannot be had.
        """
        return StoreUnavailable() if entry.unreadable else MessageChanged()

    def _sizeOfOne(self, entry: Entry) -> int:
        if entry.unreadable:
            raise self._why(entry)
        return self._sizeOf(entry)

    def _sizeOf(self, entry: Entry) -> int:
        if entry.deleted or entry.gone or entry.measured is None:
            return 0
        return entry.measured.size

    def _messageOf(self, entry: Entry) -> SeekableMessage:
        if entry.measured is None:
            raise self._why(entry)
        return SeekableMessage(entry.measured, lambda: self._openListed(entry))

    def _openListed(self, entry: Entry) -> tuple[Any, Callable[[], bool]]:
        try:
            return self._openEntry(entry)
        except MessageChanged:
            # Else the next session would trust what this one has found wrong.
            self._index.forget(entry.key)
            raise

    def _measured(self, entries: list[Entry], result: Callable[[], Any]) -> Any:
        """
        Give *result()* once all of *entries* are measured: at once where they are.
        """
        missing = [
            entry for entry in entries if entry.measured is None and not entry.gone
        ]
        steps = self._measuring(missing)
        # One small message is measured on the spot; more would hold the reactor.
        if next(steps, self) is self:
            return result()
        return self._cooperate(steps).addCallback(lambda _: result())

    def _measuring(self, entries: list[Entry]) -> Iterator[None]:
        for count, entry in enumerate(entries):
            if count:
                yield
            if entry.measured is not None or entry.gone:
                # Another command, or session, was quicker.
                continue
            try:
                file, unchanged = self._openEntry(entry)
                yield from measuring(file, _keeper(self._index, entry, unchanged))
            except MessageChanged:
                self._index.forget(entry.key)
                entry.gone = True
            except OSError as error:
                if error.errno in _PASSING:
                    # A list without the message would tell clients that it is gone.
                    self._log.failure("the maildrop cannot be read at present")
                    raise StoreUnavailable from None
                # It may be readable again later; now it cannot be listed.
                self._log.failure("cannot read a message of the maildrop")
                entry.gone = entry.unreadable = True
        if self._entries and all(entry.unreadable for entry in self._entries):
            # It is not empty, and must not look as if it were.
            for entry in self._entries:
                entry.gone = entry.unreadable = False
            raise StoreUnavailable


def _keeper(
    index: Index, entry: Entry, unchanged: Callable[[], bool]
) -> Callable[[Measured], None]:
    def keep(measured: Measured) -> None:
        if not unchanged():
            raise MessageChanged
        entry.measured = measured
        index.remember(entry.key, entry.signature, measured)

    return keep


class _NothingHeld:
    """
    The lock of a maildrop that has no place: nothing is there to be protected.
    """

    def whileOurs(self, action: Callable[[], Any]) -> Any:
        return action()

    def release(self) -> None:
        pass


def empty_maildrop(cooperate: Cooperate) -> Maildrop:
    """
    Give the maildrop of a user for whom no mail has come yet.
    """
    nothing: Any = _NothingHeld()
    return Maildrop([], Index(None), nothing, cooperate)


def whole_removal(entries: list[Entry], remove: Callable[[Entry], None]) -> None:
    """
    Remove entries one by one with *remove*, going on past those that fail.

    Raises:
        NotAllDeleted: at the end, where any failed with OSError.
    """
    failed = False
    for entry in entries:
        try:
            remove(entry)
        except OSError:
            Maildrop._log.failure("cannot remove a message of the maildrop")
            failed = True
    if failed:
        raise NotAllDeleted
