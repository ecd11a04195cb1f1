"""
The messages of a maildrop, as the session that has it numbers them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from extretr.offsets import Measured


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
    #: Its place among the entries.
    index: int = -1


class Entries(Protocol):
    """
    What a maildrop needs to know of all its messages.

    Ranges of indexes are within those that there are.
    """

    def __len__(self) -> int:
        """
        Give the number of messages.
        """

    def at(self, index: int) -> Any:
        """
        Give the `Entry` of one message: an object that need not be the same each time.
        """

    def unmeasured(self) -> Iterator[int]:
        """
        Give the indexes of the messages that have to be measured, as it comes to them.
        """

    def total(self) -> int:
        """
        Give the canonical octets of all messages that are measured.
        """

    def sizes(self, begin: int, end: int) -> Sequence[int]:
        """
        Give the canonical sizes of some messages, 0 where one is not measured.
        """

    def uniqueIds(self, begin: int, end: int) -> Sequence[bytes]:
        """
        Give the unique-ids of some messages.
        """

    def learn(self, index: int, measured: Measured) -> None:
        """
        Take what was measured of a message.
        """


class EntryList:
    """
    Entries that are all there, as objects.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries)

    def at(self, index: int) -> Any:
        """
        Give one: see `Entries`.
        """
        entry = self._entries[index]
        entry.index = index
        return entry

    def unmeasured(self) -> Iterator[int]:
        """
        Give the indexes of those that have to be measured.
        """
        for index, entry in enumerate(self._entries):
            if entry.measured is None:
                yield index

    def total(self) -> int:
        """
        Give the canonical octets of all that are measured.
        """
        return sum(self.sizes(0, len(self)))

    def sizes(self, begin: int, end: int) -> Sequence[int]:
        """
        Give canonical sizes, 0 where one is not measured.
        """
        return [
            0 if entry.measured is None else entry.measured.size
            for entry in self._entries[begin:end]
        ]

    def uniqueIds(self, begin: int, end: int) -> Sequence[bytes]:
        """
        Give unique-ids.
        """
        return [entry.unique_id for entry in self._entries[begin:end]]

    def learn(self, index: int, measured: Measured) -> None:
        """
        Take what was measured of one.
        """
        self._entries[index].measured = measured
