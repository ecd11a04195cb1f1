"""
How offsets in the canonical form map to positions in the stored form.

A message is measured once, in steps.  What is remembered of it is small: its two
sizes, two facts that allow short cuts, and at most `MOST_CHECKPOINTS` pairs of an
offset and the place in the stored form where it lies.  To locate an offset is then
to read on from the nearest checkpoint below it.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from extretr.errors import OffsetOverrun, SplitLineEnd
from extretr.wire import Position, has_dot_after_line_feed, has_lone_line_feed

#: The most checkpoints that are kept of one message, at 16 octets.  Up to 1 GiB there
#: is one every 64 KiB, and an offset is found as fast as in a message of 1 MiB.
MOST_CHECKPOINTS = 16 * 1024

#: Stored octets between checkpoints at first; doubled each time they are too many.
SPACING = 64 * 1024

#: Stored octets that locate reads at once.
_STRIDE = 64 * 1024

#: Never changed, as all that is measured.
_NO_MARKS = array("Q")


class Measured(NamedTuple):
    """
    What is known of a message once it was read through.
    """

    #: Octets of the canonical form, which LIST, STAT and RETR announce.
    size: int
    #: Octets of the stored form.
    stored_size: int
    #: Whether the stored form is the canonical form, octet for octet.
    identical: bool
    #: Whether any line begins with a dot.
    dotted: bool
    #: Places in the stored form, rising, none of them between CR and LF; and
    #: the offsets that lie there.
    stored_marks: Sequence[int] = _NO_MARKS
    offset_marks: Sequence[int] = _NO_MARKS


EMPTY = Measured(0, 0, True, False)


class Measurer:
    """
    Reads the stored form through, chunk by chunk, and ends in a `Measured`.
    """

    def __init__(self) -> None:
        #: Octets of the stored form that were taken.
        self.stored = 0
        self._added = 0
        self._dotted = False
        self._last = b"\n"  # as if a line had ended before the first
        self._spacing = SPACING
        # Tuples of integers would take three times as much.
        self._stored_marks = array("Q")
        self._offset_marks = array("Q")

    def feed(self, stored: bytes) -> None:
        """
        Take the next octets of the stored form.
        """
        for begin in range(0, len(stored), SPACING):
            self._take(stored[begin : begin + SPACING])

    def _take(self, chunk: bytes) -> None:
        self._added += _lone_line_feeds(chunk, self._last)
        if not self._dotted:
            self._dotted = has_dot_after_line_feed(chunk) or (
                self._last == b"\n" and chunk.startswith(b".")
            )
        self._last = chunk[-1:]
        self.stored += len(chunk)
        last_mark = self._stored_marks[-1] if self._stored_marks else 0
        if self.stored - last_mark >= self._spacing and self._last != b"\r":
            self._mark()

    def _mark(self) -> None:
        self._stored_marks.append(self.stored)
        self._offset_marks.append(self.stored + self._added)
        if len(self._stored_marks) > MOST_CHECKPOINTS:
            del self._stored_marks[::2], self._offset_marks[::2]
            self._spacing *= 2

    def finish(self) -> Measured:
        """
        Give what was measured.
        """
        if self.stored == 0:
            return EMPTY
        size = self.stored + self._added
        if self._last != b"\n":
            size += 2
        if size == self.stored:
            # An offset is its own position: no marks are needed.
            return Measured(size, self.stored, True, self._dotted)
        return Measured(
            size,
            self.stored,
            False,
            self._dotted,
            self._stored_marks,
            self._offset_marks,
        )


def _lone_line_feeds(chunk: bytes, before: bytes) -> int:
    """
    Count the LFs that do not follow CR in *chunk*, which *before* comes before.
    """
    owned = before == b"\r" and chunk.startswith(b"\n")
    if b"\r" not in chunk:
        return chunk.count(b"\n") - owned
    # Mail with CRLF has CRLF throughout; to count pairs is slow.
    if not has_lone_line_feed(chunk):
        return 0
    return chunk.count(b"\n") - owned - chunk.count(b"\r\n")


def locate(
    measured: Measured, offset: int, read: Callable[[int, int], bytes]
) -> Position:
    """
    Find the position of *offset*; *read* gives so many octets from a stored place.

    Raises:
        OffsetOverrun: where the offset is beyond the size.
        SplitLineEnd: where it lies between CR and LF and the LF is the last octet
            or comes before a dot, since readers differ on the response then.
    """
    if offset > measured.size:
        raise OffsetOverrun
    if offset == measured.size:
        return Position(measured.stored_size)
    seek, split = _walk(measured, offset, read)
    if split:
        if read(seek, 1) in (b"", b"."):
            raise SplitLineEnd
        return Position(seek, b"\n")
    if seek == measured.stored_size:
        # All that is left is the line end that the stored form lacks.
        return Position(seek, b"\r\n")
    return Position(seek)


def _walk(
    measured: Measured, offset: int, read: Callable[[int, int], bytes]
) -> tuple[int, bool]:
    """
    Give the stored place after *offset*, and whether the LF before it is still owed.
    """
    place, left = _nearest(measured, offset)
    before = read(place - 1, 1) if measured.identical and place else b""
    chunk, taken = b"", 0
    while left > 1:
        if taken == len(chunk):
            chunk, taken = read(place, min(_STRIDE, left)), 0
            if not chunk:
                break
        # Half of them never makes more than are left, and so nothing is counted twice.
        piece = chunk[taken : taken + left // 2]
        left -= len(piece) + _lone_line_feeds(piece, before)
        before = piece[-1:]
        taken += len(piece)
        place += len(piece)
    if left:
        octet = read(place, 1)
        if not octet:
            # One octet into the line end that the stored form lacks.
            return measured.stored_size, True
        place += 1
        if octet == b"\n" and before != b"\r":
            return place, True
        before = octet
    if before == b"\r" and read(place, 1) == b"\n":
        return place + 1, True
    return place, False


def _nearest(measured: Measured, offset: int) -> tuple[int, int]:
    """
    Give a stored place at or before *offset*, and how far the offset lies beyond it.
    """
    if measured.identical:
        return offset, 0
    nearest = bisect_right(measured.offset_marks, offset)
    if nearest == 0:
        return 0, offset
    return (
        measured.stored_marks[nearest - 1],
        offset - measured.offset_marks[nearest - 1],
    )
