"""
A message's file by its bare descriptor.

`io.FileIO` asks the kernel about each file that it opens; for a message of a few
kibioctets that is one call in ten, and what it asks is known already.
"""

import os
from typing import Self

from zope.interface import implementer

from extretr.interfaces import IWholeFile

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
        status = os.fstat(self._descriptor)
        return (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

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
