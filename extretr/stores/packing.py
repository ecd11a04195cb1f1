"""
What was measured of a message, in octets.
"""

import struct
from array import array

from extretr.offsets import Measured

#: Octets of the canonical and of the stored form, whether these are identical, whether
#: any line begins with a dot, number of checkpoints.
_SIZES = struct.Struct("<QQ??I")


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
