"""
What a store remembers between sessions: measured messages, and notes of its own.

It is a cache and nothing more.  Each row carries a checksum; a row, or a file, that
is not what was written counts as not there, and costs the time to measure again.
"""

import os
import sqlite3
import struct
import zlib
from array import array
from collections.abc import Collection
from contextlib import closing

from twisted.logger import Logger

from extretr.offsets import Measured
from extretr.stores.recent import Recent

#: Raised when what is remembered, or how, is another; older files are begun anew.
VERSION = 1

#: Seconds to wait for another process that writes; then nothing is remembered.
PATIENCE = 0.1

_SIZES = struct.Struct("<QQ??I")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages
    (key BLOB PRIMARY KEY, signature BLOB, data BLOB, checksum INTEGER);
CREATE TABLE IF NOT EXISTS notes
    (name BLOB PRIMARY KEY, value BLOB, checksum INTEGER);
"""


#: Of all indexes of this process.  It may be behind: what is remembered of a message,
#: or noted, says itself of what state of things it is.
_recent = Recent()


class Index:
    """
    The index of one maildrop.
    """

    _log = Logger()

    def __init__(self, path: bytes | None) -> None:
        """
        Args:
            path: the file; None remembers for this session only.
        """
        self._path = path
        self._messages: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._notes: dict[bytes, bytes] = {}
        # As keys of a dictionary: an empty one is 150 octets less than an empty set.
        self._dirty: dict[bytes, None] = {}
        self._dirty_notes: dict[bytes, None] = {}
        if path is not None:
            self._load(path)

    def remembered(self, key: bytes, signature: bytes) -> Measured | None:
        """
        Give what was measured of a message, if its signature is still the same.
        """
        row = self._messages.get(key)
        if row is None or row[0] != signature:
            return None
        signature, data, checksum = row
        if _checksum(key, signature, data) != checksum:
            return None
        return _unpack(data)

    def remember(self, key: bytes, signature: bytes, measured: Measured) -> None:
        """
        Remember what was measured of a message.
        """
        data = _pack(measured)
        self._messages[key] = signature, data, _checksum(key, signature, data)
        self._dirty[key] = None

    def forget(self, key: bytes) -> None:
        """
        Forget a message that was found to be another, and all notes with it.
        """
        if self._messages.pop(key, None) is not None:
            self._dirty[key] = None
        self._dirty_notes.update(dict.fromkeys(self._notes))
        self._notes.clear()

    def note(self, name: bytes) -> bytes | None:
        """
        Give a note of the store, None where there is none.
        """
        return self._notes.get(name)

    def set_note(self, name: bytes, value: bytes) -> None:
        """
        Keep a note of the store; an empty one is none.
        """
        if self._notes.get(name, b"") != value:
            self._notes[name] = value
            self._dirty_notes[name] = None

    def keep_only(self, keys: Collection[bytes]) -> None:
        """
        Forget the messages whose keys are not among these.
        """
        for key in self._messages.keys() - set(keys):
            del self._messages[key]
            self._dirty[key] = None

    def save(self) -> None:
        """
        Write what has changed; where that fails it is logged, and nothing is lost.
        """
        if self._path is None or not (self._dirty or self._dirty_notes):
            return
        try:
            self._write(self._path)
        except sqlite3.OperationalError:
            # Locked by another, or the disk is full: there is a next time.
            self._log.failure("the index cannot be written")
        except sqlite3.Error:
            self._log.failure("the index is corrupt and begun anew")
            self._remove(self._path)
        except OSError:
            self._log.failure("the index cannot be written")

    def _load(self, path: bytes) -> None:
        try:
            loaded = _recent.get(path, lambda: self._read(path))
        except FileNotFoundError:
            return
        except OSError:
            self._log.failure("the index cannot be read")
            return
        if loaded is not None:
            self._messages, self._notes = loaded

    def _read(
        self, path: bytes
    ) -> tuple[dict[bytes, tuple[bytes, bytes, int]], dict[bytes, bytes]] | None:
        try:
            with closing(_connect(path)) as database:
                if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    return None
                messages = {
                    key: (signature, data, checksum)
                    for key, signature, data, checksum in database.execute(
                        "SELECT key, signature, data, checksum FROM messages"
                    )
                    if isinstance(key, bytes)
                    and isinstance(signature, bytes)
                    and isinstance(data, bytes)
                    and isinstance(checksum, int)
                }
                notes = {
                    name: value
                    for name, value, checksum in database.execute(
                        "SELECT name, value, checksum FROM notes"
                    )
                    if isinstance(name, bytes)
                    and isinstance(value, bytes)
                    and _checksum(name, value) == checksum
                }
                return messages, notes
        except sqlite3.OperationalError:
            self._log.failure("the index cannot be read")
        except (sqlite3.Error, OverflowError, UnicodeDecodeError):
            self._log.failure("the index is corrupt and begun anew")
            self._remove(path)
        return None

    def _write(self, path: bytes) -> None:
        # sqlite would make the file with the umask's mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        with closing(_connect(path)) as database, database:
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                database.executescript(
                    "DROP TABLE IF EXISTS messages; DROP TABLE IF EXISTS notes;"
                )
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.executemany(
                "REPLACE INTO messages VALUES (?, ?, ?, ?)",
                (
                    (key, *self._messages[key])
                    for key in self._dirty
                    if key in self._messages
                ),
            )
            database.executemany(
                "DELETE FROM messages WHERE key = ?",
                ((key,) for key in self._dirty if key not in self._messages),
            )
            database.executemany(
                "REPLACE INTO notes VALUES (?, ?, ?)",
                (
                    (name, self._notes[name], _checksum(name, self._notes[name]))
                    for name in self._dirty_notes
                    if name in self._notes
                ),
            )
            database.executemany(
                "DELETE FROM notes WHERE name = ?",
                ((name,) for name in self._dirty_notes if name not in self._notes),
            )
        self._dirty.clear()
        self._dirty_notes.clear()

    def _remove(self, path: bytes) -> None:
        try:
            os.unlink(path)
        except OSError:
            self._log.failure("the index cannot be removed")


def _connect(path: bytes) -> sqlite3.Connection:
    database = sqlite3.connect(os.fsdecode(path), timeout=PATIENCE)
    # A cache needs no safety from crashes, and leaves no files beside it.
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA journal_mode = MEMORY")
    return database


def _checksum(*parts: bytes) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part, zlib.crc32(struct.pack("<Q", len(part)), value))
    return value


def _pack(measured: Measured) -> bytes:
    sizes = _SIZES.pack(
        measured.size,
        measured.stored_size,
        measured.identical,
        measured.dotted,
        len(measured.stored_marks),
    )
    if not measured.stored_marks:
        return sizes
    marks = array("Q", (*measured.stored_marks, *measured.offset_marks))
    return sizes + marks.tobytes()


def _unpack(data: bytes) -> Measured | None:
    if len(data) < _SIZES.size:
        return None
    size, stored_size, identical, dotted, count = _SIZES.unpack_from(data)
    if len(data) != _SIZES.size + 16 * count:
        return None
    marks = array("Q", data[_SIZES.size :])
    return Measured(size, stored_size, identical, dotted, marks[:count], marks[count:])
