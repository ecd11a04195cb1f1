"""
What a store remembers between sessions: measured messages, and notes of its own.

It is a cache and nothing more.  Each row carries a checksum; a row, or a file, that
is not what was written counts as not there, and costs the time to measure again.
"""

import marshal
import sqlite3
from array import array
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from types import MappingProxyType
from typing import Any

from twisted.logger import Logger

from extretr.offsets import Measured
from extretr.stores.index_blocks import (
    BLOCKS,
    BLOCKS_A_STEP,
    Encodable,
    Saved,
    delete,
    fetched,
    head_of,
    inserted,
    named,
    take,
)
from extretr.stores.index_file import begun, connect, minding, opened, transactions
from extretr.stores.index_rows import are_little, checksum, read_all, write
from extretr.stores.packing import pack, unpack
from extretr.stores.recent import Kept, Recent

#: What is empty in most sessions, for all of them.
NONE: Any = MappingProxyType({})

#: Of all indexes of this process.  It may be behind: what is remembered of a message,
#: or noted, says itself of what state of things it is.
_recent = Recent(transactions)


class Index:
    """
    The index of one maildrop.
    """

    # There are thousands of them.
    __slots__ = (
        "_asKept",
        "_dirty",
        "_dirty_notes",
        "_kept",
        "_lost",
        "_messages",
        "_notes",
        "_packed",
        "_path",
        "_read",
    )

    _log = Logger()

    def __init__(self, path: bytes | None) -> None:
        """
        Args:
            path: the file; None remembers for this session only.
        """
        self._path = path
        self._messages: dict[bytes, tuple[bytes, bytes, int]] = NONE
        self._notes: dict[bytes, bytes] = {}
        # As keys of a dictionary: an empty one is 150 octets less than an empty set.
        self._dirty: dict[bytes, None] = NONE
        self._dirty_notes: dict[bytes, None] = {}
        #: Notes and which of them are dirty, while these rest.
        self._packed: bytes | None = None
        #: Blocks that were read with all else: the few that most maildrops have.
        self._read: list[tuple[Saved, bytes]] | None = None
        #: Whether the file is gone, and all blocks with it.
        self._lost = False
        #: What this process keeps of the file, until all rests.
        self._kept: Kept | None = None
        #: Whether all is as it is kept: nobody has asked for a note since.
        self._asKept = False
        if path is not None:
            self._load(path)

    def remembered(self, key: bytes, signature: bytes) -> Measured | None:
        """
        Give what was measured of a message, if its signature is still the same.
        """
        row = self._messages.get(key)
        if row is None or row[0] != signature:
            return None
        signature, data, crc = row
        if checksum(key, signature, data) != crc:
            return None
        return unpack(data)

    def remember(self, key: bytes, signature: bytes, measured: Measured) -> None:
        """
        Remember what was measured of a message.
        """
        data = pack(measured)
        self._messages = self._messages or {}
        self._messages[key] = signature, data, checksum(key, signature, data)
        self._isDirty(key)

    def forget(self, key: bytes) -> None:
        """
        Forget a message that was found to be another, and all notes with it.
        """
        self._wake()
        if key in self._messages:
            del self._messages[key]
            self._isDirty(key)
        self._dirty_notes.update(dict.fromkeys(self._notes))
        self._notes.clear()

    def note(self, name: bytes) -> bytes | None:
        """
        Give a note of the store, None where there is none.
        """
        self._wake()
        return self._notes.get(name)

    def set_note(self, name: bytes, value: bytes) -> None:
        """
        Keep a note of the store; an empty one is none.
        """
        self._wake()
        if self._notes.get(name, b"") != value:
            self._notes[name] = value
            self._dirty_notes[name] = None

    def keep_only(self, keys: Collection[bytes]) -> None:
        """
        Forget the messages whose keys are not among these.
        """
        for key in self._messages.keys() - set(keys):
            del self._messages[key]
            self._isDirty(key)

    def keep(self, listing: Callable[[], Any]) -> None:
        """
        Keep in memory what a store has made of all this, while the file is the same.

        That is where it is little, all is saved, and there are blocks only.  From then
        on all rests.

        Args:
            listing: gives an int, octets, and tuples and lists of these.
        """
        kept, path = self._kept, self._path
        if path is None or kept is None or kept.packed is None or kept.listed:
            return
        if self._messages or self._dirty or self._dirty_notes:
            return
        listed = marshal.dumps(listing())
        _recent.keep(path, kept, self.rest(), listed)
        self._asKept = True

    def recall(self) -> Any:
        """
        Give what was kept so: a copy, and None where there is none or all rests.
        """
        kept = self._kept
        return marshal.loads(kept.listed) if kept and kept.listed else None

    def rest(self) -> bytes:
        """
        Have the notes packed until they are asked for, which may be at the end only.
        """
        self._kept = None
        if self._packed is None:
            self._packed = marshal.dumps((self._notes, self._dirty_notes))
            self._notes = self._dirty_notes = NONE
        return self._packed

    def _wake(self) -> None:
        if self._packed is not None:
            self._notes, self._dirty_notes = marshal.loads(self._packed)
            self._packed = None
            self._asKept = False

    def _isDirty(self, key: bytes) -> None:
        self._dirty = self._dirty or {}
        self._dirty[key] = None

    def save(self) -> None:
        """
        Write what has changed; where that fails it is logged, and nothing is lost.
        """
        self._wake()
        if self._path is None or not (self._dirty or self._dirty_notes):
            return
        with self._minding(self._path):
            self._write(self._path)

    def blocks(self) -> Generator[None, None, tuple[list[tuple[Saved, bytes]], bool]]:
        """
        Read the blocks that were saved, in steps.

        Returns:
            Each that is as it was written, in their order, with what it is kept by; and
            whether these are all.
        """
        self._wake()
        wanted = named(self._notes)
        found, self._read = self._read, None
        if found is None or self._path is None:
            found = []
            if wanted and self._path is not None:
                with self._minding(self._path), closing(opened(self._path)) as data:
                    for begin in range(0, len(wanted), BLOCKS_A_STEP):
                        some = wanted[begin : begin + BLOCKS_A_STEP]
                        found += fetched(data, some)
                        yield
        # That nobody knows which there are is not that there are none.
        return found, wanted is not None and len(found) == len(wanted)

    def is_saved(self, blocks: Sequence[Encodable]) -> bool:
        """
        Tell whether there is nothing to save; false where it takes long to find out.

        Args:
            blocks: those that were kept, and no others.
        """
        saved = self._asKept and not self._dirty
        for block in blocks:
            saved = saved and block.saved is not None
        return saved

    def unsaved(self, blocks: Sequence[Encodable]) -> list[Encodable]:
        """
        Give the blocks that `saving` has to write.
        """
        return [block for block in blocks if self._lost or block.saved is None]

    def saving(self, blocks: Sequence[Encodable]) -> Iterator[None]:
        """
        Write what has changed, in steps; *blocks* are then all that there are.
        """
        path = self._path
        if path is None:
            return
        self._wake()
        fresh = self.unsaved(blocks)
        if self._lost:
            for block in blocks:
                block.saved = None
            self._lost = False
        while len(fresh) > BLOCKS_A_STEP:
            with self._minding(path):
                with closing(begun(path)) as database, database:
                    added = inserted(database, fresh[:BLOCKS_A_STEP])
                take(added)
            yield
            before, fresh = len(fresh), self.unsaved(blocks)
            if len(fresh) >= before:
                # It failed: there is a next time.
                return
        left: list[tuple[int]] = []
        with self._minding(path):
            left = self._replace(path, blocks, fresh)
        while left:
            yield
            some, left = left[:BLOCKS_A_STEP], left[BLOCKS_A_STEP:]
            with self._minding(path), closing(connect(path)) as database, database:
                delete(database, some)

    def _replace(
        self, path: bytes, blocks: Sequence[Encodable], fresh: Sequence[Encodable]
    ) -> list[tuple[int]]:
        """
        Let these blocks be what there is; give the numbers that are yet to be removed.
        """
        changed = fresh or self._dirty or self._dirty_notes
        if not changed and head_of(blocks, {}) == self._notes.get(BLOCKS, b""):
            return []
        # Notes tell of the blocks: those that another session has written meanwhile do
        # not belong to ours, nor ours to its blocks.
        self._dirty_notes.update(dict.fromkeys((*self._notes, BLOCKS)))
        with closing(begun(path)) as database, database:
            added = inserted(database, fresh)
            head = head_of(blocks, dict(added))
            self._write_dirty(database, {**self._notes, BLOCKS: head})
            kept = set(array("Q", head)[::2])
            found = database.execute("SELECT number FROM blocks").fetchall()
            left = [row for row in found if row[0] not in kept]
            delete(database, left[:BLOCKS_A_STEP])
        take(added)
        self._clean()
        self._notes[BLOCKS] = head
        return left[BLOCKS_A_STEP:]

    def _minding(self, path: bytes) -> AbstractContextManager[None]:
        return minding(path, self._lose)

    def _lose(self) -> None:
        self._lost = True

    def _load(self, path: bytes) -> None:
        try:
            kept = _recent.look(path)
        except FileNotFoundError:
            return
        except OSError:
            self._log.failure("the index cannot be read")
            return
        if kept.listed:
            self._packed, self._notes, self._dirty_notes = kept.packed, NONE, NONE
            self._kept, self._asKept = kept, True
            return
        if kept.packed is not None:
            loaded = marshal.loads(kept.packed)
        else:
            loaded = self._readAll(path)
            if loaded is None:
                return
            if are_little(*loaded):
                _recent.keep(path, kept, marshal.dumps(loaded))
        messages, self._notes, self._read = loaded
        self._messages = messages or NONE
        self._kept = kept

    def _readAll(self, path: bytes) -> Any:
        """
        Give messages, notes and, where they are few, blocks; None where it cannot be.
        """
        with self._minding(path), closing(opened(path)) as database:
            return read_all(database)
        return None

    def _write(self, path: bytes) -> None:
        with closing(begun(path)) as database, database:
            self._write_dirty(database, self._notes)
        self._clean()

    def _write_dirty(
        self, database: sqlite3.Connection, notes: dict[bytes, bytes]
    ) -> None:
        write(database, self._messages, self._dirty, notes, self._dirty_notes)

    def _clean(self) -> None:
        self._dirty = NONE
        self._dirty_notes.clear()
