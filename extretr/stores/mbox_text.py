"""
A message as it stands in an mbox: the From_ line, the message, an empty line.

Lines that a reader would take for a From_ line are quoted as ``mboxrd`` has it: each
that begins with ``From ``, ``>From ``, ``>>From `` and so on gets one more ``>``.
"""

import re
import time
from collections.abc import Iterable, Iterator

from extretr.stores.appending import Source, whole
from extretr.stores.line_ends import LineEnds, lacking

#: Octets that are written at once.
STEP = 256 * 1024

#: Octets of a message in which its sender is looked for.
_HEAD = 64 * 1024

_TO_QUOTE = re.compile(rb"^(?=>*From )", re.MULTILINE)

#: A last line that may be the beginning of one to be quoted.
_BEGUN = re.compile(rb">*((?:F(?:r(?:om?)?)?)?)")

_RETURN_PATH = re.compile(rb"^return-path:(.*?)\r?$", re.MULTILINE | re.IGNORECASE)
_ATOM = rb"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,128}"
_ADDRESS = re.compile(
    rb"[ \t]*(<?)(%b(?:@[A-Za-z0-9._:\[\]-]{1,255})?)(>?)[ \t]*" % _ATOM
)


class Quoter:
    """
    Puts one ``>`` before each line that needs it, chunk by chunk.
    """

    def __init__(self) -> None:
        # Whether the line so far is nothing but ">": these are out already, as one
        # more may follow them as well as come before.
        self._line_start = True
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        """
        Give the quoted octets, but for what may be the beginning of ``From ``.
        """
        octets, self._held = self._held + octets, b""
        head = b""
        if not self._line_start:
            # The rest of a line whose beginning has gone out.
            end = octets.find(b"\n") + 1
            if end == 0:
                return octets
            head, octets = octets[:end], octets[end:]
        begun = _BEGUN.fullmatch(octets, octets.rfind(b"\n") + 1)
        self._line_start = begun is not None
        if begun is not None:
            octets, self._held = octets[: begun.start(1)], begun[1]
        if b"From " in octets:
            octets = _TO_QUOTE.sub(b">", octets)
        return head + octets if head else octets

    def finish(self) -> bytes:
        """
        Give what was held back: no more came, so it needs no quoting.
        """
        held, self._held = self._held, b""
        return held


class MboxText:
    """
    The text of one message.
    """

    def __init__(self, source: Source, from_line: bytes, crlf: bool) -> None:
        """
        Args:
            source: the message.
            from_line: its From_ line, without a line end.
            crlf: whether lines end in CRLF; else in LF.
        """
        self._source = source
        self._from_line = from_line
        self._crlf = crlf

    def pieces(self) -> Iterator[bytes]:
        """
        Give the text, in chunks of `STEP` octets at least but for the last.

        Raises:
            CannotDeliver: where the source is not as long as it should be.
        """
        return _gathered(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        line_end = b"\r\n" if self._crlf else b"\n"
        yield self._from_line + line_end
        ending = b""
        for octets in self._quoted():
            ending = octets[-1:] or ending
            yield octets
        yield lacking(ending, line_end) + line_end

    def _quoted(self) -> Iterator[bytes]:
        line_ends = LineEnds(self._crlf)
        quoter = Quoter()
        for octets in whole(self._source):
            yield quoter.feed(line_ends.feed(octets))
        yield quoter.feed(line_ends.finish())
        yield quoter.finish()


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    count = 0
    for octets in pieces:
        waiting.append(octets)
        count += len(octets)
        if count >= STEP:
            yield b"".join(waiting)
            waiting, count = [], 0
    if waiting:
        yield b"".join(waiting)


def from_line_of(source: Source, seconds: float) -> bytes:
    """
    Give a From_ line: who sent a message, and when it came, in UTC.

    Args:
        source: the message.
        seconds: when it came, in seconds since the epoch.
    """
    when = time.asctime(time.gmtime(seconds)).encode("ascii")
    return b"From %b %b" % (_sender(source), when)


def _sender(source: Source) -> bytes:
    """
    Give the address of the first Return-Path, if it is a plain one.
    """
    head = b""
    for octets in source.pieces():
        head += octets
        if b"\r\n\r\n" in head or len(head) >= _HEAD:
            break
    found = _RETURN_PATH.search(head[:_HEAD].partition(b"\r\n\r\n")[0])
    address = _ADDRESS.fullmatch(found[1]) if found else None
    if address is None or bool(address[1]) != bool(address[3]):
        return b"MAILER-DAEMON"
    return address[2]


def opening(ending: bytes, crlf: bool) -> bytes:
    """
    Give what an mbox lacks at its end for another message to follow.

    The canonical form of the last message stays as it is.

    Args:
        ending: its last octets, three at least where it has so many.
        crlf: whether lines end in CRLF.
    """
    if not ending or ending.endswith((b"\n\n", b"\n\r\n")):
        return b""
    line_end = b"\r\n" if crlf else b"\n"
    return lacking(ending, line_end) + line_end
