"""
Who holds a maildrop: the record of the session lock, and the file that it lies in.

The record is replaced as a whole (written aside, then renamed), so a reader sees an
old one or a new one and never a torn one.  Whoever replaces or removes it holds the
guard, a flock on a file beside it, and holds that for as long as the change takes.
The guard stays when the record goes: a lock file that is removed is two locks.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import struct
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from types import TracebackType

#: What tells a file from what it was before.
_SIGNATURE = struct.Struct("<QQqQ")

#: Octets; a record has about 200.
RECORD_LIMIT = 4096


@dataclass(slots=True)
class Record:
    """
    The holder of a maildrop, and how far it has answered those who contest it.
    """

    #: Names one holding of the lock, and no other ever.
    token: str
    #: The host and the namespace in which the process number means something.
    host: str
    pid: int
    #: When the process started, in the kernel's units; empty where it is not told.
    started: str
    #: The number of the last contest that was opened against this token.
    contest: int = 0
    #: The last contest after whose opening the holder has shown a sign of life.
    answered: int = 0

    @classmethod
    def of_this_process(cls, token: str) -> "Record":
        """
        Give a new record for this process.
        """
        pid = os.getpid()
        return cls(token, host_identity(), pid, _start_of(pid))

    @classmethod
    def parse(cls, octets: bytes) -> "Record | None":
        """
        Give the record that *octets* hold, None where they hold none.
        """
        try:
            fields = json.loads(octets)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or set(fields) != set(_FIELDS):
            return None
        if any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
            return None
        if fields["pid"] <= 0 or not fields["token"]:
            return None
        return cls(**fields)

    def format(self) -> bytes:
        """
        Give the octets that `parse` reads.
        """
        fields = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(fields).encode("ascii") + b"\n"

    def is_of_dead_process(self) -> bool:
        """
        Tell whether the process is known to have ended.

        Of another host, or another container, nothing can be known.
        """
        if self.host != host_identity():
            return False
        state, started = _state_and_start(self.pid)
        if state:
            return state in "ZX" or (self.started != "" and started != self.started)
        # No /proc, or one that hides the processes of others (hidepid).
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        return False


_FIELDS: dict[str, type] = {
    "token": str,
    "host": str,
    "pid": int,
    "started": str,
    "contest": int,
    "answered": int,
}


@cache
def host_identity() -> str:
    """
    Give what tells this boot of this host, and this pid namespace, from all others.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@cache
def _start_of(pid: int) -> str:
    """
    Give the start time of a process that asks for its own: that never changes.
    """
    return _state_and_start(pid)[1]


def _state_and_start(pid: int) -> tuple[str, str]:
    """
    Give the state letter and the start time of a process, both empty if not told.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return "", ""
    # The name of the program, in brackets, may hold blanks and brackets itself.
    fields = line.rpartition(b")")[2].split()
    if len(fields) < 20:
        return "", ""
    return fields[0].decode("ascii"), fields[19].decode("ascii")


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
    def _guard_path(self) -> bytes:
        return self._path + b".guard"

    @property
    def _new_path(self) -> bytes:
        return self._path + b".new"

    @property
    def _free_path(self) -> bytes:
        return self._path + b".free"

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
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            descriptor = os.open(self._guard_path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(descriptor, self._guard_path):
                    guard, descriptor = Guard(descriptor), -1
                    return guard
            except BlockingIOError:
                return None
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

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
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            return None, None
        try:
            status = os.fstat(descriptor)
            regular = stat.S_ISREG(status.st_mode)
            octets = os.read(descriptor, RECORD_LIMIT) if regular else b""
        finally:
            os.close(descriptor)
        return Record.parse(octets), _signature(status)

    def write_first(self, record: Record) -> None:
        """
        Write a record where `read` found none; only under the guard.
        """
        try:
            _overwrite(self._free_path, record.format())
        except OSError:
            # None is there, or none of ours; what else is wrong shows again.
            self.write(record)
        else:
            os.rename(self._free_path, self._path)

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

        The file stays, under another name, for the next one: ext4 makes a new file the
        more slowly the more were removed in the last seconds.
        """
        try:
            os.rename(self._path, self._free_path)
        except FileNotFoundError:
            pass
        except OSError:
            # Whatever lies there: the record must not stay.
            os.unlink(self._path)


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


def _same_file(descriptor: int, path: bytes) -> bool:
    """
    Tell whether *path* still names the open file: it may have been removed meanwhile.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
