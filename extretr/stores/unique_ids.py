"""
The unique-ids of a Maildir: its own names, or those that another server gave.

Who moves here from Dovecot or Courier keeps the unique-ids that clients remember,
so that nobody downloads everything again.  What the other server's list does not
have goes by its name.
"""

import os
import re
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import NamedTuple

from twisted.logger import Logger

from extretr.stores.paths import open_regular
from extretr.syntax import as_unique_id, is_unique_id

#: Octets: no line of a list is longer, nor is a list.
LONGEST_LINE = 4096
MOST_OCTETS = 256 * 1024 * 1024

#: Lines read in one turn of the reactor.
STEP = 256

#: Gives base name and unique-id of a line, None where it is not understood.
ReadLine = Callable[[bytes], tuple[bytes, bytes] | None]

_DOVECOT_HEADER = re.compile(rb"3 (?:[^V ][^ ]* +)*V([0-9]{1,10})(?: .*)?")
_DOVECOT_LINE = re.compile(rb"([0-9]{1,10}) +((?:[^: ][^ ]* +)*):([^/]+)")
_OLD_DOVECOT_HEADER = re.compile(rb"1 ([0-9]{1,10}) [0-9]+")
_OLD_DOVECOT_LINE = re.compile(rb"([0-9]{1,10})() +([^/]+)")
_COURIER_HEADER = re.compile(rb"/[23] [0-9]+(?: [0-9]+)?")
_COURIER_LINE = re.compile(
    rb"([^/]+) [0-9]{1,20} ([0-9]{1,20}):([0-9]{1,20})(?::[0-9]+)?"
)
_COURIER_ESCAPED = re.compile(rb"[^\x21-\x7e]|['\"+]")


class ListFormat(NamedTuple):
    """
    How another server keeps its list of unique-ids.
    """

    name: bytes
    #: Takes the first line, and gives what reads the others, or None.
    begin: Callable[[bytes], ReadLine | None]


def base_name(name: bytes) -> bytes:
    """
    Give a message's name without its flags: what stays as long as the message does.
    """
    return name.partition(b":2,")[0]


def _dovecot(header: bytes) -> ReadLine | None:
    """
    Read ``dovecot-uidlist``, in its current form or its first.

    A unique-id is uid and uidvalidity in eight lower-case hexadecimal digits each,
    which is what Dovecot's default ``pop3_uidl_format`` comes to.  A ``P`` field
    holds one that was kept from elsewhere; an empty one stands for the name.
    """
    current = _DOVECOT_HEADER.fullmatch(header)
    match = current or _OLD_DOVECOT_HEADER.fullmatch(header)
    if match is None or int(match[1]) == 0:
        return None
    validity = int(match[1])
    pattern = _DOVECOT_LINE if current else _OLD_DOVECOT_LINE

    def read(line: bytes) -> tuple[bytes, bytes] | None:
        parsed = pattern.fullmatch(line)
        if parsed is None or int(parsed[1]) == 0:
            return None
        base = _listed_name(parsed[3])
        unique_id = b"%08x%08x" % (int(parsed[1]), validity)
        for field in parsed[2].split():
            if field.startswith(b"P"):
                unique_id = field[1:] or base
        return base, unique_id

    return read


def _courier(header: bytes) -> ReadLine | None:
    """
    Read ``courierpop3dsizelist``: a number, with the uidvalidity where there is one,
    or 0 for the name with what is odd in it escaped.
    """
    if _COURIER_HEADER.fullmatch(header) is None:
        return None

    def read(line: bytes) -> tuple[bytes, bytes] | None:
        parsed = _COURIER_LINE.fullmatch(line)
        if parsed is None:
            return None
        base, number, validity = _listed_name(parsed[1]), int(parsed[2]), int(parsed[3])
        if number and validity:
            return base, b"UID%d-%d" % (number, validity)
        if number:
            return base, b"UID%d" % number
        escaped = _COURIER_ESCAPED.sub(lambda octet: b"+%02X" % octet[0][0], base)
        return base, escaped

    return read


def _listed_name(name: bytes) -> bytes:
    # Both servers end a name at its first colon, and look it up by what is before.
    return name.partition(b":")[0]


#: The choices of ``--unique-ids``.
UNIQUE_IDS: dict[str, ListFormat | None] = {
    "name": None,
    "dovecot": ListFormat(b"dovecot-uidlist", _dovecot),
    "courier": ListFormat(b"courierpop3dsizelist", _courier),
}


class UniqueIds:
    """
    The unique-ids of one Maildir for one session, no two alike.
    """

    _log = Logger()

    def __init__(self, choice: str, maildir: bytes) -> None:
        """
        Args:
            choice: a key of `UNIQUE_IDS`.
            maildir: the folder in which the other server's list is.
        """
        self._format = UNIQUE_IDS[choice]
        self._maildir = maildir
        self._listed: dict[bytes, bytes] = {}
        #: Which name a listed unique-id is of, None where it is of several.
        self._owners: dict[bytes, bytes | None] = {}
        self._taken: set[bytes] = set()

    def reading(self) -> Iterator[None]:
        """
        Read the other server's list, if there is one, in steps.
        """
        if self._format is None:
            return
        name = self._format.name
        path = os.path.join(self._maildir, name)
        try:
            with BufferedReader(open_regular(path)) as file:
                if os.fstat(file.fileno()).st_size > MOST_OCTETS:
                    raise OSError("the list is too long")
                read = self._format.begin(file.readline(LONGEST_LINE).rstrip(b"\n"))
                if read is None:
                    self._log.warn("{name} is not understood", name=name.decode())
                else:
                    yield from self._lines(file, read)
        except FileNotFoundError:
            pass
        except OSError:
            self._log.failure("{name} cannot be read", name=name.decode())

    def _lines(self, file: BufferedReader, read: ReadLine) -> Iterator[None]:
        count = skipped = 0
        while line := file.readline(LONGEST_LINE):
            found = read(line[:-1]) if line.endswith(b"\n") else None
            if found is None or not is_unique_id(found[1]):
                skipped += 1
            else:
                base, unique_id = found
                self._listed[base] = unique_id
                if self._owners.setdefault(unique_id, base) != base:
                    self._owners[unique_id] = None
            count += 1
            if count % STEP == 0:
                yield
        if skipped:
            self._log.warn("{skipped} lines are not understood", skipped=skipped)

    def of(self, base: bytes) -> bytes:
        """
        Give the unique-id of a message by its base name, once for each name.
        """
        listed = self._listed.get(_listed_name(base))
        # One that the list has twice is no message's: else it would pass to the
        # second once the first is deleted, and clients would think they have it.
        if listed is None or self._owners[listed] is None:
            listed = base
        unique_id = as_unique_id(listed)
        while unique_id in self._taken:
            # It is another message's name: this one goes by a hash.
            unique_id = as_unique_id(b" %b %b" % (unique_id, base))
        self._taken.add(unique_id)
        return unique_id
