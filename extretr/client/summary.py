"""
What is remembered of an account, for those who look without fetching.
"""

import sqlite3
from pathlib import Path
from typing import Any

from extretr.client.journal import damaged
from extretr.client.partial import Partials


def summary(name: str, folder: Path) -> dict[str, Any]:
    """
    Give what is delivered and held of an account, as values that JSON has.

    Raises:
        JournalDamagedError: where the journal cannot be read.
        OSError: where the folder cannot be.
    """
    return {
        "account": name,
        "delivered": _delivered(folder),
        "partials": [
            {
                "unique_id": label.unique_id.decode("ascii", "backslashreplace"),
                "size": label.announced,
                "held": held,
                "begun": label.begun,
            }
            for label, held in Partials(folder / "partials", lambda: 0.0).labels()
            if label.resumable
        ],
    }


def _delivered(folder: Path) -> int:
    path = folder / "journal"
    if not path.exists():
        return 0
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (count,) = database.execute("SELECT count(*) FROM delivered").fetchone()
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        raise damaged(folder, error) from error
    return int(count)
