"""
What was read lately of small files that have not changed since.

To open an SQLite file and read a few rows takes longer than all else of a login to a
maildrop with little mail, and most logins find it as the one before has left it.
"""

import marshal
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from extretr.stores.descriptor import state_of
from extretr.stores.settled import is_settled

#: Octets of one file's contents, and of all together, at most.
MOST_OF_ONE = 4096
MOST_OF_ALL = 2 * 1024 * 1024


class Recent:
    """
    The contents of files, in the process's memory, as long as they are the same.

    They are kept packed, as whoever reads them gets a copy: an int, octets, and tuples
    and dictionaries of these.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """
        Args:
            wall: the time that the file system's time stamps are made by.
        """
        self._wall = wall
        self._kept: OrderedDict[bytes, tuple[Hashable, bytes]] = OrderedDict()
        self._octets = 0

    def get(self, path: bytes, read: Callable[[], Any]) -> Any:
        """
        Give what is in a file that is there, by *read* where that is not known.

        What is false is not kept.

        Raises:
            OSError: where it cannot be looked at.
        """
        status = os.stat(path)
        signature = state_of(status)
        kept = self._kept.get(path)
        if kept is not None:
            if kept[0] == signature:
                self._kept.move_to_end(path)
                return marshal.loads(kept[1])
            self._drop(path)
        found = read()
        times = status.st_mtime_ns, status.st_ctime_ns
        if found and is_settled(*times, self._wall()):
            self._keep(path, signature, marshal.dumps(found))
        return found

    def _keep(self, path: bytes, signature: Hashable, packed: bytes) -> None:
        if len(packed) > MOST_OF_ONE:
            return
        self._kept[path] = signature, packed
        self._octets += len(packed)
        while self._octets > MOST_OF_ALL:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: bytes) -> None:
        _, packed = self._kept.pop(path)
        self._octets -= len(packed)
