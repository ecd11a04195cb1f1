"""
What is remembered of an mbox between sessions, so that it need not be read again.

The layout, which is in blocks of the index, holds where each message is and what was
measured of it; a note holds the state of the file for which that is true.
"""

import os
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from extretr.offsets import EMPTY
from extretr.stores.entries import Entry
from extretr.stores.index import Index
from extretr.stores.index_blocks import Saved
from extretr.stores.mbox_parse import Parsed
from extretr.stores.packing import pack, unpack

#: Messages that are looked up between two turns of the reactor.
_TURN = 500

#: Named anew when the form of the blocks is another.
_NOTE = b"mbox layout 2"
_OLD_NOTE = b"mbox layout 1"

#: size, mtime and ctime in nanoseconds, inode.
_SIGNATURE = struct.Struct("<QqqQ")

#: Signature, whether lines are unquoted, number of messages.
_HEAD = struct.Struct("<32s?Q")

#: From_line's place, begin, end, From_ line's checksum, digest, number of places, and
#: the octets of what was measured.
_MESSAGE = struct.Struct("<QQQI32sII")
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


class LayoutBlock:
    """
    Where some messages are, and what was measured of them.
    """

    def __init__(self, messages: Sequence[Parsed]) -> None:
        self.saved: Saved | None = None
        parts = []
        for one in messages:
            fields = one.from_at, one.begin, one.end, one.from_line, one.digest
            measured = pack(one.measured)
            parts.append(_MESSAGE.pack(*fields, len(one.places), len(measured)))
            parts.append(measured)
            parts.extend(_PLACE.pack(*pair) for pair in one.places)
        self._octets = b"".join(parts)

    def encode(self) -> bytes:
        """
        Give the octets of all this.
        """
        return self._octets


def decoded(octets: bytes) -> Iterator[Parsed]:
    """
    Give the messages of one block.

    Raises:
        ValueError: for what encode never gave.
    """
    at = 0
    while at < len(octets):
        if len(octets) - at < _MESSAGE.size:
            raise ValueError("cut off")
        from_at, begin, behind, line, digest, places, length = _MESSAGE.unpack_from(
            octets, at
        )
        at += _MESSAGE.size
        measured = unpack(octets[at : at + length])
        at += length
        end = at + _PLACE.size * places
        if measured is None or end > len(octets):
            raise ValueError("cut off")
        pairs = tuple(_PLACE.iter_unpack(octets[at:end]))
        at = end
        yield Parsed(from_at, begin, behind, line, digest, measured, pairs)


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
    entries = yield from _named(messages)
    index.keep_only(())
    index.set_note(_OLD_NOTE, b"")
    if not signature:
        index.set_note(_NOTE, b"")
        return entries
    blocks = []
    for begin in range(0, len(messages), _TURN):
        blocks.append(LayoutBlock(messages[begin : begin + _TURN]))
        if begin:
            yield
    index.set_note(_NOTE, _HEAD.pack(signature, quoting, len(messages)))
    yield from index.saving(blocks)
    if index.unsaved(blocks):
        # It failed; the note alone would make the older blocks the layout.
        index.set_note(_NOTE, b"")
    return entries


def recall(
    index: Index, signature: bytes, quoting: bool
) -> Generator[None, None, list[MboxEntry] | None]:
    """
    Give the messages of a mailbox as they are remembered, in steps.

    None where they are not, or not of the mailbox in this state.
    """
    note = index.note(_NOTE) or b""
    if len(note) != _HEAD.size:
        return None
    then, quoted, count = _HEAD.unpack(note)
    if (then, quoted) != (signature, quoting):
        return None
    blocks, whole = yield from index.blocks()
    found: list[Parsed] = []
    for number, (_, octets) in enumerate(blocks):
        if number:
            yield
        try:
            found += decoded(octets)
        except ValueError:
            return None
    if not whole or len(found) != count:
        return None
    return (yield from _named(found))


def _named(
    messages: Sequence[Parsed],
) -> Generator[None, None, list[MboxEntry]]:
    entries = []
    for count, entry in enumerate(entries_of(messages), 1):
        entries.append(entry)
        if count % _TURN == 0:
            yield
    return entries
