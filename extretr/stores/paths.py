"""
Where a user's mail lies: a path with a place for the user's name in it.
"""

import re

from extretr.errors import UnsafeUser
from extretr.syntax import split_user

_SEQUENCE = re.compile(rb"%(.?)", re.DOTALL)


class PathTemplate:
    """
    A path in which %u stands for the user, %n for the part before @, %d for the domain.
    """

    def __init__(self, path: bytes) -> None:
        """
        Take a path; %% stands for a percent sign.

        Raises:
            ValueError: for any other sequence that begins with %, and for no path.
        """
        if not path:
            raise ValueError("a path is empty")
        self._needsDomain = False
        for sequence in _SEQUENCE.finditer(path):
            if sequence[1] not in (b"u", b"n", b"d", b"%"):
                name = sequence[0].decode("utf-8", "replace")
                raise ValueError(f"{name} is none of %u, %n, %d and %%")
            self._needsDomain |= sequence[1] == b"d"
        self._format = _SEQUENCE.sub(_conversion, path)
        #: The folder that all paths lie below, or the path itself where it is just one.
        self.root = _root_of(path)

    def expand(self, user: bytes) -> bytes:
        """
        Give the path for a user.

        Raises:
            UnsafeUser: where the name must not become part of a path, or lacks the
                domain that %d asks for.
        """
        local, domain = split_user(user)
        if self._needsDomain and not domain:
            raise UnsafeUser
        return self._format % {b"u": user, b"n": local, b"d": domain}


def _conversion(sequence: "re.Match[bytes]") -> bytes:
    return b"%%" if sequence[1] == b"%" else b"%(" + sequence[1] + b")s"


def _root_of(template: bytes) -> bytes:
    fixed = re.split(rb"%[und]", template, maxsplit=1)
    path = fixed[0].replace(b"%%", b"%")
    if len(fixed) == 1:
        return path
    return path.rpartition(b"/")[0] or (b"/" if path.startswith(b"/") else b".")
