"""
Blocks of messages, as they are in the file of an index.

Stores of many messages keep them so, each block a row, read and written in steps.
A block is never overwritten: a changed one is written anew, and the note that names
the blocks, with their checksums, changes last; all other notes are written with it,
and count beside no other.  So whoever writes meanwhile, and wherever writing is cut
off, what is read belongs together.
"""

import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol

#: Blocks that are read or written in one step, which is a millisecond or two.
BLOCKS_A_STEP = 8

#: The note that names the blocks.
BLOCKS = b"blocks"

#: The number of a block in the file, and its checksum.
Saved = tuple[int, int]


class Encodable(Protocol):
    """
    A block of messages, as a store has it.
    """

    #: What it is kept by; None while it is not as it was saved.
    saved: Saved | None

    def encode(self) -> bytes:
        """
        Give its octets.
        """


def head_of(blocks: Sequence[Encodable], added: dict[Encodable, Saved]) -> bytes:
    """
    Give the note that names the blocks.
    """
    fields = array("Q")
    for block in blocks:
        fields.extend(added.get(block) or block.saved or ())
    return fields.tobytes()


def named(notes: dict[bytes, bytes]) -> list[Saved] | None:
    """
    Give the blocks that the note names, None where there is no such note.
    """
    head = notes.get(BLOCKS)
    if head is None or len(head) % 16:
        return None
    fields = array("Q", head)
    if len(set(fields[::2])) * 16 < len(head):
        # Nobody writes it so: a small file would fill the memory.
        return None
    return list(zip(fields[::2], fields[1::2], strict=True))


def take(added: Iterable[tuple[Encodable, Saved]]) -> None:
    """
    Tell blocks what they are kept by.
    """
    for block, saved in added:
        block.saved = saved


def fetched(
    database: sqlite3.Connection, wanted: Sequence[Saved]
) -> list[tuple[Saved, bytes]]:
    """
    Read blocks: those that are as they were written.
    """
    found = []
    for saved in wanted:
        for (octets,) in database.execute(
            "SELECT value FROM blocks WHERE number = ?", saved[:1]
        ).fetchall():
            if isinstance(octets, bytes) and zlib.crc32(octets) == saved[1]:
                found.append((saved, octets))
    return found


def inserted(
    database: sqlite3.Connection, blocks: Sequence[Encodable]
) -> list[tuple[Encodable, Saved]]:
    """
    Write blocks; give the number and the checksum of each.
    """
    added = []
    for block in blocks:
        octets = block.encode()
        cursor = database.execute("INSERT INTO blocks (value) VALUES (?)", (octets,))
        added.append((block, (cursor.lastrowid or 0, zlib.crc32(octets))))
    return added


def delete(database: sqlite3.Connection, numbers: Sequence[tuple[int]]) -> None:
    """
    Remove blocks.
    """
    database.executemany("DELETE FROM blocks WHERE number = ?", numbers)
