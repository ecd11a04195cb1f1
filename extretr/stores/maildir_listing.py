"""
How a Maildir is listed at login: from what is remembered, in steps.

A folder that has not changed since it was listed is not listed again.  Of one that has
changed the names are read, and what is known of them stands: see
`extretr.stores.maildir_scan`.  Only new mail is looked at.  Where a message was found
to be another than the listing says, the next one trusts no name.
"""

import heapq
import os
import stat
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice

from extretr.stores.columns import CAPACITY, Block
from extretr.stores.index import Index
from extretr.stores.index_blocks import BLOCKS_A_STEP
from extretr.stores.maildir_entries import FOLDERS
from extretr.stores.maildir_scan import (
    STEP,
    Changes,
    Found,
    Names,
    chronological,
    knowing,
    losing,
    scanning,
    signature_of,
)
from extretr.stores.maildir_states import (
    State,
    pack_states,
    settled,
    states_of,
    unpack_states,
    unsettled,
)
from extretr.stores.naming import NAMING, Naming, source_of
from extretr.stores.rows import Row, kind_of, marks_of

#: Attempts to list folders out of which messages vanish meanwhile: one that is renamed
#: while its folder is read may be missed.
ATTEMPTS = 3

#: The note that holds the states of the folders.
_FOLDERS = b"maildir folders"

#: Rows that were made of the index's older form are not kept in it any more.
_OLD = tuple(b"listing 2 of " + folder for folder in FOLDERS)


def distrust(index: Index) -> None:
    """
    Let the next listing trust no name.
    """
    index.set_note(_FOLDERS, b"")


def recalled(
    maildir: bytes, index: Index, unique_ids: str, wall: Callable[[], float]
) -> Sequence[Block] | None:
    """
    Give the messages where nothing has changed since this process listed them last.

    None where they have to be listed.  The index is the same that was found to be whole
    then.
    """
    listed = index.recall()
    if listed is None:
        return None
    states, source, blocks = listed
    if states != pack_states(states_of(maildir)):
        return None
    if not source or source != source_of(maildir, unique_ids, wall()):
        return None
    return list(map(Block.recalled, blocks))


class Listing:
    """
    One listing of a Maildir.
    """

    def __init__(
        self,
        maildir: bytes,
        index: Index,
        unique_ids: str,
        wall: Callable[[], float],
    ) -> None:
        self._maildir = maildir
        self._paths = [os.path.join(maildir, folder) for folder in FOLDERS]
        self._index = index
        self._naming = Naming(maildir, index, unique_ids)
        self._wall = wall
        #: Whether no name is to be trusted, by folder.
        self._careful = [False, False]
        #: Whether a message was gone when it was looked at.
        self._vanished = False
        #: Whether a message is in new/ as well as in cur/.
        self._isDouble = False

    def steps(self) -> Generator[None, None, Sequence[Block]]:
        """
        Give the messages, in steps.
        """
        blocks, whole = yield from self._load()
        then = unpack_states(self._index.note(_FOLDERS) or b"")
        different = False
        for left in reversed(range(ATTEMPTS)):
            now = self._wall()
            states = states_of(self._maildir)
            # A copy of a Maildir may have the times of the original but for ctime.
            changed = [
                folder
                for folder, state in enumerate(states)
                if not whole or then is None or state != then[folder]
            ]
            # Another folder may give the inodes of the last one to other messages.
            self._careful = [
                then is None or state[2] != before[2]
                for state, before in zip(states, then or states, strict=True)
            ]
            changes = yield from self._scan(blocks, changed)
            lost = yield from losing(changes)
            # What was not known nobody misses.
            changing = bool(lost or not whole) and states != states_of(self._maildir)
            if lost and changing and left:
                continue
            self._vanished = self._isDouble = False
            if changes:
                blocks = yield from self._merge(blocks, changes)
            different = different or bool(changes) or not whole
            states = [
                state if folder not in changed else settled(state, now)
                for folder, state in enumerate(states)
            ]
            if self._isDouble:
                # If the one in cur/ goes, the other one is the message.
                states[0] = unsettled(states[0])
            whole, then = True, states
            if not (changing or self._vanished):
                break
        self._note(states)
        yield from self._naming.steps(blocks, different, now)
        self._index.keep_only(())
        if not different and all(block.saved for block in blocks):
            self._keep(blocks)
        return blocks

    def _keep(self, blocks: Iterable[Block]) -> None:
        """
        Keep what the index holds, which was found to be right, for `recalled`.
        """
        index = self._index
        states, source = (index.note(name) or b"" for name in (_FOLDERS, NAMING))
        index.keep(lambda: (states, source, [block.kept() for block in blocks]))

    def _load(self) -> Generator[None, None, tuple[list[Block], bool]]:
        listed = self._index.recall()
        if listed is not None:
            return list(map(Block.recalled, listed[-1])), True
        saved, whole = yield from self._index.blocks()
        blocks: list[Block] = []
        last = (-1, b"")
        for count, (number, octets) in enumerate(saved, 1):
            try:
                block = Block.decode(octets)
            except ValueError:
                whole = False
                continue
            before, last = last, chronological(block.last())
            if last <= before:
                # Nobody writes them so: there is no telling what else is wrong.
                return [], False
            block.saved = number
            blocks.append(block)
            if count % BLOCKS_A_STEP == 0:
                yield
        return blocks, whole

    def _note(self, states: Sequence[State]) -> None:
        self._index.set_note(_FOLDERS, pack_states(states))
        for name in _OLD:
            self._index.set_note(name, b"")

    def _scan(
        self, blocks: Sequence[Block], folders: Iterable[int]
    ) -> Generator[None, None, Changes]:
        changes = Changes()
        for folder in folders:
            known = yield from knowing(blocks, folder)
            careful = self._careful[folder]
            path = self._paths[folder]
            yield from scanning(path, folder, known, careful, changes)
        return changes

    def _merge(
        self, blocks: Sequence[Block], changes: Changes
    ) -> Generator[None, None, list[Block]]:
        """
        Give the blocks with what was found; those that it does not touch are the same.
        """
        merged: list[Block] = []
        found, gone = _Queue(changes.found), _Queue(changes.gone)
        #: Messages too few for a block of their own.
        carried: list[Row] = []
        for count, block in enumerate(blocks, 1):
            last = chronological(block.last())
            new = yield from found.upTo(last)
            old = yield from gone.upTo(last)
            if count == len(blocks) and len(block) < CAPACITY:
                new += found.take(CAPACITY - len(block))
            if not new and not old and not carried:
                merged.append(block)
                continue
            rows = yield from self._apply([*carried, *block.rows()], new, old)
            carried = []
            if len(rows) < CAPACITY // 4 and count < len(blocks):
                carried = rows
            else:
                yield from _packing(rows, merged)
        while new := found.take(CAPACITY):
            rows = yield from self._apply([], new, [])
            yield from _packing(rows, merged)
        return merged

    def _apply(
        self, before: Iterable[Row], new: Sequence[Found], old: Sequence[Found]
    ) -> Generator[None, None, list[Row]]:
        """
        Give the messages of one block with what was found, in their order.
        """
        rows = {row.base: row for row in before}
        fresh: dict[bytes, Row] = {}
        gone = {
            base
            for _, base, folder, flags, _ in old
            # It may have been found elsewhere at an earlier time.
            if (row := rows.get(base)) and (row.folder, row.flags) == (folder, flags)
        }
        for count, found in enumerate(new, 1):
            if count % (STEP // 2) == 0:
                yield
            _, base, folder, flags, _ = found
            row = rows.get(base) or fresh.get(base)
            if row is not None and base not in gone:
                # A message that is being moved may be in both folders: it is one.
                self._isDouble = self._isDouble or row.folder != folder
                if (row.folder, row.flags) > (folder, flags):
                    continue
            looked = self._look(found, row)
            if looked is None:
                continue
            if base in rows:
                rows[base] = looked
                gone.discard(base)
            else:
                fresh[base] = looked
        for base in gone:
            del rows[base]
        if len(rows) > STEP:
            yield
        if not fresh:
            return list(rows.values())
        return list(
            heapq.merge(
                rows.values(), fresh.values(), key=lambda row: chronological(row.base)
            )
        )

    def _look(self, found: Found, row: Row | None) -> Row | None:
        """
        Give the message that was found; None where there is none.
        """
        _, base, folder, flags, inode = found
        if row and row.inode == inode and not self._careful[folder]:
            # It was moved or flagged.
            return row._replace(folder=folder, flags=flags)
        try:
            status = os.lstat(b"%b/%b%b" % (self._paths[folder], base, flags))
        except FileNotFoundError:
            # Renamed once more: where it is known, it will be found when it is opened.
            self._vanished = True
            return row
        if not stat.S_ISREG(status.st_mode):
            return None
        signature = signature_of(status)
        if row and row.signature == signature:
            return row._replace(folder=folder, flags=flags)
        new = Row(base, flags, folder, *signature)
        measured = self._index.remembered(new.base, struct.pack("<QqQ", *signature))
        if measured is None:
            return new
        return new._replace(
            size=measured.size, kind=kind_of(measured), marks=marks_of(measured)
        )


class _Queue:
    """
    What was found, to be taken from the front; all of one message together.
    """

    def __init__(self, names: Names) -> None:
        self._events = iter(names)
        self._next = next(self._events, None)

    def upTo(self, last: tuple[int, bytes]) -> Generator[None, None, list[Found]]:
        some: list[Found] = []
        while self._next is not None and self._next[:2] <= last:
            some.append(self._next)
            self._next = next(self._events, None)
            if len(some) % STEP == 0:
                yield
        return some

    def take(self, count: int) -> list[Found]:
        if self._next is None:
            return []
        some = [self._next, *islice(self._events, count - 1)]
        for event in self._events:
            if event[1] != some[-1][1]:
                self._next = event
                break
            some.append(event)
        else:
            self._next = None
        return some


def _packing(rows: Sequence[Row], blocks: list[Block]) -> Iterator[None]:
    """
    Put rows into blocks that are about equal, so that each has room for more.
    """
    count = -(-len(rows) // CAPACITY)
    for number in range(count):
        begin, end = len(rows) * number // count, len(rows) * (number + 1) // count
        blocks.append(Block(rows[begin:end]))
        if end - begin > STEP:
            yield
