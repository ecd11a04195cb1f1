"""
The messages of a Maildir: columns, made into objects where one is touched.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TypeVar

from extretr.offsets import Measured
from extretr.stores.columns import Block
from extretr.stores.entries import Entry

#: In this order: mail that another agent moves meanwhile, which is from new/ to
#: cur/, is then in one of them at least.
FOLDERS = (b"new", b"cur")

T = TypeVar("T", int, bytes)

#: Base names, what follows them where anything does, and unique-ids.
_Split = tuple[list[bytes], list[bytes] | None, list[bytes]]


@dataclass(slots=True)
class MaildirEntry(Entry):
    """
    A message of a Maildir.
    """

    #: Where it was when it was listed; its folder and its flags may change.
    path: bytes = b""
    #: Size, mtime in nanoseconds, inode.
    status: tuple[int, int, int] = (0, 0, 0)


class MaildirEntries:
    """
    The messages of a Maildir, in blocks.
    """

    __slots__ = ("_ends", "_last", "_maildir", "_moved", "blocks")

    def __init__(self, maildir: bytes, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self._maildir = maildir
        #: Where each block ends; not kept of a single one, as most maildrops have it.
        self._ends = tuple(accumulate(map(len, blocks))) if len(blocks) > 1 else ()
        #: The names of the block that one was last asked of, since whoever asks for
        #: one message asks for the next.
        self._last: tuple[int, _Split] | None = None
        #: Where messages were found that are no longer where they were listed.
        self._moved: dict[int, bytes] | None = None

    def __len__(self) -> int:
        if self._ends:
            return self._ends[-1]
        return len(self.blocks[0]) if self.blocks else 0

    def at(self, index: int) -> MaildirEntry:
        """
        Give one: see `Entries`.
        """
        number, row = self._place(index)
        block = self.blocks[number]
        names, flags, unique_ids = self._splitOf(number)
        name = names[row]
        path = b"%b/%b/%b" % (self._maildir, FOLDERS[block.folder(row)], name)
        if flags:
            path += flags[row]
        if self._moved:
            path = self._moved.get(index, path)
        return MaildirEntry(
            name,
            unique_ids[row],
            b"",
            block.measured(row),
            index,
            path,
            block.signature(row),
        )

    def _splitOf(self, number: int) -> "_Split":
        last = self._last
        if last is not None and last[0] == number:
            return last[1]
        block = self.blocks[number]
        names = block.names()
        split = (
            names,
            None if block.unflagged() else block.flags(),
            block.uniqueIds() if block.unique_ids else names,
        )
        self._last = number, split
        return split

    def moved(self, index: int, path: bytes) -> None:
        """
        Take note of where a message is now.
        """
        self._moved = self._moved or {}
        self._moved[index] = path

    def removed(self, index: int) -> None:
        """
        Take note that the file of one was removed.
        """
        number, row = self._place(index)
        self.blocks[number].removed(row)

    def unmeasured(self) -> Iterator[int]:
        """
        Give the indexes of those that have to be measured.
        """
        begin = 0
        for block in self.blocks:
            if block.missing:
                for row, kind in enumerate(block.kinds()):
                    if not kind:
                        yield begin + row
            begin += len(block)

    def total(self) -> int:
        """
        Give the canonical octets of all that are measured.
        """
        octets = 0
        for block in self.blocks:
            octets += block.octets
        return octets

    def sizes(self, begin: int, end: int) -> Sequence[int]:
        """
        Give canonical sizes, 0 where one is not measured.
        """
        return self._column(begin, end, Block.sizes)

    def uniqueIds(self, begin: int, end: int) -> Sequence[bytes]:
        """
        Give unique-ids.
        """
        if end - begin == 1:
            number, row = self._place(begin)
            return self._splitOf(number)[2][row : row + 1]
        return self._column(begin, end, Block.uniqueIds)

    def learn(self, index: int, measured: Measured) -> None:
        """
        Take what was measured of one.
        """
        number, row = self._place(index)
        self.blocks[number].learn(row, measured)

    def _place(self, index: int) -> tuple[int, int]:
        """
        Give the number of the block that a message is in, and its place there.
        """
        if not self._ends:
            return 0, index
        number = bisect_right(self._ends, index)
        return number, index - self._ends[number] + len(self.blocks[number])

    def _column(
        self, begin: int, end: int, column: Callable[[Block], Sequence[T]]
    ) -> Sequence[T]:
        parts = []
        while begin < end:
            number, row = self._place(begin)
            part = column(self.blocks[number])[row : row + end - begin]
            parts.append(part)
            begin += len(part)
        return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
