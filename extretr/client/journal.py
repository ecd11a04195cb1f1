"""
The fetch journal: what one account has delivered, and what it was about to.

It is an SQLite file in the account's folder, beside the partials.  What it says it has
on the disk before it returns.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from extretr.client.partial import Partials
from extretr.client.places import make_folder
from extretr.errors import ExtRetrError

#: Days for which a message is remembered that the server no longer lists: a server
#: that shows an empty maildrop once would else have everything fetched twice.
REMEMBERED_DAYS = 30

#: All of a message was delivered; its header alone; nothing, since it is not wanted.
WHOLE, HEADER, FILTERED = "whole", "header", "filtered"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivered (
    unique_id BLOB PRIMARY KEY,
    delivered REAL NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    gone REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent (
    unique_id BLOB PRIMARY KEY,
    target TEXT NOT NULL,
    intent TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
"""


class AlreadyRunningError(ExtRetrError):
    """
    Another run fetches for this account.
    """


class JournalDamagedError(ExtRetrError):
    """
    The fetch journal cannot be read.
    """


class Delivered(NamedTuple):
    """
    A message that is done with.
    """

    #: Seconds since the epoch.
    time: float
    #: What of it: see `WHOLE`, `HEADER` and `FILTERED`.
    kind: str
    #: Octets, as the server's list had them.
    size: int = 0
    #: Whether it was gone from the server when that was last looked at.
    gone: bool = False


class Done(NamedTuple):
    """
    A message that has just been done with.
    """

    unique_id: bytes
    kind: str
    size: int = 0


@dataclass(frozen=True)
class Intent:
    """
    A message that was about to be delivered.
    """

    unique_id: bytes
    #: Where to, in the words of the configuration.
    target: str
    #: What the target has to know to find out whether it was.
    intent: dict[str, Any]
    kind: str = WHOLE
    #: Octets, as the server's list had them.
    size: int = 0

    @property
    def done(self) -> Done:
        """
        The message, once it is delivered.
        """
        return Done(self.unique_id, self.kind, self.size)


class Journal:
    """
    The journal of one account, for one run at a time.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        """
        Open the journal, and lock it against other runs.

        Args:
            folder: the account's, made where it is not there.
            now: the time, in seconds since the epoch.

        Raises:
            AlreadyRunningError: where another run has it.
            JournalDamagedError: where it cannot be read.
            OSError: where the folder cannot be written.
        """
        self.folder = folder
        self._now = now
        make_folder(folder)
        self._lock = lock_account(folder)
        self.partials = Partials(folder / "partials", now)
        try:
            self._database = _open(folder / "journal")
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Let another run have it.
        """
        if self._lock >= 0:
            self._database.close()
            os.close(self._lock)
            self._lock = -1

    def delivered(self) -> dict[bytes, Delivered]:
        """
        Give what was delivered, by unique-id.
        """
        rows = self._rows(
            "SELECT unique_id, delivered, kind, size, gone IS NOT NULL FROM delivered"
        )
        return {
            unique_id: Delivered(time, kind, size, bool(gone))
            for unique_id, time, kind, size, gone in rows
        }

    def intents(self) -> list[Intent]:
        """
        Give what was about to be delivered when an earlier run ended.
        """
        rows = self._rows("SELECT unique_id, target, intent, kind, size FROM intent")
        return [
            Intent(unique_id, target, json.loads(intent), kind, size)
            for unique_id, target, intent, kind, size in rows
        ]

    def intend(self, intents: Iterable[Intent]) -> None:
        """
        Write down what is about to be delivered.

        Raises:
            OSError: where that fails.
        """
        rows = [
            (one.unique_id, one.target, json.dumps(one.intent), one.kind, one.size)
            for one in intents
        ]
        with self._changing() as database:
            database.executemany("REPLACE INTO intent VALUES (?, ?, ?, ?, ?)", rows)

    def settle(self, delivered: Sequence[Done], undelivered: Iterable[bytes]) -> None:
        """
        Write down what was delivered, and what was not.

        Raises:
            OSError: where that fails.
        """
        now = self._now()
        done = [(one.unique_id, now, one.kind, one.size) for one in delivered]
        over = [(one.unique_id,) for one in delivered]
        over += [(unique_id,) for unique_id in undelivered]
        with self._changing() as database:
            database.executemany(
                "REPLACE INTO delivered VALUES (?, ?, ?, ?, NULL)", done
            )
            database.executemany("DELETE FROM intent WHERE unique_id = ?", over)

    def deleted(self, unique_ids: Iterable[bytes]) -> None:
        """
        Write down what the server says that it has deleted.

        Raises:
            OSError: where that fails.
        """
        now = self._now()
        with self._changing() as database:
            database.executemany(
                "UPDATE delivered SET gone = ? WHERE unique_id = ?",
                [(now, unique_id) for unique_id in unique_ids],
            )

    def listed(self, unique_ids: Collection[bytes]) -> None:
        """
        Take the server's list, and forget what it has not had for a long time.

        Raises:
            OSError: where that fails.
        """
        now = self._now()
        there = unique_ids if isinstance(unique_ids, set) else set(unique_ids)
        rows = self._rows("SELECT unique_id, gone FROM delivered")
        gone = [(now, one) for one, since in rows if since is None and one not in there]
        back = [(one,) for one, since in rows if since is not None and one in there]
        limit = now - REMEMBERED_DAYS * 86400
        over = any(since is not None and since < limit for _, since in rows)
        if not (gone or back or over):
            return
        with self._changing() as database:
            database.executemany(
                "UPDATE delivered SET gone = ? WHERE unique_id = ?", gone
            )
            database.executemany(
                "UPDATE delivered SET gone = NULL WHERE unique_id = ?", back
            )
            database.execute("DELETE FROM delivered WHERE gone < ?", (limit,))

    def _rows(self, query: str) -> list[Any]:
        try:
            return self._database.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            raise damaged(self.folder, error) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database:
                yield self._database
        except sqlite3.OperationalError as error:
            # A full disk, mostly.
            raise OSError(f"the fetch journal cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise damaged(self.folder, error) from error


def lock_account(folder: Path) -> int:
    """
    Take the lock of an account; to close the descriptor is to release it.

    Raises:
        AlreadyRunningError: where another has it.
        OSError: where it cannot be taken.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunningError(
            "another run fetches for this account just now"
        ) from None
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    # SQLite would make it readable for all.
    os.close(os.open(path, flags, 0o600))
    try:
        database = sqlite3.connect(path, check_same_thread=False)
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            text = f"the fetch journal cannot be written: {error}"
            raise OSError(text) from error
        raise damaged(path.parent, error) from error
    return database


def damaged(folder: Path, error: Exception) -> JournalDamagedError:
    """
    Give the exception for a journal that cannot be read.
    """
    return JournalDamagedError(
        f"the fetch journal {folder / 'journal'} cannot be read ({error}); where it is "
        "moved away, mail that is still on the server is fetched once more"
    )
