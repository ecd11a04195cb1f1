"""
What is remembered of an mbox between sessions, so that it need not be read again.

The layout, one note of the index, holds where each message is and the state of the
file for which that is true.  What was measured of each message is in the index's rows.
"""

import os
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from extretr.offsets import EMPTY
from extretr.stores.index import Index
from extretr.stores.maildrop import Entry
from extretr.stores.mbox_parse import Parsed

#: Seconds that a mailbox must have been left alone before what was read of it is
#: trusted the next time: what changes within one tick of the clock does not show.
SETTLED = 2.0

#: Messages that are looked up between two turns of the reactor.
_TURN = 500

#: Named anew when its form is another.
_NOTE = b"mbox layout 1"

#: size, mtime and ctime in nanoseconds, inode.
_SIGNATURE = struct.Struct("<QqqQ")

#: Signature, whether lines are unquoted, number of messages.
_HEAD = struct.Struct("<32s?Q")

#: From_line's place, begin, end, From_ line's checksum, digest, number of places.
_MESSAGE = struct.Struct("<QQQI32sI")
_PLACE = struct.Struct("<QQ")


#: What a row of the index does not say is filled in later.
_NOTHING = Parsed(0, 0, 0, 0, b"", EMPTY)


@dataclass(slots=True)
class MboxEntry(Entry):
    """
    A message of an mbox.
    """

    parsed: Parsed = _NOTHING


def signature_of(status: os.stat_result) -> bytes:
    """
    Give what differs once a file has been changed.

    Some mail readers set the time of the last change back; that shows in ctime.
    """
    return _SIGNATURE.pack(
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


def is_settled(status: os.stat_result, wall: float) -> bool:
    """
    Tell whether the file has been left alone for long enough.
    """
    return wall - max(status.st_mtime_ns, status.st_ctime_ns) / 1e9 >= SETTLED


def entries_of(messages: Iterable[Parsed]) -> Iterator[MboxEntry]:
    """
    Name the messages.

    A unique-id is the SHA-256 of the canonical form; the second and further ones of
    identical messages, in the order of the file, have ``.1``, ``.2`` ... after it.
    Where one of them is deleted it is the last of these that goes, whichever it was:
    a unique-id always stands for the same octets, and nothing need be remembered.
    """
    seen: dict[bytes, int] = {}
    for one in messages:
        ordinal = seen.get(one.digest, 0)
        seen[one.digest] = ordinal + 1
        unique_id = one.digest.hex().encode("ascii")
        if ordinal:
            unique_id += b".%d" % ordinal
        yield MboxEntry(
            unique_id, unique_id, _row_signature(one), one.measured, parsed=one
        )


def _row_signature(one: Parsed) -> bytes:
    # The digest is that of the canonical form: this tells stored forms apart.
    return struct.pack("<QQ", one.end - one.begin, len(one.places))


def remember(
    index: Index, messages: Sequence[Parsed], signature: bytes, quoting: bool
) -> Generator[None, None, list[MboxEntry]]:
    """
    Name the messages and put them into the index, in steps.

    Args:
        index: the index.
        messages: what was read of the mailbox.
        signature: that of the mailbox then; empty where the layout is not to be
            trusted the next time.
        quoting: whether lines were unquoted.
    """
    entries = []
    parts = [_HEAD.pack(signature, quoting, len(messages))]
    for count, entry in enumerate(entries_of(messages), 1):
        entries.append(entry)
        one = entry.parsed
        if index.remembered(entry.key, entry.signature) != one.measured:
            index.remember(entry.key, entry.signature, one.measured)
        fields = one.from_at, one.begin, one.end, one.from_line, one.digest
        parts.append(_MESSAGE.pack(*fields, len(one.places)))
        parts.extend(_PLACE.pack(*pair) for pair in one.places)
        if count % _TURN == 0:
            yield
    index.keep_only({entry.key for entry in entries})
    index.set_note(_NOTE, b"".join(parts) if signature else b"")
    return entries


def recall(
    index: Index, signature: bytes, quoting: bool
) -> Generator[None, None, list[MboxEntry] | None]:
    """
    Give the messages of a mailbox as they are remembered, in steps.

    None where they are not, or not of the mailbox in this state.
    """
    note = index.note(_NOTE)
    if not note or len(note) < _HEAD.size:
        return None
    then, quoted, messages = _HEAD.unpack_from(note)
    if (then, quoted) != (signature, quoting):
        return None
    found = []
    at = _HEAD.size
    for count in range(1, messages + 1):
        from_at, begin, behind, line, digest, places = _MESSAGE.unpack_from(note, at)
        at += _MESSAGE.size
        end = at + _PLACE.size * places
        pairs = tuple(_PLACE.iter_unpack(note[at:end]))
        at = end
        found.append(Parsed(from_at, begin, behind, line, digest, EMPTY, pairs))
        if count % _TURN == 0:
            yield
    entries = []
    for count, entry in enumerate(entries_of(found), 1):
        measured = index.remembered(entry.key, entry.signature)
        if measured is None:
            return None
        entry.measured = measured
        entries.append(entry)
        if count % _TURN == 0:
            yield
    return entries
