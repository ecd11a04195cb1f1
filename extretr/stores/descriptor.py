"""
A message's file by its bare descriptor.

`io.FileIO` asks the kernel about each file that it opens; for a message of a few
kibioctets that is one call in ten, and what it asks is known already.
"""

import os
from typing import Self

from zope.interface import implementer

from extretr.interfaces import IWholeFile

#: How a message is opened: whatever stands in its place must not be followed, nor
#: waited for.
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Octets read at once where all are asked for.
_PIECE = 1024 * 1024


@implementer(IWholeFile)
class StoredFile:
    """
    The stored form of a message that is a file of its own.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """
        The descriptor, below zero once it is closed.
        """
        return self._descriptor

    def identity(self) -> tuple[int, ...]:
        """
        Give what is another where the file is another, or its octets have changed.
        """
        return state_of(os.fstat(self._descriptor))

    def read(self, count: int = -1) -> bytes:
        """
        Give at most *count* octets, all for a negative one; none only at the end.
        """
        if count >= 0:
            return os.read(self._descriptor, count)
        pieces = []
        while piece := os.read(self._descriptor, _PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def seek(self, position: int) -> int:
        """
        Go to an octet of the file.
        """
        return os.lseek(self._descriptor, position, os.SEEK_SET)

    def close(self) -> None:
        """
        Close the file; to do it twice is no error.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A message that was opened and then not sent must not stay open.
        self.close()


def state_of(status: os.stat_result) -> tuple[int, ...]:
    """
    Give what is another where a file is another, or its octets have changed.
    """
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def read_whole(path: bytes, size: int) -> tuple[bytes, os.stat_result | None]:
    """
    Read a file of *size* octets in one go, and look at it afterwards.

    One look, after it was read, shows as much as one before and one after.  Each
    compares with what was listed; a file that differed before and is as listed after
    (touched back, say) neither can tell.  A file that is as it was listed has *size*
    octets; the one read, which asked for no more, gave just so many: all of them, or it
    was longer then, and to cut it is to write to it.

    Returns:
        What was read and what the file looks like; nothing and None where it is of
        another size, or cannot be had.
    """
    try:
        descriptor = os.open(path, OPEN)
    except OSError:
        return b"", None
    try:
        stored = os.read(descriptor, size)
        status = os.fstat(descriptor)
    except OSError:
        return b"", None
    finally:
        os.close(descriptor)
    return (stored, status) if len(stored) == size else (b"", None)
