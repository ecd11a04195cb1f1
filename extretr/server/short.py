"""
Messages that fit in one chunk: read, encoded and answered in one go.

Of a message of 4 KiB the octets cost less than the objects that a transfer is made of,
and the system calls in which it looks at the file twice.
"""

from typing import Any

from extretr.syntax import success
from extretr.wire import encode_whole

#: Octets of the stored form, at most, of a message that is read in one go.
SHORT = 64 * 1024


def whole_response(mailbox: Any, index: int) -> bytes | None:
    """
    Give the whole response to RETR of a short message, at once.

    None says that it takes another way, be it only to say what is wrong: whatever is
    not as it should be is found again there, and told there.
    """
    read = getattr(mailbox, "readShort", None)
    if read is None:
        return None
    found = read(index, SHORT)
    if found is None:
        return None
    size, stored = found
    return retrieved(size) + encode_whole(stored)


def retrieved(size: int, held: int = 0) -> bytes:
    """
    Format the response line of RETR.

    Args:
        size: canonical octets of the whole message: a resumed download sees by it that
            the message is the same.
        held: the offset.
    """
    if held:
        return success(b"%d octets (%d to come)" % (size, size - held))
    return b"+OK %d octets\r\n" % size
