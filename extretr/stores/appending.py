"""
What all targets have in common that fetched messages are put into.

A message is staged, then committed with others: what is about to happen is written
down by the caller (an *intent*) before it does.  Whoever finds an intent after a crash
has it settled: the message is there, whole and to stay, or nothing of it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from extretr.errors import ExtRetrError

#: All that settling needs; it can be written as JSON.
Intent = dict[str, Any]

#: Gets the intents, one a message, and returns when they are on the disk.
Intend = Callable[[list[Intent]], object]

#: Most messages in one commit.
BATCH = 256


class CannotDeliver(ExtRetrError):
    """
    Mail cannot be put there.  The text is for the local user, and may hold the path.
    """


class TargetBusy(CannotDeliver):
    """
    Other mail software has it locked: later it may go.
    """


class Source(Protocol):
    """
    A message that has come whole.
    """

    @property
    def size(self) -> int:
        """
        Canonical octets.
        """

    def pieces(self) -> Iterator[bytes]:
        """
        Give the canonical octets from the first on, in chunks, as often as is asked.
        """


@dataclass(kw_only=True)
class Staged:
    """
    A message that is ready to be committed.
    """

    source: Source
    #: Seconds since the epoch.
    time: float


def whole(source: Source) -> Iterator[bytes]:
    """
    Give the canonical octets, in chunks.

    Raises:
        CannotDeliver: at the end, where they are not as many as there must be.
    """
    count = 0
    for octets in source.pieces():
        count += len(octets)
        yield octets
    if count != source.size:
        raise CannotDeliver(f"a message has {count} octets instead of {source.size}")


def shown(path: bytes) -> str:
    """
    Give a path as text.
    """
    return path.decode("utf-8", "replace")
