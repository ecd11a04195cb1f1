"""
What was read lately of small files that have not changed since.

To open an SQLite file and read a few rows takes longer than all else of a login to a
maildrop with little mail, and most logins find it as the one before has left it.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable

from extretr.stores.descriptor import state_of
from extretr.stores.settled import is_settled

#: Octets of one file's contents, and of all that is kept, at most.
MOST_OF_ONE = 4096
MOST_OF_ALL = 4 * 1024 * 1024

#: Octets that one takes besides its contents.
BESIDES = 560


class Kept:
    """
    What is known of a file in one state of it; it is packed, so nobody can change it.
    """

    __slots__ = ("changes", "listed", "packed", "state")

    def __init__(self, state: tuple[int, ...], changes: bytes | None) -> None:
        self.state = state
        #: How often it had changed, where the state alone does not tell whether it has
        #: since; empty where nothing does.
        self.changes = changes
        #: What is in the file, None where that is not known.
        self.packed: bytes | None = None
        #: What was made of it, where anything was.
        self.listed: bytes | None = None


class Recent:
    """
    The contents of files, in the process's memory, as long as they are the same.
    """

    def __init__(
        self,
        changes: Callable[[bytes], bytes],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            changes: gives what is another after each change of a file, also where its
                times are the same; nothing where there is no telling.
            wall: the time that the file system's time stamps are made by.
        """
        self._changes = changes
        self._wall = wall
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._octets = 0

    def look(self, path: bytes) -> Kept:
        """
        Give what is known of a file that is there.

        Where that is nothing, whoever reads the file then gives it to `keep`: what
        changes meanwhile shows at the next look.

        Raises:
            OSError: where it cannot be looked at.
        """
        status = os.stat(path)
        state = state_of(status)
        kept = self._kept.get(path)
        if kept is not None:
            if kept.state == state and (
                kept.changes is None or self._isUnchanged(path, kept, status)
            ):
                self._kept.move_to_end(path)
                return kept
            self._drop(path)
        settled = is_settled(status.st_mtime_ns, status.st_ctime_ns, self._wall())
        return Kept(state, None if settled else self._changes(path))

    def keep(
        self, path: bytes, kept: Kept, packed: bytes, listed: bytes | None = None
    ) -> None:
        """
        Keep what `look` gave, with the contents of the file.

        Args:
            path: the file.
            kept: filled, where there is room for it.
            packed: what is in the file, as it was read since.
            listed: what was made of that.
        """
        octets = len(packed) + len(listed or b"")
        if octets > MOST_OF_ONE or kept.changes == b"":
            return
        if path in self._kept:
            self._drop(path)
        kept.packed, kept.listed = packed, listed
        self._kept[path] = kept
        self._octets += octets + BESIDES
        while self._octets > MOST_OF_ALL:
            self._drop(next(iter(self._kept)))

    def _isUnchanged(self, path: bytes, kept: Kept, status: os.stat_result) -> bool:
        """
        Tell whether a file is the same that was read before its state was settled.
        """
        settled = is_settled(status.st_mtime_ns, status.st_ctime_ns, self._wall())
        if self._changes(path) != kept.changes:
            return False
        if settled:
            # What comes now has another time.
            kept.changes = None
        return True

    def _drop(self, path: bytes) -> None:
        kept = self._kept.pop(path)
        self._octets -= len(kept.packed or b"") + len(kept.listed or b"") + BESIDES
