"""
Where a user's mail lies: a path with a place for the user's name in it.
"""

import os
import re
import stat
from io import FileIO

from extretr.errors import UnsafeUser
from extretr.syntax import split_user

_SEQUENCE = re.compile(rb"%(.?)", re.DOTALL)

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PathTemplate:
    """
    A path in which %u stands for the user, %n for the part before @, %d for the domain.
    """

    def __init__(self, path: bytes) -> None:
        """
        Take a path; %% stands for a percent sign.

        Raises:
            ValueError: for any other sequence that begins with %.
        """
        for sequence in _SEQUENCE.finditer(path):
            if sequence[1] not in (b"u", b"n", b"d", b"%"):
                name = sequence[0].decode("utf-8", "replace")
                raise ValueError(f"{name} is none of %u, %n, %d and %%")
        self._path = path

    @property
    def root(self) -> bytes:
        """
        The folder that all paths lie below, or the path itself where it is just one.
        """
        for sequence in _SEQUENCE.finditer(self._path):
            if sequence[1] != b"%":
                fixed = self._path[: sequence.start()].replace(b"%%", b"%")
                slash = b"/" if fixed.startswith(b"/") else b"."
                return fixed.rpartition(b"/")[0] or slash
        return self._path.replace(b"%%", b"%")

    def expand(self, user: bytes) -> bytes:
        """
        Give the path for a user.

        Raises:
            UnsafeUser: where the name must not become part of a path, or lacks the
                domain that %d asks for.
        """
        local, domain = split_user(user)
        parts = {b"u": user, b"n": local, b"d": domain, b"%": b"%"}

        def replace(sequence: "re.Match[bytes]") -> bytes:
            if not parts[sequence[1]]:
                raise UnsafeUser
            return parts[sequence[1]]

        return _SEQUENCE.sub(replace, self._path)


def open_regular(path: bytes) -> FileIO:
    """
    Open a file for reading, never a link, and without waiting for a pipe's other end.

    Raises:
        OSError: where it cannot be opened, or is no regular file.
    """
    file = FileIO(os.open(path, _OPEN))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("not a regular file")
    return file
