"""
What was measured of a message, in octets.
"""

import struct
from array import array
from collections.abc import Mapping

from extretr.offsets import Measured

#: Octets of the canonical and of the stored form, whether these are identical, whether
#: any line begins with a dot, number of checkpoints.
_SIZES = struct.Struct("<QQ??I")

#: Which message, and the octets of its checkpoints.
_MARKS = struct.Struct("<II")


def pack(measured: Measured) -> bytes:
    """
    Give what was measured in octets.
    """
    sizes = _SIZES.pack(
        measured.size,
        measured.stored_size,
        measured.identical,
        measured.dotted,
        len(measured.stored_marks),
    )
    if not measured.stored_marks:
        return sizes
    marks = array("Q", (*measured.stored_marks, *measured.offset_marks))
    return sizes + marks.tobytes()


def unpack(data: bytes) -> Measured | None:
    """
    Give what was measured, None where these are not its octets.
    """
    if len(data) < _SIZES.size:
        return None
    size, stored_size, identical, dotted, count = _SIZES.unpack_from(data)
    if len(data) != _SIZES.size + 16 * count:
        return None
    marks = array("Q", data[_SIZES.size :])
    return Measured(size, stored_size, identical, dotted, marks[:count], marks[count:])


def pack_marks(marks: Mapping[int, bytes]) -> bytes:
    """
    Give the checkpoints of several messages, by their indexes, as one.
    """
    return b"".join(_MARKS.pack(index, len(one)) + one for index, one in marks.items())


def unpack_marks(octets: bytes) -> dict[int, bytes] | None:
    """
    Give what `pack_marks` was given, None for nothing.

    Raises:
        ValueError: for what it has never given.
    """
    marks: dict[int, bytes] = {}
    at = 0
    while at < len(octets):
        if len(octets) - at < _MARKS.size:
            raise ValueError("marks are cut")
        index, length = _MARKS.unpack_from(octets, at)
        at += _MARKS.size
        if length % 16 or at + length > len(octets):
            raise ValueError("marks are cut")
        marks[index] = octets[at : at + length]
        at += length
    return marks or None
