"""
One message of a Maildir, as it is put into columns.
"""

from array import array
from typing import NamedTuple

from extretr.offsets import Measured

#: Bits of a kind; a message that was not measured is of kind 0.
MEASURED, IDENTICAL, DOTTED = 1, 2, 4


class Row(NamedTuple):
    """
    One message, as it was found in its folder.
    """

    base: bytes
    #: What follows the base name: the flags, if any.
    flags: bytes
    #: The index of its folder in `FOLDERS`.
    folder: int
    #: The signature: octets of the file, mtime in nanoseconds, inode.
    stored: int
    time: int
    inode: int
    size: int = 0
    kind: int = 0
    #: Its checkpoints, as they are written.
    marks: bytes = b""

    @property
    def signature(self) -> tuple[int, int, int]:
        """
        What must not change while the message is the same.
        """
        return self.stored, self.time, self.inode


def kind_of(measured: Measured) -> int:
    """
    Give the kind of a message that was measured.
    """
    return MEASURED | measured.identical * IDENTICAL | measured.dotted * DOTTED


def marks_of(measured: Measured) -> bytes:
    """
    Give the checkpoints as they are written.
    """
    return array("Q", (*measured.stored_marks, *measured.offset_marks)).tobytes()
