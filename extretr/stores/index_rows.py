"""
The rows of messages and of notes in the file of an index, each with its checksum.
"""

import sqlite3
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from extretr.stores.index_blocks import BLOCKS, BLOCKS_A_STEP, Saved, fetched, named
from extretr.stores.index_file import VERSION
from extretr.stores.recent import MOST_OF_ONE

#: Octets of a row of a message, at least.
_ROW = 32

#: Signature, octets of what was measured, checksum.
Message = tuple[bytes, bytes, int]

#: Messages and notes by their names, and the blocks where they are few.
All = tuple[dict[bytes, Message], dict[bytes, bytes], list[tuple[Saved, bytes]] | None]


def read_all(database: sqlite3.Connection) -> All | None:
    """
    Give all that is in a file, None where it is of another version.
    """
    if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        return None
    messages = {
        key: (signature, data, crc)
        for key, signature, data, crc in database.execute(
            "SELECT key, signature, data, checksum FROM messages"
        )
        if isinstance(key, bytes)
        and isinstance(signature, bytes)
        and isinstance(data, bytes)
        and isinstance(crc, int)
    }
    notes = whole_notes(database.execute("SELECT name, value, checksum FROM notes"))
    wanted = named(notes) or []
    few = len(wanted) <= BLOCKS_A_STEP
    return messages, notes, fetched(database, wanted) if few else None


def are_little(messages: Any, notes: Any, blocks: Any) -> bool:
    """
    Tell whether all may be so little that it is kept: else to pack it is for nothing.
    """
    octets = sum(len(octets) for _, octets in blocks or ())
    return len(messages) * _ROW + octets <= MOST_OF_ONE


def write(
    database: sqlite3.Connection,
    messages: Mapping[bytes, Message],
    keys: Collection[bytes],
    notes: Mapping[bytes, bytes],
    names: Collection[bytes],
) -> None:
    """
    Write messages and notes of these names, and remove those that are not there.

    The checksum of a note is also one of the list of blocks that it goes with.
    """
    database.executemany(
        "REPLACE INTO messages VALUES (?, ?, ?, ?)",
        ((key, *messages[key]) for key in keys if key in messages),
    )
    database.executemany(
        "DELETE FROM messages WHERE key = ?",
        ((key,) for key in keys if key not in messages),
    )
    head = notes.get(BLOCKS, b"")
    for name in names:
        if name in notes:
            row = name, notes[name], _checksum_of_note(name, notes[name], head)
            database.execute("REPLACE INTO notes VALUES (?, ?, ?)", row)
        else:
            database.execute("DELETE FROM notes WHERE name = ?", (name,))


def whole_notes(rows: Iterable[tuple[Any, Any, Any]]) -> dict[bytes, bytes]:
    """
    Give the notes that are as they were written, by their names.
    """
    found = {
        name: (value, crc)
        for name, value, crc in rows
        if isinstance(name, bytes) and isinstance(value, bytes)
    }
    head, _ = found.get(BLOCKS, (b"", 0))
    return {
        name: value
        for name, (value, crc) in found.items()
        if _checksum_of_note(name, value, head) == crc
    }


def _checksum_of_note(name: bytes, value: bytes, head: bytes) -> int:
    # Pages of the file may be of two writings; notes tell of the blocks of one.
    own = name == BLOCKS or not head
    return checksum(name, value) if own else checksum(name, value, head)


def checksum(*parts: bytes) -> int:
    """
    Give the checksum of a row.
    """
    value = 0
    for part in parts:
        value = zlib.crc32(part, zlib.crc32(struct.pack("<Q", len(part)), value))
    return value
