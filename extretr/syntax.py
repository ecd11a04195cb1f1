"""
The words of the protocol: arguments, reply lines and names, parsed and formatted.

Numbers are parsed by one strict function.  Servers that read ``+1``, ``1_0`` or
4294967297 as some other number make clients believe in extensions that are not
there.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from extretr.errors import BadSyntax, NoSuchMessage, UnsafeUser

#: Octets in a command or a response line, with its CRLF (RFC 2449, section 4).
LINE_LIMIT = 512

#: Octets in a unique-id (RFC 1939, section 7).
UNIQUE_ID_LIMIT = 70

#: What any number above it is taken for, since there cannot be so many octets, lines
#: or messages, and it is still a small integer.
HUGE = 10**18

_UNIQUE_ID = re.compile(rb"[\x21-\x7e]{1,%d}" % UNIQUE_ID_LIMIT)
_IN_UNIQUE_ID = bytes(range(0x21, 0x7F))
_UNSAFE_IN_USER = re.compile(rb"[\x00-\x1f\x7f/]")
_NOT_PRINTABLE = re.compile(rb"[^\x20-\x7e]")


def parse_number(argument: bytes) -> int:
    """
    Read one or more ASCII digits and nothing else; what exceeds `HUGE` is `HUGE`.

    Raises:
        BadSyntax: where there is anything but digits.
    """
    # Of octets only those of ASCII are digits.
    if not argument.isdigit():
        raise BadSyntax
    if len(argument) < 19:
        return int(argument)
    digits = argument.lstrip(b"0")
    return min(int(digits or b"0"), HUGE) if len(digits) < 20 else HUGE


def parse_index(argument: bytes) -> int:
    """
    Read a message-number, counted from 1, as an index, counted from 0.

    Raises:
        BadSyntax: where it is no number.
        NoSuchMessage: where it is 0.
    """
    number = parse_number(argument)
    if number == 0:
        raise NoSuchMessage
    return number - 1


def printable(octets: bytes, limit: int = 100) -> bytes:
    """
    Give at most *limit* octets of what a client sent, fit to be sent back to it.
    """
    return _NOT_PRINTABLE.sub(b"?", octets[:limit])


def success(text: bytes = b"") -> bytes:
    """
    Format a positive response line, cut to `LINE_LIMIT` octets.
    """
    return b"+OK %b\r\n" % text[: LINE_LIMIT - 6]


def failure(text: bytes = b"") -> bytes:
    """
    Format a negative response line, cut to `LINE_LIMIT` octets.
    """
    return b"-ERR %b\r\n" % text[: LINE_LIMIT - 7]


def is_unique_id(octets: bytes) -> bool:
    """
    Tell whether this can be sent as a unique-id (RFC 1939, section 7).
    """
    return _UNIQUE_ID.fullmatch(octets) is not None


def are_unique_ids(names: Sequence[bytes]) -> bool:
    """
    Tell whether all of these can be sent as unique-ids: `is_unique_id` of many.
    """
    if not names:
        return True
    lengths = set(map(len, names))
    if min(lengths) < 1 or max(lengths) > UNIQUE_ID_LIMIT:
        return False
    return not b"".join(names).translate(None, _IN_UNIQUE_ID)


def as_unique_ids(names: Sequence[bytes]) -> Sequence[bytes]:
    """
    Give for each name what `as_unique_id` gives.
    """
    # Tens of thousands are looked at in one go: one by one takes five times as long.
    return names if are_unique_ids(names) else [as_unique_id(name) for name in names]


def as_unique_id(name: object) -> bytes:
    """
    Give *name* where it can be sent as a unique-id, else a hash that stands for it.

    A store may name messages as it likes; a space or a CRLF in a name must not
    become part of a response.
    """
    octets = name if isinstance(name, bytes) else str(name).encode("utf-8")
    return octets if is_unique_id(octets) else sha256(octets).hexdigest().encode()


def split_user(user: bytes) -> tuple[bytes, bytes]:
    """
    Split a user name at its last ``@`` into local part and domain, for use in paths.

    Raises:
        UnsafeUser: for ``/``, NUL or another control octet anywhere, and for a
            user, local part or domain that begins with a dot or is empty (a
            name without ``@`` has no domain, and that is all right).
    """
    local, at, domain = user.rpartition(b"@")
    if not at:
        local, domain = user, b""
    elif not domain:
        raise UnsafeUser
    if _UNSAFE_IN_USER.search(user) or not local:
        raise UnsafeUser
    if local.startswith(b".") or domain.startswith(b"."):
        raise UnsafeUser
    return local, domain
