"""
What a store remembers between sessions: measured messages, and notes of its own.

It is a cache and nothing more.  Each record carries a checksum; a record, or a file,
that is not what was written counts as not there, and costs the time to measure again.

One file, read whole and replaced by a rename, and no database: nobody ever waits for
the lock of another, which on NFS can last; 100,000 messages are loaded in short steps
and saved in a fifteenth of the time that SQLite takes to commit them; and a file that
lies among the user's own mail holds nothing that would be run, as a view would be.
"""

import os
import struct
import time
from collections.abc import Collection, Iterator
from hashlib import blake2b

from twisted.logger import Logger

from extretr.offsets import Measured
from extretr.stores.paths import open_regular

#: Begins the file; it names the version, and a file of another is begun anew.
MAGIC = b"extretr index 2\n"

#: Octets: a longer file is none of ours.
MOST_OCTETS = 512 * 1024 * 1024

#: Records loaded in one turn of the reactor.
STEP = 512

#: Seconds after which a file that another process was writing is left over from it.
STALE = 60.0

_MESSAGE, _NOTE = b"m", b"n"

#: Before each record's key, signature and data: the checksum of all that follows
#: it, the kind, and the lengths of the three.
_HEAD = struct.Struct("<8scIII")
_SUM = 8

#: size, stored size, whether identical, whether dotted, how many checkpoints.
_SIZES = struct.Struct("<QQ??I")


class Index:
    """
    The index of one maildrop.
    """

    _log = Logger()

    def __init__(self, path: bytes | None) -> None:
        """
        Args:
            path: the file; None remembers for this session only.
        """
        self._path = path
        self._messages: dict[bytes, bytes] = {}
        self._notes: dict[bytes, bytes] = {}
        self._changed = False
        self._steps = self._reading(path)

    def loading(self) -> Iterator[None]:
        """
        Load what is remembered, in steps; else the first who asks waits for all.
        """
        yield from self._steps

    def remembered(self, key: bytes, signature: bytes) -> Measured | None:
        """
        Give what was measured of a message, if its signature is still the same.
        """
        self._load()
        record = self._messages.get(key)
        if record is None:
            return None
        if not _is_whole(record):
            self._messages.pop(key)
            self._changed = True
            return None
        signed = _HEAD.size + len(key)
        data = signed + len(signature)
        if record[signed:data] != signature or _lengths(record)[1] != len(signature):
            return None
        return _unpack(record[data:])

    def remember(self, key: bytes, signature: bytes, measured: Measured) -> None:
        """
        Remember what was measured of a message.
        """
        self._load()
        self._messages[key] = _record(_MESSAGE, key, signature, _pack(measured))
        self._changed = True

    def forget(self, key: bytes) -> None:
        """
        Forget a message that was found to be another, and all notes with it.
        """
        self._load()
        self._messages.pop(key, None)
        self._notes.clear()
        self._changed = True

    def note(self, name: bytes) -> bytes | None:
        """
        Give a note of the store, None where there is none.
        """
        self._load()
        record = self._notes.get(name)
        if record is None or not _is_whole(record):
            return None
        return record[_HEAD.size + len(name) :]

    def set_note(self, name: bytes, value: bytes) -> None:
        """
        Keep a note of the store.
        """
        self._load()
        record = _record(_NOTE, name, b"", value)
        if self._notes.get(name) != record:
            self._notes[name] = record
            self._changed = True

    def keep_only(self, keys: Collection[bytes]) -> None:
        """
        Forget the messages whose keys are not among these.
        """
        self._load()
        for key in self._messages.keys() - keys:
            del self._messages[key]
            self._changed = True

    def save(self) -> None:
        """
        Write what has changed; where that fails it is logged, and nothing is lost.
        """
        if self._path is None or not self._changed:
            return
        try:
            self._write(self._path)
        except FileExistsError:
            # Another process saves; what we know is measured again some time.
            self._log.debug("the index is being written by another")
        except OSError:
            self._log.failure("the index cannot be written")
        else:
            self._changed = False

    def _load(self) -> None:
        for _ in self._steps:
            pass

    def _reading(self, path: bytes | None) -> Iterator[None]:
        content = b"" if path is None else self._content(path)
        if not content.startswith(MAGIC):
            return
        begin, count = len(MAGIC), 0
        while begin + _HEAD.size <= len(content):
            _, kind, *lengths = _HEAD.unpack_from(content, begin)
            named = begin + _HEAD.size
            end = named + sum(lengths)
            if end > len(content):
                break
            # Checksums are looked at when a record is used.
            kept = self._notes if kind == _NOTE else self._messages
            kept[content[named : named + lengths[0]]] = content[begin:end]
            begin = end
            count += 1
            if count % STEP == 0:
                yield

    def _content(self, path: bytes) -> bytes:
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size <= MOST_OCTETS:
                    return file.read()
            self._log.warn("the index is too long, and begun anew")
        except FileNotFoundError:
            pass
        except OSError:
            self._log.failure("the index cannot be read")
        return b""

    def _write(self, path: bytes) -> None:
        new = path + b".new"
        descriptor = _create(new)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                rest = memoryview(
                    b"".join([MAGIC, *self._messages.values(), *self._notes.values()])
                )
                while rest:
                    rest = rest[file.write(rest) :]
            os.rename(new, path)
        except BaseException:
            os.unlink(new)
            raise


def _create(path: bytes) -> int:
    """
    Create a file that only one can write at a time.

    Raises:
        FileExistsError: where another process is writing it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        if abs(time.time() - os.lstat(path).st_mtime) < STALE:
            raise
    os.unlink(path)
    return os.open(path, flags, 0o600)


def _record(kind: bytes, key: bytes, signature: bytes, data: bytes) -> bytes:
    head = _HEAD.pack(b"", kind, len(key), len(signature), len(data))
    rest = b"".join((head[_SUM:], key, signature, data))
    return _checksum(rest) + rest


def _lengths(record: bytes) -> tuple[int, int, int]:
    _, _, key, signature, data = _HEAD.unpack_from(record)
    return key, signature, data


def _is_whole(record: bytes) -> bool:
    return _checksum(memoryview(record)[_SUM:]) == record[:_SUM]


def _checksum(octets: bytes | memoryview) -> bytes:
    return blake2b(octets, digest_size=_SUM).digest()


def _pack(measured: Measured) -> bytes:
    sizes = _SIZES.pack(
        measured.size,
        measured.stored_size,
        measured.identical,
        measured.dotted,
        len(measured.stored_marks),
    )
    marks = (*measured.stored_marks, *measured.offset_marks)
    return sizes + struct.pack(f"<{len(marks)}Q", *marks)


def _unpack(data: bytes) -> Measured | None:
    if len(data) < _SIZES.size:
        return None
    size, stored_size, identical, dotted, count = _SIZES.unpack_from(data)
    if len(data) != _SIZES.size + 16 * count:
        return None
    marks = struct.unpack_from(f"<{2 * count}Q", data, _SIZES.size)
    return Measured(size, stored_size, identical, dotted, marks[:count], marks[count:])
