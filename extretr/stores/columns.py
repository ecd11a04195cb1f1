"""
What is known of a Maildir's messages, in columns: a block of them at a time.

An object a message costs half a kibioctet and a microsecond, and most messages of a
session are only counted and listed.  A block holds up to `CAPACITY` messages as arrays
and joined names, 85 octets a message or so, and is read, checked and written whole.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from extretr.errors import MessageChanged
from extretr.offsets import Measured
from extretr.stores.index_blocks import Saved
from extretr.stores.packing import pack_marks, unpack_marks
from extretr.stores.rows import DOTTED, IDENTICAL, MEASURED, Row, kind_of, marks_of
from extretr.syntax import are_unique_ids

#: Messages in one block: what is made of one block takes a millisecond or two.
CAPACITY = 1000

#: What a block begins with; named anew when the form is another.
_FORM = b"maildir1"

#: Messages; octets of base names, of flags, of unique-ids, and of marks.
_HEAD = struct.Struct("<8sIIIII")

#: Octets a message in the columns of fixed width.
_WIDTH = 4 * 8 + 2

#: The columns of eight octets a message.
_STORED, _TIME, _INODE, _SIZE = range(4)

#: All of a block, in the order of `Block.recalled`.
_kept = attrgetter(
    *("_count", "_fixed", "bases", "_flags", "unique_ids"),
    *("_marks", "saved", "missing", "octets"),
)

_UNSIGNED = struct.Struct("=Q")
_SIGNED = struct.Struct("=q")


class Block:
    """
    Some messages, in the order of their numbers.
    """

    # One that holds a single message has to be small too: there are thousands of them.
    __slots__ = (
        "_count",
        "_fixed",
        "_flags",
        "_marks",
        "bases",
        "missing",
        "octets",
        "saved",
        "unique_ids",
    )

    def __init__(self, rows: Sequence[Row]) -> None:
        """
        Args:
            rows: one message at least.
        """
        bases, flags, folders, stored, times, inodes, sizes, kinds, marks = zip(
            *rows, strict=True
        )
        self._count = len(rows)
        # No name of a file holds a slash, and no unique-id a space.
        self.bases = b"/".join(bases)
        #: Empty where the unique-ids are the base names.
        self.unique_ids = b""
        self._flags = b"/".join(flags)
        #: The columns of fixed width, one behind the other.
        self._fixed = bytearray().join(
            (
                array("Q", stored),
                array("q", times),
                array("Q", inodes),
                array("Q", sizes),
                bytes(folders),
                bytes(kinds),
            )
        )
        self._marks = {index: one for index, one in enumerate(marks) if one} or None
        self._settle()

    @classmethod
    def decode(cls, octets: bytes) -> "Block":
        """
        Read a block as `encode` gives it.

        Raises:
            ValueError: for what encode never gave.
        """
        if len(octets) < _HEAD.size:
            raise ValueError("too short")
        form, count, *lengths = _HEAD.unpack_from(octets)
        at = _HEAD.size + _WIDTH * count
        if form != _FORM or not count or len(octets) != at + sum(lengths):
            raise ValueError("another form")
        self = cls.__new__(cls)
        self._count = count
        self._fixed = bytearray(octets[_HEAD.size : at])
        parts = []
        for length in lengths:
            parts.append(octets[at : at + length])
            at += length
        self.bases, self._flags, self.unique_ids, marks = parts
        self._marks = unpack_marks(marks)
        self._check()
        self._settle()
        return self

    @classmethod
    def recalled(cls, kept: Sequence[Any]) -> "Block":
        """
        Make one again of what `kept` has given, which this process has kept for itself.
        """
        self = cls.__new__(cls)
        self._count, fixed, self.bases, self._flags, self.unique_ids, *rest = kept
        self._marks, self.saved, self.missing, self.octets = rest
        self._fixed = bytearray(fixed)
        return self

    def kept(self) -> tuple[Any, ...]:
        """
        Give all this, to be packed by marshal.
        """
        return _kept(self)

    def _settle(self) -> None:
        #: Where it is in the index, None while it is not as it is here.
        self.saved: Saved | None = None
        #: Messages that are not measured, and the octets of the others.
        self.missing = self.kinds().count(0)
        self.octets = sum(self.sizes())

    def encode(self) -> bytes:
        """
        Give the octets of all this.
        """
        marks = pack_marks(self._marks or {})
        parts = (self.bases, self._flags, self.unique_ids, marks)
        head = _HEAD.pack(_FORM, self._count, *map(len, parts))
        return b"".join((head, self._fixed, *parts))

    def __len__(self) -> int:
        return self._count

    def _column(self, number: int, kind: str) -> "memoryview[int]":
        width = 8 * self._count
        column = memoryview(self._fixed)[width * number : width * (number + 1)]
        return column.cast(kind)  # type: ignore[call-overload]

    def inodes(self) -> "memoryview[int]":
        """
        Give the inodes.
        """
        return self._column(_INODE, "Q")

    def sizes(self) -> "memoryview[int]":
        """
        Give the canonical sizes, 0 where one is not measured.
        """
        return self._column(_SIZE, "Q")

    def folders(self) -> bytes:
        """
        Give the indexes of the folders.
        """
        begin = 32 * self._count
        return bytes(self._fixed[begin : begin + self._count])

    def kinds(self) -> bytes:
        """
        Give the kinds, 0 where one is not measured.
        """
        return bytes(self._fixed[33 * self._count :])

    def signature(self, index: int) -> tuple[int, int, int]:
        """
        Give what must not change of a file while the message is the same.
        """
        # A view of a column takes five times as long.
        fixed, at, width = self._fixed, 8 * index, 8 * self._count
        return (
            _UNSIGNED.unpack_from(fixed, at)[0],
            _SIGNED.unpack_from(fixed, at + width)[0],
            _UNSIGNED.unpack_from(fixed, at + 2 * width)[0],
        )

    def removed(self, index: int) -> None:
        """
        Take note that a message's file was removed.

        Its name may come again, and its inode with it: without one here, whatever has
        the name then is looked at.
        """
        _UNSIGNED.pack_into(self._fixed, 8 * (_INODE * self._count + index), 0)
        self.saved = None

    def _one(self, number: int, index: int) -> int:
        at = 8 * (number * self._count + index)
        return int(_UNSIGNED.unpack_from(self._fixed, at)[0])

    def folder(self, index: int) -> int:
        """
        Give the index of the folder of a message.
        """
        return self._fixed[32 * self._count + index]

    def names(self) -> list[bytes]:
        """
        Give the base names.
        """
        return self.bases.split(b"/")

    def flags(self) -> list[bytes]:
        """
        Give what follows the base names.
        """
        return self._flags.split(b"/")

    def unflagged(self) -> bool:
        """
        Tell whether nothing follows any base name.
        """
        return len(self._flags) == len(self) - 1

    def last(self) -> bytes:
        """
        Give the last base name.
        """
        return self.bases.rpartition(b"/")[2]

    def uniqueIds(self) -> list[bytes]:
        """
        Give the unique-ids.
        """
        return self.unique_ids.split(b" ") if self.unique_ids else self.names()

    def setUniqueIds(self, unique_ids: Sequence[bytes] | None) -> None:
        """
        Set the unique-ids; None lets the base names be them.
        """
        joined = b"" if unique_ids is None else b" ".join(unique_ids)
        if joined == self.bases.replace(b"/", b" "):
            joined = b""
        if joined != self.unique_ids:
            self.unique_ids, self.saved = joined, None

    def isPlain(self) -> bool:
        """
        Tell whether each base name can be sent as a unique-id.
        """
        return are_unique_ids(self.names())

    def rows(self) -> Iterator[Row]:
        """
        Give the messages one by one.
        """
        marks = self._marks or {}
        for fields in zip(
            self.names(),
            self.flags(),
            self.folders(),
            self._column(_STORED, "Q"),
            self._column(_TIME, "q"),
            self.inodes(),
            self.sizes(),
            self.kinds(),
            (marks.get(index, b"") for index in range(self._count)),
            strict=True,
        ):
            yield Row(*fields)

    def measured(self, index: int) -> Measured | None:
        """
        Give what was measured of a message.
        """
        kind = self._fixed[33 * self._count + index]
        if not kind:
            return None
        facts = (
            self._one(_SIZE, index),
            self._one(_STORED, index),
            kind & IDENTICAL != 0,
            kind & DOTTED != 0,
        )
        if not self._marks or index not in self._marks:
            return Measured(*facts)
        marks = array("Q", self._marks[index])
        half = len(marks) // 2
        return Measured(*facts, marks[:half], marks[half:])

    def learn(self, index: int, measured: Measured) -> None:
        """
        Take what was measured of a message.

        Raises:
            MessageChanged: where the file is not as large as the folder says, which is
                all that is kept of its size.
        """
        if measured.stored_size != self._one(_STORED, index):
            raise MessageChanged
        kind = 33 * self._count + index
        self.octets += measured.size - self._one(_SIZE, index)
        self.missing -= not self._fixed[kind]
        at = 8 * (_SIZE * self._count + index)
        _UNSIGNED.pack_into(self._fixed, at, measured.size)
        self._fixed[kind] = kind_of(measured)
        if self._marks or measured.stored_marks:
            marks = self._marks or {}
            marks.pop(index, None)
            if measured.stored_marks:
                marks[index] = marks_of(measured)
            self._marks = marks or None
        self.saved = None

    def _check(self) -> None:
        """
        Check what the code elsewhere relies on.

        Raises:
            ValueError: where it does not hold.
        """
        count = self._count
        if (
            self.bases.count(b"/") != count - 1
            or self._flags.count(b"/") != count - 1
            or (self.unique_ids and self.unique_ids.count(b" ") != count - 1)
            # Neither hidden files nor "..".
            or self.bases.startswith(b".")
            or b"/." in self.bases
            or b"\0" in self.bases
            or b"\0" in self._flags
            or max(self.folders()) > 1
            or max(self.kinds()) > MEASURED | IDENTICAL | DOTTED
            or max(self._marks or (0,)) >= count
        ):
            raise ValueError("not what was written")
