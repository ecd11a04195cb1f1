"""
What the maildrops of all stores have in common.

The messages of one session, numbered; which are marked as deleted; their sizes,
taken from the index or measured when first asked for.  A store says how an entry
is opened and how entries are removed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from extretr.errors import (
    NoSuchMessage,
    NotAllDeleted,
)
from extretr.interfaces import IListableMailbox, IMaildrop, IStoredFile
from extretr.message import SeekableMessage
from extretr.stores.entries import Entries, Entry, EntryList
from extretr.stores.held import Held
from extretr.stores.index import NONE, Index
from extretr.stores.sizing import Sizing
from extretr.stores.steps import Cooperate

#: Hidden messages of which the sizes are no longer looked up one by one.
_MANY = 1000

#: Steps of saving, or of removing, that are run on the spot when a session ends.
ON_THE_SPOT = 4

#: Messages that are removed in one step.
REMOVED_A_STEP = 100


@implementer(IMaildrop, IListableMailbox)
class Maildrop(Sizing):
    """
    A maildrop over entries; a store subclasses it.
    """

    __slots__ = ("_deleted", "_held")

    _log = Logger()

    def __init__(
        self,
        entries: Entries | list[Entry],
        index: Index,
        held: Held,
        cooperate: Cooperate,
    ) -> None:
        if isinstance(entries, list):
            for entry in entries:
                if entry.measured is None:
                    entry.measured = index.remembered(entry.key, entry.signature)
            entries = EntryList(entries)
        super().__init__(entries, index, cooperate)
        self._held = held
        self._deleted: dict[int, None] = NONE

    # What a store says, besides what `Sizing` asks of it.

    def _readEntry(self, entry: Any, size: int) -> bytes | None:
        """
        Read the whole stored form, so many octets, if it is still what was listed.

        None where it is not, or where the store has no short way to read it.
        """
        return None

    def _removeEntries(self, entries: Iterator[Any]) -> Any:
        """
        Remove the messages from the store, or give a Deferred that does.

        The entries are made as they are asked for.

        It runs while the session lock is known to be ours.

        Raises:
            NotAllDeleted: where some could not be removed.
        """
        raise NotImplementedError

    def _saving(self) -> Iterator[None]:
        """
        Write what was remembered, in steps.
        """
        self._index.save()
        return iter(())

    # IMailboxPOP3

    def listMessages(self, index: int | None = None) -> Any:
        """
        Give one size or all of them, 0 for deleted, or a Deferred where it takes time.
        """
        if index is None:
            return self._measuredAll(self._allSizes)
        self._check(index)
        if index in self._deleted:
            return 0
        return self._measuredOne(index, lambda entry: self._sizeOfOne(index, entry))

    def getMessage(self, index: int) -> IStoredFile:
        """
        Open the stored form of a message, for those who know no more than IMailbox.
        """
        self._checkPresent(index)
        return self._openListed(self._entries.at(index))[0]

    def getUidl(self, index: int) -> bytes:
        """
        Give the unique-id of a message.
        """
        self._check(index)
        return self._entries.uniqueIds(index, index + 1)[0]

    def deleteMessage(self, index: int) -> None:
        """
        Mark a message as deleted; sync removes it.
        """
        self._checkPresent(index)
        self._deleted = self._deleted or {}
        self._deleted[index] = None

    def undeleteMessages(self) -> None:
        """
        Take all marks of deletion back.
        """
        self._deleted = NONE

    def sync(self) -> Any:
        """
        Remove what is marked (RFC 1939, section 6), if the session lock is ours still.

        Raises:
            LockLost: where a later session has taken over; nothing was removed.
            NotAllDeleted: where some messages could not be removed.
        """
        if not self._deleted:
            return None
        indexes = sorted(self._deleted.keys() - self._gone.keys())
        if not indexes:
            return None
        marked = map(self._entries.at, indexes)
        return self._held.whileOurs(lambda: self._removeEntries(marked))

    # ISeekableMailbox

    def openMessage(self, index: int) -> Any:
        """
        Give the message, or a Deferred of it while it has yet to be measured.
        """
        self._checkPresent(index)
        return self._measuredOne(index, self._messageOf)

    def readShort(self, index: int, most: int) -> tuple[int, bytes] | None:
        """
        Give canonical size and stored form of a message of at most *most* octets.

        None where that is not to be had at once, for whatever reason: `openMessage`
        finds the reason again, and tells it.
        """
        if type(self).openMessage is not Maildrop.openMessage:
            # A subclass has its own way.
            return None
        if not 0 <= index < len(self._entries):
            return None
        if index in self._deleted or index in self._gone:
            return None
        entry = self._entries.at(index)
        measured = entry.measured
        if measured is None or measured.stored_size > most:
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
        self._check(index)
        return index in self._deleted or index in self._gone

    # IListableMailbox

    def measureAll(self) -> Any:
        """
        Have all messages measured: see `IListableMailbox`.
        """
        return self._measuredAll(lambda: None)

    def hidden(self) -> Collection[int]:
        """
        Give the indexes of messages that are deleted or gone.
        """
        deleted, gone = self._deleted, self._gone
        return deleted.keys() | gone.keys() if deleted or gone else ()

    def total(self) -> int:
        """
        Give the octets of all messages but the hidden ones.
        """
        hidden = self.hidden()
        if not hidden:
            return self._entries.total()
        if len(hidden) > _MANY:
            return sum(self._allSizes())
        return self._entries.total() - sum(
            self._entries.sizes(index, index + 1)[0] for index in hidden
        )

    def sizes(self, begin: int, end: int) -> Sequence[int]:
        """
        Give the sizes of some messages.
        """
        return self._entries.sizes(begin, end)

    def uniqueIds(self, begin: int, end: int) -> Sequence[bytes]:
        """
        Give the unique-ids of some messages.
        """
        return self._entries.uniqueIds(begin, end)

    # IMaildrop

    def close(self) -> Any:
        """
        Remember what was measured and release the session lock, or give a Deferred.
        """
        try:
            steps = self._saving()
            for _ in range(ON_THE_SPOT):
                if next(steps, self) is self:
                    break
            else:
                return self._cooperate(steps).addBoth(self._release)
        except BaseException:
            self._held.release()
            raise
        self._held.release()
        return None

    def _release(self, result: Any) -> Any:
        self._held.release()
        return result

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self._entries):
            # ValueError is what IMailboxPOP3 promises for a number that is not there.
            raise ValueError(index)

    def _checkPresent(self, index: int) -> None:
        if not 0 <= index < len(self._entries) or index in self._deleted:
            raise NoSuchMessage
        if index in self._gone:
            raise self._why(index)

    def _sizeOfOne(self, index: int, entry: Entry) -> int:
        if self._gone.get(index):
            raise self._why(index)
        return 0 if self.isDeleted(index) else self._measuredOf(entry).size

    def _allSizes(self) -> list[int]:
        sizes = list(self._entries.sizes(0, len(self._entries)))
        for index in self.hidden():
            sizes[index] = 0
        return sizes

    def _messageOf(self, entry: Entry) -> SeekableMessage:
        return SeekableMessage(self._measuredOf(entry), lambda: self._openListed(entry))


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
    return Maildrop(EntryList([]), Index(None), nothing, cooperate)


def removing(
    entries: Iterable[Any], remove: Callable[[Any], None], last: Callable[[], None]
) -> Iterator[None]:
    """
    Remove entries one by one with *remove*, in steps, going on past those that fail.

    Whatever comes, *last* is called at the end.

    Raises:
        NotAllDeleted: at the end, where any failed with OSError.
    """
    failed = False
    try:
        for count, entry in enumerate(entries, 1):
            try:
                remove(entry)
            except OSError:
                Maildrop._log.failure("cannot remove a message of the maildrop")
                failed = True
            if count % REMOVED_A_STEP == 0:
                yield
    finally:
        last()
    if failed:
        raise NotAllDeleted
