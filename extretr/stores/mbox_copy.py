"""
The safety copy of a rewrite: the tail of an mbox as it was, and what becomes of it.

It lies in the state folder from before the first octet of the mailbox is changed until
the last one is safe.  It is written aside, synced, and renamed: where it is there, it
is whole, and says all that is needed to finish.
"""

import os
import struct
import time
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from twisted.logger import Logger

from extretr.stores.folders import sync_folder

#: Octets read and written in one step.
STEP = 256 * 1024

#: Steps of writing after which the disk is made to follow, lest the sync at the end
#: take long.
FOLLOW = 16

_MAGIC = b"extretr1"

#: Magic, start, old end, number of kept parts, CRC-32 of the data, and of the plan.
_FOOTER = struct.Struct("<8sQQQII")
_PART = struct.Struct("<QQ")


class Plan(NamedTuple):
    """
    What a rewrite makes of the tail of a file.
    """

    #: Where in the file the tail begins and ends.
    start: int
    old_end: int
    #: The parts of the data, from one place in it to another, that make the new
    #: tail.  The data is the old tail, and whatever is to be added to it.
    kept: tuple[tuple[int, int], ...]

    @property
    def new_end(self) -> int:
        """
        Where in the file the new tail ends.
        """
        return self.start + sum(end - begin for begin, end in self.kept)


class SafetyCopy:
    """
    The safety copy of one mailbox.
    """

    _log = Logger()

    def __init__(self, folder: bytes) -> None:
        """
        Args:
            folder: where it lies, with nothing else of these names.
        """
        self._folder = folder
        self._path = os.path.join(folder, b"rewrite")
        self._aside = os.path.join(folder, b"rewrite.new")
        self._descriptor = -1
        self._data_size = 0

    def exists(self) -> bool:
        """
        Tell whether a rewrite was begun and not finished.
        """
        return os.path.lexists(self._path)

    def write(self, plan: Plan, data: Iterable[bytes]) -> Iterator[None]:
        """
        Write a plan and its data, in the place of what was there before, in steps.

        Raises:
            OSError: where that fails; what was there before is there still.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._aside, flags, 0o600)
        try:
            checksum, place = 0, 0
            for count, octets in enumerate(data, 1):
                write_at(descriptor, octets, place)
                place += len(octets)
                checksum = zlib.crc32(octets, checksum)
                if count % FOLLOW == 0:
                    os.fdatasync(descriptor)
                yield
            write_at(descriptor, _footer(plan, checksum), place)
            os.fsync(descriptor)
            os.rename(self._aside, self._path)
            sync_folder(self._folder)
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor, self._data_size = descriptor, place

    def load(self) -> Generator[None, None, Plan | None]:
        """
        Read the plan, in steps; None where it or the data is not what was written.

        Raises:
            OSError: where it cannot be read.
        """
        self.close()
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        size = os.fstat(self._descriptor).st_size
        if size < _FOOTER.size:
            return None
        footer = self.read(_FOOTER.size, size - _FOOTER.size)
        magic, start, old_end, count, data_checksum, checksum = _FOOTER.unpack(footer)
        self._data_size = size - _FOOTER.size - _PART.size * count
        if magic != _MAGIC or self._data_size < max(1, old_end - start):
            return None
        parts = self.read(_PART.size * count, self._data_size)
        if zlib.crc32(parts + footer[:-4]) != checksum:
            return None
        computed = 0
        for octets in self.pieces(0, self._data_size):
            computed = zlib.crc32(octets, computed)
            yield
        if computed != data_checksum:
            return None
        return Plan(start, old_end, tuple(_PART.iter_unpack(parts)))

    def read(self, count: int, place: int) -> bytes:
        """
        Give *count* octets of the data.
        """
        return read_at(self._descriptor, count, place)

    def pieces(self, begin: int, end: int | None = None) -> Iterator[bytes]:
        """
        Give the data from one place to another, or to its end.
        """
        return pieces(self._descriptor, begin, self._data_size if end is None else end)

    def newTail(self, plan: Plan) -> Iterator[tuple[int, bytes]]:
        """
        Give the new tail in pieces, each with its place in the file.
        """
        at = plan.start
        for begin, end in plan.kept:
            for octets in self.pieces(begin, end):
                yield at, octets
                at += len(octets)

    def remove(self) -> None:
        """
        Remove it: the rewrite is finished.
        """
        self.close()
        os.unlink(self._path)
        sync_folder(self._folder)

    def setAside(self) -> None:
        """
        Keep it under another name, for a human being to look at.
        """
        self.close()
        kept = os.path.join(self._folder, b"unfinished-%d" % time.time_ns())
        os.rename(self._path, kept)
        sync_folder(self._folder)
        self._log.error(
            "a mailbox was changed by others before a rewrite of it that had been cut"
            " off could be finished; what it may lack now is in {path}",
            path=kept.decode("utf-8", "replace"),
        )

    def close(self) -> None:
        """
        Let go of the file.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discardNew(self) -> None:
        """
        Remove what was being written when it failed, or when we died.
        """
        try:
            os.unlink(self._aside)
        except FileNotFoundError:
            pass


def _footer(plan: Plan, data_checksum: int) -> bytes:
    parts = b"".join(_PART.pack(*part) for part in plan.kept)
    head = (_MAGIC, plan.start, plan.old_end, len(plan.kept), data_checksum)
    footer = _FOOTER.pack(*head, 0)[:-4]
    return parts + footer + struct.pack("<I", zlib.crc32(parts + footer))


def pieces(descriptor: int, begin: int, end: int, step: int = STEP) -> Iterator[bytes]:
    """
    Read a file from one place to another, so many octets at once.
    """
    for place in range(begin, end, step):
        yield read_at(descriptor, min(step, end - place), place)


def read_at(descriptor: int, count: int, place: int) -> bytes:
    """
    Read *count* octets.

    Raises:
        OSError: where there are not so many.
    """
    octets = os.pread(descriptor, count, place)
    while len(octets) < count:
        more = os.pread(descriptor, count - len(octets), place + len(octets))
        if not more:
            raise OSError("a file is shorter than it was")
        octets += more
    return octets


def write_at(descriptor: int, octets: bytes, place: int) -> None:
    """
    Write all of *octets*.
    """
    view = memoryview(octets)
    while view:
        written = os.pwrite(descriptor, view, place)
        view = view[written:]
        place += written
