"""
The file that an index is in: an SQLite database of its owner alone.
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.logger import Logger

from extretr.stores.descriptor import OPEN

_log = Logger()

#: Raised when what is remembered, or how, is another; older files are begun anew.
VERSION = 1

#: Seconds to wait for another process that writes; then nothing is remembered.
PATIENCE = 0.1

#: What SQLite would carry out first, and none of ours: see `connect`.
_JOURNAL = b"-journal"

#: Where an SQLite file counts its transactions, in four octets.
_COUNTER = 24

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages
    (key BLOB PRIMARY KEY, signature BLOB, data BLOB, checksum INTEGER);
CREATE TABLE IF NOT EXISTS notes
    (name BLOB PRIMARY KEY, value BLOB, checksum INTEGER);
CREATE TABLE IF NOT EXISTS blocks
    (number INTEGER PRIMARY KEY, value BLOB);
"""


def begun(path: bytes) -> sqlite3.Connection:
    """
    Open the file for writing, with all that must be in it.
    """
    # sqlite would make the file with the umask's mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    database = connect(path)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            database.executescript(
                "DROP TABLE IF EXISTS messages; DROP TABLE IF EXISTS notes;"
                "DROP TABLE IF EXISTS blocks;"
            )
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def minding(path: bytes, lost: Callable[[], object]) -> Iterator[None]:
    """
    Log what fails; a corrupt file is removed, and *lost* called.
    """
    try:
        yield
    except sqlite3.OperationalError:
        # Locked by another, or the disk is full: there is a next time.
        _log.failure("the index cannot be read or written")
    except (sqlite3.Error, OverflowError, UnicodeDecodeError):
        _log.failure("the index is corrupt and begun anew")
        remove(path)
        lost()
    except OSError:
        _log.failure("the index cannot be written")


def remove(path: bytes) -> None:
    """
    Remove the file and what lies beside it, if that can be done.
    """
    for each in (path + _JOURNAL, path):
        try:
            os.unlink(each)
        except FileNotFoundError:
            pass
        except OSError:
            _log.failure("the index cannot be removed")


def opened(path: bytes) -> sqlite3.Connection:
    """
    Open the file for reading.

    Raises:
        sqlite3.DatabaseError: where somebody else has laid it, or a journal, there: to
            read it would be to run what it says, and that may never end.
    """
    status = os.lstat(path)
    ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not ours or os.path.lexists(path + _JOURNAL):
        raise sqlite3.DatabaseError("not ours")
    return sqlite3.connect(os.fsdecode(path), timeout=PATIENCE)


def transactions(path: bytes) -> bytes:
    """
    Give the number of transactions that have changed the file; nothing where it has no
    such number.

    No connection of this process may be at work on the file: it would lose its lock, as
    POSIX has it, when the file is closed here.
    """
    try:
        descriptor = os.open(path, OPEN)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, 4, _COUNTER)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def connect(path: bytes) -> sqlite3.Connection:
    """
    Open the file for writing.
    """
    database = opened(path)
    # A cache needs no safety from crashes, and leaves no files beside it.
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA journal_mode = MEMORY")
    return database
