"""
Where the messages of an mbox begin and end.

A message begins with a From_ line: a line that begins with ``From ``, at the
beginning of the file or after an empty line.  That line is not part of the message,
nor is the empty line before the next one, or the one that the file ends with: it
belongs to the separator.  Lines end in LF or in CRLF.

One pass gives all that is to be known of each message.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from hashlib import sha256
from typing import NamedTuple

from extretr.errors import ExtRetrError
from extretr.offsets import Measured, Measurer
from extretr.stores.mbox_copy import pieces
from extretr.stores.mbox_quoting import Places, Unquoter
from extretr.wire import Canonicalizer

#: Octets of a From_ line that its checksum covers.
FROM_LINE = 1024

#: Octets that may be the beginning of a separator, and wait for the rest of it.
_HELD = len(b"\n\r\nFrom ")

#: Octets that are read in one step: if all lines are quoted, it takes 10 ms.
STEP = 64 * 1024

#: Parts of messages that are read between two turns of the reactor.
_TURN = 200


class NotAnMboxError(ExtRetrError):
    """
    There is no From_ line where there must be one.
    """


class Parsed(NamedTuple):
    """
    One message of an mbox.
    """

    #: Places in the file: of the From_ line, of the message's first octet, and of
    #: what comes after its last.
    from_at: int
    begin: int
    end: int
    #: CRC-32 of the first `FROM_LINE` octets of the From_ line.
    from_line: int
    #: SHA-256 of the canonical form.
    digest: bytes
    measured: Measured
    #: Where lines were unquoted: positions and places, see `Places`; else none.
    places: tuple[tuple[int, int], ...] = ()


class Parser:
    """
    Reads an mbox through, chunk by chunk.
    """

    def __init__(self, quoting: bool, begin: int = 0) -> None:
        """
        Args:
            quoting: whether lines are unquoted.
            begin: the place in the file, of a From_ line, that is begun at.
        """
        self.messages: list[Parsed] = []
        self._quoting = quoting
        self._buffer = b""
        #: Where in the buffer we are, and where in the file the buffer begins.
        self._at = 0
        self._base = begin
        self._from_at = self._begin = begin
        #: What is being read: the first line of all, a From_ line, or a message.
        self._step: Callable[[bool], bool] = self._first

    def feed(self, octets: bytes) -> Iterator[None]:
        """
        Take the next octets of the file, in steps.

        Raises:
            NotAnMboxError: where there is no From_ line at the beginning.
        """
        self._buffer += octets
        count = 0
        while self._step(False):
            count += 1
            if count % _TURN == 0:
                yield
        self._buffer = self._buffer[self._at :]
        self._base += self._at
        self._at = 0

    def finish(self) -> list[Parsed]:
        """
        Give the messages, in their order.

        Raises:
            NotAnMboxError: as feed does.
        """
        while self._step(True):
            pass
        return self.messages

    @property
    def _place(self) -> int:
        return self._base + self._at

    def _first(self, at_end: bool) -> bool:
        if not self._buffer or (len(self._buffer) < 5 and not at_end):
            return False
        if not self._buffer.startswith(b"From "):
            raise NotAnMboxError
        self._beginLine()
        return True

    def _beginLine(self) -> None:
        self._from_at = self._place
        self._line = b""
        self._step = self._fromLine

    def _fromLine(self, at_end: bool) -> bool:
        end = self._buffer.find(b"\n", self._at) + 1
        begun = end == 0
        if begun:
            end = len(self._buffer)
        wanted = min(end - self._at, FROM_LINE - len(self._line))
        self._line += self._buffer[self._at : self._at + wanted]
        self._at = end
        if begun and not at_end:
            return False
        self._begin = self._place
        self._canonical = Canonicalizer()
        self._measurer = Measurer()
        self._digest = sha256()
        self._unquoter = Unquoter() if self._quoting else None
        self._places = Places()
        self._stored = 0
        self._step = self._message
        return True

    def _message(self, at_end: bool) -> bool:
        separator = self._separator()
        if separator is not None:
            end, next_from = separator
            self._take(end)
            self._close()
            self._at = next_from
            self._beginLine()
            return True
        if not at_end:
            self._take(len(self._buffer) - _HELD)
            return False
        self._take(self._endOfLast())
        self._close()
        self._at = len(self._buffer)
        self._step = lambda at_end: False
        return False

    def _separator(self) -> tuple[int, int] | None:
        """
        Give where in the buffer the message ends and the next From_ line begins.
        """
        buffer = self._buffer
        found = buffer.find(b"\nFrom ", self._at)
        while found >= 0:
            empty = self._emptyLine(found)
            if empty is not None:
                return empty, found + 1
            found = buffer.find(b"\nFrom ", found + 1)
        return None

    def _endOfLast(self) -> int:
        """
        Give where in the buffer the last message of the file ends.
        """
        if self._buffer.endswith(b"\n") and len(self._buffer) > self._at:
            empty = self._emptyLine(len(self._buffer) - 1)
            if empty is not None:
                return empty
        return len(self._buffer)

    def _emptyLine(self, line_end: int) -> int | None:
        """
        Give where the line begins that this LF ends, None where it is not empty.
        """
        buffer, begin = self._buffer, line_end
        if begin > self._at and buffer[begin - 1] == 0x0D:
            begin -= 1
        if begin > self._at:
            return begin if buffer[begin - 1] == 0x0A else None
        return begin if self._place == self._begin else None

    def _take(self, end: int) -> None:
        """
        Take the octets up to this place in the buffer as the message's.
        """
        if end <= self._at:
            return
        octets = self._buffer[self._at : end]
        self._at = end
        if self._unquoter is None:
            self._learn(octets)
            return
        self._learn(self._unquoter.feed(octets))
        if self._unquoter.settled:
            self._places.passed(self._stored, self._place - self._begin)

    def _learn(self, stored: bytes) -> None:
        self._stored += len(stored)
        self._measurer.feed(stored)
        self._digest.update(self._canonical.feed(stored))

    def _close(self) -> None:
        unquoted = False
        if self._unquoter is not None:
            self._learn(self._unquoter.finish())
            unquoted = self._unquoter.changed
        self._digest.update(self._canonical.finish())
        self.messages.append(
            Parsed(
                self._from_at,
                self._begin,
                self._place,
                zlib.crc32(self._line),
                self._digest.digest(),
                self._measurer.finish(),
                self._places.finish() if unquoted else (),
            )
        )


def parsing(
    mailbox: int, parser: Parser, begin: int, end: int
) -> Generator[None, None, None]:
    """
    Give the octets of a file from one place to another to *parser*, in steps.

    Raises:
        NotAnMboxError: as the parser does.
        OSError: where they cannot be read.
    """
    for octets in pieces(mailbox, begin, end, STEP):
        yield from parser.feed(octets)
        yield
