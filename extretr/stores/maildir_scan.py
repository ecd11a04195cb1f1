"""
What a folder of a Maildir holds that was not known, found in steps.

The folder itself tells the inode of each name.  A known name that has the inode that
it had is the same file: Maildirs give no name twice, and what is put in a file's place
is another file.  Who writes into a file all the same, or gives name and inode to
another one, is found out when the message is opened, by its size and time.
"""

import heapq
import marshal
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from itertools import compress, islice
from operator import add
from typing import Any

from extretr.stores.columns import Block
from extretr.stores.index_blocks import BLOCKS_A_STEP

#: Names looked at in one turn of the reactor.
STEP = 500

#: Names that are sorted at once, and those of them that are packed together.
_SORTED = 4000
_PACKED = 50

#: Blocks whose names are looked up in one dictionary: one of a million names takes
#: 30 ms each time that it grows.
_TOGETHER = 100

#: Stands for the inode of a name that is not known.
_NONE = -1

#: A name in a folder: what messages are sorted by (see `chronological`), the index of
#: the folder in `FOLDERS`, the flags, and the inode.  Where a message is found in both
#: folders, the later counts.
Found = tuple[int, bytes, int, bytes, int]

#: Turns 0 and 1 into each other.
_FLIP = bytes((1, 0)).ljust(256)


class Names:
    """
    Names in the order of the messages, however many.

    They are sorted in runs, which are merged as they are read, and wait there packed:
    a million of tuples would have each collection of garbage take 90 ms.
    """

    def __init__(self) -> None:
        self._runs: list[list[bytes]] = []
        self._last: list[Found] = []

    def add(self, found: Found) -> None:
        """
        Take a name.
        """
        self._last.append(found)
        if len(self._last) >= _SORTED:
            self._last.sort()
            run = [
                marshal.dumps(self._last[begin : begin + _PACKED])
                for begin in range(0, _SORTED, _PACKED)
            ]
            self._runs.append(run)
            self._last = []

    def __bool__(self) -> bool:
        return bool(self._runs or self._last)

    def __iter__(self) -> Iterator[Found]:
        return heapq.merge(*map(_unpacked, self._runs), sorted(self._last))


class Changes:
    """
    What listings of folders brought.
    """

    def __init__(self) -> None:
        #: Names that were not known, or not of this inode.
        self.found = Names()
        #: Names that were known, and are not there any more; without an inode.
        self.gone = Names()

    def __bool__(self) -> bool:
        return bool(self.found or self.gone)


def _unpacked(run: list[bytes]) -> Iterator[Found]:
    for piece in run:
        yield from marshal.loads(piece)


def chronological(base: bytes) -> tuple[int, bytes]:
    """
    Give what messages are sorted by: the time in the name, then the name.
    """
    seconds = base.partition(b".")[0]
    return (int(seconds) if seconds.isdigit() else 0), base


def signature_of(status: os.stat_result) -> tuple[int, int, int]:
    """
    Give what must not change while the message is the same.
    """
    return status.st_size, status.st_mtime_ns, status.st_ino


def knowing(
    blocks: Sequence[Block], folder: int
) -> Generator[None, None, list[dict[bytes, int]]]:
    """
    Give the inodes of the messages in one folder by their names, in steps.
    """
    known: list[dict[bytes, int]] = []
    for count, block in enumerate(blocks):
        if count % _TOGETHER == 0:
            known.append({})
        where = block.folders()
        if folder in where:
            names: Sequence[bytes] = block.names()
            if not block.unflagged():
                names = list(map(add, names, block.flags()))
            if not folder:
                where = where.translate(_FLIP)
            known[-1].update(compress(zip(names, block.inodes(), strict=True), where))
        if count % BLOCKS_A_STEP == BLOCKS_A_STEP - 1:
            yield
    return known


def scanning(
    path: bytes,
    folder: int,
    known: list[dict[bytes, int]],
    careful: bool,
    changes: Changes,
) -> Iterator[None]:
    """
    Look for what is in a folder and not known, and for what is known and not there.

    Args:
        path: the folder.
        folder: its index in `FOLDERS`.
        known: inodes by name; emptied.
        careful: whether to trust no name.
        changes: what is filled, in steps.
    """
    try:
        entries: Any = os.scandir(path)
    except FileNotFoundError:
        entries = nullcontext(())
    with entries as listed:
        names = iter(listed)
        while some := list(islice(names, STEP)):
            for entry in some:
                name, inode = entry.name, entry.inode()
                before = _NONE
                for inodes in known:
                    before = inodes.pop(name, _NONE)
                    if before != _NONE:
                        break
                if before == inode and not careful:
                    continue
                # The kind is read with the name: most file systems ask no more of it.
                if not name.startswith(b".") and entry.is_file(follow_symlinks=False):
                    changes.found.add(_found(name, folder, inode))
                elif before != _NONE:
                    changes.gone.add(_found(name, folder, _NONE))
            if len(some) == STEP:
                yield
    for inodes in known:
        for count, name in enumerate(inodes, 1):
            changes.gone.add(_found(name, folder, _NONE))
            if count % STEP == 0:
                yield


def losing(changes: Changes) -> Generator[None, None, bool]:
    """
    Tell, in steps, whether a message that was known is nowhere.
    """
    found = iter(changes.found if changes.gone else ())
    one = next(found, None)
    count = 0
    for gone in changes.gone:
        # Both are in the order of the messages.
        while one is not None and one[:2] < gone[:2]:
            one = next(found, None)
            count += 1
            if count % STEP == 0:
                yield
        count += 1
        if count % STEP == 0:
            yield
        if one is None or one[1] != gone[1]:
            return True
    return False


def _found(name: bytes, folder: int, inode: int) -> Found:
    base, colon, flags = name.partition(b":2,")
    return *chronological(base), folder, colon + flags, inode
