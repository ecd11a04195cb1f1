"""
What is written down of a message before it is appended to an mbox, and settled later.

Messages are appended in batches.  First the file is made as long as the whole batch
will make it, with a From_ line where it begins, and that is synced: from then on what
lies between the batch's start and its end is ours and nobody else's, however little of
it has been written.  Others may
add to the mailbox behind it before the batch is settled; then what was written by half
stays, since nothing of theirs may be moved.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from twisted.logger import Logger

from extretr.stores.appending import CannotDeliver, Intent, shown
from extretr.stores.mbox_copy import pieces, read_at
from extretr.stores.mbox_lock import LockedMailbox

#: Octets by which a text is looked for.
HEAD = 512

#: Octets before a batch by which it is told whether the mailbox is as it was.
CONTEXT = 128

#: Octets searched at once.
STEP = 1024 * 1024

_log = Logger()


@dataclass(frozen=True, kw_only=True)
class Append:
    """
    One message that is about to be appended.
    """

    #: Places in the file where its batch begins and ends, and the octets before that.
    start: int
    end: int
    context: bytes
    #: SHA-256 of what the batch has before it.
    before: bytes
    #: The length of the file before it; what comes first there to end the last message.
    length: int
    opening: bytes
    #: Its text: octets, SHA-256, and the first octets, `HEAD` of them at most.
    size: int
    digest: bytes
    head: bytes
    #: Where in the file the texts of the batch lie that are the same as this one.
    twins: list[int]

    @property
    def text_end(self) -> int:
        """
        Where in the file its text ends.
        """
        return self.length + len(self.opening) + self.size

    def format(self) -> Intent:
        """
        Give it in a form that can be written as JSON.
        """
        return {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def parse(cls, intent: Intent) -> "Append":
        """
        Read what `format` gives.
        """
        fields: dict[str, Any] = {
            name: value.encode("latin-1") if isinstance(value, str) else value
            for name, value in intent.items()
        }
        return cls(**fields)


class Settling:
    """
    The settling of one message in a mailbox that is locked.
    """

    def __init__(self, path: bytes, mailbox: LockedMailbox, append: Append) -> None:
        self._path = path
        self._mailbox = mailbox
        self._append = append
        self._size = os.fstat(mailbox.descriptor).st_size

    def settle(self) -> bool:
        """
        Tell whether the message is there; it is on the disk to stay then.

        Raises:
            OSError, CannotDeliver: where that, or to take out a half, fails.
        """
        append = self._append
        unmoved = self._is(append.start - len(append.context), append.context)
        followed = unmoved and self._size > append.end
        unbroken = unmoved and self._digestIs(
            append.start, append.length - append.start, append.before
        )
        if unmoved and self._isWhole():
            if unbroken or followed:
                return self._synced()
            # It goes with the one before it that was left by half.
            return False
        begun = unbroken and self._size > append.length and self._isBegun()
        if begun and not followed:
            self._cutOff()
            return False
        if self._isElsewhere(unmoved):
            return self._synced()
        if begun:
            _log.warn(
                "a part of a message stays in {path}, as other mail follows it; the"
                " whole message comes again",
                path=shown(self._path),
            )
        return False

    def _isWhole(self) -> bool:
        append = self._append
        begin = append.length + len(append.opening)
        return self._is(append.length, append.opening) and self._digestIs(
            begin, append.size, append.digest
        )

    def _isBegun(self) -> bool:
        """
        Tell whether what is there is ours as far as it was written.
        """
        append = self._append
        ours = append.opening + append.head
        known = max(0, min(len(ours), self._size - append.length))
        octets = read_at(self._mailbox.descriptor, known, append.length)
        # A block that did not get to the disk is all NUL.
        if not all(octet in (0, our) for octet, our in zip(octets, ours, strict=False)):
            return False
        if self._size >= append.end:
            return True
        # What makes room was cut off, or its length was lost in part: nothing but the
        # From_ line had been written yet.
        closing = append.end - len(b"\r\n\r\n")
        begin = append.length + known
        room = self._pieces(begin, min(self._size, closing))
        rest = self._pieces(max(begin, closing), self._size)
        return not any(octets.strip(b"\0") for octets in room) and not any(
            octets.strip(b"\0\r\n") for octets in rest
        )

    def _cutOff(self) -> None:
        if not self._mailbox.writable:
            text = f"{shown(self._path)} has to be repaired and is not ours to write"
            raise CannotDeliver(text)
        os.ftruncate(self._mailbox.descriptor, self._append.length)
        os.fsync(self._mailbox.descriptor)

    def _isElsewhere(self, unmoved: bool) -> bool:
        """
        Look for the text in other places: others may have rewritten the mailbox.
        """
        append = self._append
        if unmoved:
            # What lies where a twin of it was put is the twin.
            found = self._places(append.start)
            return any(place not in append.twins for place in found)
        earlier = sum(place < append.length for place in append.twins)
        return sum(1 for _ in self._places(0)) > earlier

    def _places(self, begin: int) -> Iterator[int]:
        """
        Give where the text is, from a place on.
        """
        head = self._append.head
        kept, place = b"", begin
        for octets in self._pieces(begin, self._size):
            window = kept + octets
            found = window.find(head)
            while found >= 0:
                if self._isText(place + found):
                    yield place + found
                found = window.find(head, found + 1)
            kept = window[max(0, len(window) - len(head) + 1) :]
            place += len(window) - len(kept)

    def _isText(self, place: int) -> bool:
        end = place + self._append.size
        begins = place == 0 or self._is(place - 1, b"\n")
        ends = end == self._size or self._is(end, b"From ")
        return (
            begins
            and ends
            and self._digestIs(place, self._append.size, self._append.digest)
        )

    def _is(self, place: int, octets: bytes) -> bool:
        if self._size < place + len(octets):
            return False
        return read_at(self._mailbox.descriptor, len(octets), place) == octets

    def _digestIs(self, place: int, size: int, digest: bytes) -> bool:
        if self._size < place + size:
            return False
        computed = sha256()
        for octets in self._pieces(place, place + size):
            computed.update(octets)
        return computed.digest() == digest

    def _pieces(self, begin: int, end: int) -> Iterator[bytes]:
        for octets in pieces(self._mailbox.descriptor, begin, end, STEP):
            self._mailbox.refresh()
            yield octets

    def _synced(self) -> bool:
        # The process that wrote it may have died before it synced it.
        os.fsync(self._mailbox.descriptor)
        return True
