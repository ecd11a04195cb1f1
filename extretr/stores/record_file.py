"""
The file in which the record of a session lock lies.

The record is replaced as a whole (written aside, then renamed), so a reader sees an
old one or a new one and never a torn one.  Whoever replaces or removes it holds the
guard, a flock on a file beside it, and holds that for as long as the change takes.
The guard stays when the record goes: a lock file that is removed is two locks.

To take a lock that nobody holds, and to give it up uncontested, is what nearly all
sessions do: `RecordFile.put` and `RecordFile.take_away` do that, and nothing else.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Hashable
from types import TracebackType

from extretr.stores.holder import Record

#: What tells a file from what it was before.
_SIGNATURE = struct.Struct("<QQqQ")

#: Octets; a record has about 200.
RECORD_LIMIT = 4096

#: How the guard is opened, and how a record is read.
_GUARD = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

#: What may follow a record in its file.
_PADDING = b" \n"


class Guard:
    """
    The right to change the record, until it is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __enter__(self) -> "Guard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Let others change the record; closing twice is no error.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class RecordFile:
    """
    The file in which the record lies; every method may raise OSError.
    """

    # There are thousands of them.
    __slots__ = ("_path",)

    def __init__(self, path: bytes) -> None:
        self._path = path

    @property
    def _new_path(self) -> bytes:
        return self._path + b".new"

    def make_folder(self) -> None:
        """
        Make the folder of the record, not what is above it: that may be unmounted.
        """
        folder = os.path.dirname(self._path) or b"."
        if os.path.isdir(folder):
            return
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass

    def guard(self) -> Guard | None:
        """
        Take the guard, or give None where another has it: it never waits.
        """
        descriptor = _flock(self._path + b".guard")
        return None if descriptor is None else Guard(descriptor)

    def put(self, octets: bytes) -> bool:
        """
        Write a record on the spot, where none is and nothing is in the way.

        It goes into the file of the last one: ext4 makes a new file the more slowly the
        more were removed in the last seconds.

        Where it gives False, whoever goes on to `guard` and `read` finds out why.
        """
        return self._onTheSpot(_put, octets)

    def take_away(self, octets: bytes) -> bool:
        """
        Remove a record on the spot, if it is *octets* still and nothing is in the way.

        Where it gives False, whoever goes on to `guard` and `read` finds out why.
        """
        return self._onTheSpot(_take_away, octets)

    def _onTheSpot(self, act: Callable[[bytes, bytes], bool], octets: bytes) -> bool:
        try:
            guard = _flock(self._path + b".guard")
            if guard is None:
                return False
            try:
                return act(self._path, octets)
            finally:
                os.close(guard)
        except OSError:
            return False

    def signature(self) -> Hashable:
        """
        Give what changes whenever the record does, None where there is none.
        """
        try:
            return _signature(os.stat(self._path, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def read(self) -> Record | None:
        """
        Give the record, None where there is none or it is corrupt.
        """
        return self.read_signed()[0]

    def read_signed(self) -> tuple[Record | None, Hashable]:
        """
        Give the record and its signature.
        """
        try:
            descriptor = os.open(self._path, _READ)
        except FileNotFoundError:
            return None, None
        try:
            status = os.fstat(descriptor)
            regular = stat.S_ISREG(status.st_mode)
            octets = os.read(descriptor, RECORD_LIMIT) if regular else b""
        finally:
            os.close(descriptor)
        return Record.parse(octets), _signature(status)

    def write(self, record: Record) -> None:
        """
        Replace the record; only under the guard.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._new_path, flags, 0o600)
        except FileExistsError:
            # What a crash has left, or somebody else has laid there.
            os.unlink(self._new_path)
            descriptor = os.open(self._new_path, flags, 0o600)
        _write_and_close(descriptor, record.format())
        os.rename(self._new_path, self._path)

    def remove(self) -> None:
        """
        Remove the record; only under the guard.

        The file stays, under another name, for the next one.
        """
        try:
            os.rename(self._path, self._path + b".free")
        except FileNotFoundError:
            pass
        except OSError:
            # Whatever lies there: the record must not stay.
            os.unlink(self._path)


def _put(path: bytes, octets: bytes) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        _overwrite(path + b".free", octets)
        os.rename(path + b".free", path)
        return True
    return False


def _take_away(path: bytes, octets: bytes) -> bool:
    if not _is_still(path, octets):
        return False
    os.rename(path, path + b".free")
    return True


def _overwrite(path: bytes, octets: bytes) -> None:
    """
    Replace what is in a file that nobody reads.

    Raises:
        OSError: where there is none, or it is none of ours.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != os.geteuid()
        or status.st_nlink > 1
        or status.st_size > RECORD_LIMIT
    ):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    if status.st_size > len(octets):
        octets = octets[:-1].ljust(status.st_size - 1) + b"\n"
    _write_and_close(descriptor, octets)


def _write_and_close(descriptor: int, octets: bytes) -> None:
    # Not synced to the disk: after a crash of the host nobody holds it anyway.
    try:
        if os.write(descriptor, octets) < len(octets):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _signature(status: os.stat_result) -> Hashable:
    # Packed: five objects for each session would be four too many.
    return _SIGNATURE.pack(
        status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    )


def _is_still(path: bytes, octets: bytes) -> bool:
    """
    Tell whether a file holds a record of which the octets are known.
    """
    descriptor = os.open(path, _READ)
    try:
        found = os.read(descriptor, RECORD_LIMIT)
    finally:
        os.close(descriptor)
    return found.rstrip(_PADDING) == octets.rstrip(_PADDING)


def _flock(path: bytes) -> int | None:
    """
    Give the descriptor of a file that is locked with it, None where another has that.
    """
    while True:
        descriptor = os.open(path, _GUARD, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed, or replaced, meanwhile.
            opened, named = os.fstat(descriptor), os.stat(path)
            if opened.st_ino == named.st_ino and opened.st_dev == named.st_dev:
                locked, descriptor = descriptor, -1
                return locked
        except BlockingIOError:
            return None
        except FileNotFoundError:
            pass
        finally:
            if descriptor >= 0:
                os.close(descriptor)
