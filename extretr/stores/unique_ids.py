"""
The unique-ids of a Maildir: its own names, or those that another server gave.

Who moves here from Dovecot or Courier keeps the unique-ids that clients remember,
so that nobody downloads everything again.  What the other server's list does not
have goes by its name.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from twisted.logger import Logger

from extretr.stores.descriptor import OPEN, StoredFile
from extretr.syntax import as_unique_id, is_unique_id

_log = Logger()

DOVECOT = b"dovecot-uidlist"
COURIER = b"courierpop3dsizelist"

#: Octets of a list, at most: a million messages take a fifth.
MOST = 512 * 1024 * 1024

#: A base name, and the unique-id that another server gave it.
Given = tuple[bytes, bytes]

_DOVECOT_HEADER = re.compile(rb"3 (?:.* )?V(\d+)(?: .*)?|1 (\d+) \d+")
_DOVECOT_LINE = re.compile(rb"(\d+)((?: [^ :]+)*) :?([^ ].*)")
_COURIER_HEADER = re.compile(rb"/[23] \d+(?: \d+)?")
_COURIER_LINE = re.compile(rb"(.+) \d+ (\d+):(\d+)(?::\d+)?")
_COURIER_ESCAPED = re.compile(rb"[^\x21-\x7e]|['\"+]")


def base_name(name: bytes) -> bytes:
    """
    Give a message's name without its flags: what stays as long as the message does.
    """
    return name.partition(b":2,")[0]


def named(maildir: bytes) -> Iterator[Given]:
    """
    Give no unique-ids: each message goes by its name.
    """
    return iter(())


def dovecots(maildir: bytes) -> Iterator[Given]:
    """
    Give the unique-ids of ``dovecot-uidlist``, each with its base name.

    They are uid and uidvalidity in eight lower-case hexadecimal digits each, which is
    what Dovecot's default ``pop3_uidl_format`` comes to; a ``P`` field holds one that
    was kept from elsewhere, an empty one stands for the name.
    """
    lines = _lines(maildir, DOVECOT)
    header = _DOVECOT_HEADER.fullmatch(lines[0]) if lines else None
    if header is None:
        return
    validity = int(header[1] or header[2])
    for parsed in _understood(DOVECOT, lines[1:], _DOVECOT_LINE):
        uid, fields, name = parsed.groups()
        unique_id = b"%08x%08x" % (int(uid), validity)
        for field in fields.split():
            if field == b"P":
                unique_id = base_name(name)
            elif field.startswith(b"P") and is_unique_id(field[1:]):
                unique_id = field[1:]
        yield base_name(name), unique_id


def couriers(maildir: bytes) -> Iterator[Given]:
    """
    Give the unique-ids of ``courierpop3dsizelist``, each with its base name.
    """
    lines = _lines(maildir, COURIER)
    if not lines or _COURIER_HEADER.fullmatch(lines[0]) is None:
        return
    for parsed in _understood(COURIER, lines[1:], _COURIER_LINE):
        name, number, validity = base_name(parsed[1]), int(parsed[2]), int(parsed[3])
        if number and validity:
            yield name, b"UID%d-%d" % (number, validity)
        elif number:
            yield name, b"UID%d" % number
        else:
            yield (
                name,
                _COURIER_ESCAPED.sub(lambda octet: b"+%02X" % octet[0][0], name),
            )


#: The choices of ``--unique-ids``: what reads another server's list, and the list.
UNIQUE_IDS: dict[str, tuple[Callable[[bytes], Iterator[Given]], bytes]] = {
    "name": (named, b""),
    "dovecot": (dovecots, DOVECOT),
    "courier": (couriers, COURIER),
}


def assign(names: Iterable[bytes], given: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """
    Give a unique-id for each base name, in their order, no two alike.
    """
    taken: set[bytes] = set()
    for name in names:
        unique_id = as_unique_id(given.get(name, name))
        if unique_id in taken:
            # Two lines of the list were alike, or one is another message's name.
            unique_id = as_unique_id(name)
        if unique_id in taken:
            unique_id = as_unique_id(b" " + name)
        taken.add(unique_id)
        yield unique_id


def _lines(maildir: bytes, name: bytes) -> list[bytes]:
    """
    Read a list, none where there is none.

    Raises:
        OSError: where it cannot be read: to go by names then would have clients
            download everything again.
    """
    try:
        # The list, unlike mail, may be a link; a pipe in its place nobody waits for.
        descriptor = os.open(os.path.join(maildir, name), OPEN & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    with StoredFile(descriptor) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST:
            raise OSError(errno.EINVAL, "no such list", name)
        # A name may hold CR, at which splitlines would split.
        return file.read().removesuffix(b"\n").split(b"\n")


def _understood(
    name: bytes, lines: list[bytes], pattern: "re.Pattern[bytes]"
) -> "Iterator[re.Match[bytes]]":
    """
    Give what the pattern finds in each line; tell the log once how many do not fit.
    """
    skipped = 0
    for line in lines:
        parsed = pattern.fullmatch(line)
        if parsed is None:
            skipped += 1
        else:
            yield parsed
    if skipped:
        _log.warn(
            "{skipped} lines of {name} are not understood",
            skipped=skipped,
            name=name.decode(),
        )
