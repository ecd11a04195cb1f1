"""
What ``mboxrd:`` takes off the lines of a message, and how places are found again.

A line that begins with ``>From ``, ``>>From `` and so on was quoted with one ``>``
when it was stored.  Without these the octets of the message lie closer together than
those of the file; where each lies is remembered sparsely.
"""

import re
from bisect import bisect_right

from extretr.offsets import MOST_CHECKPOINTS, SPACING

_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)

#: A last line that may be the beginning of a quoted one.
_BEGUN = re.compile(rb">*(>(?:F(?:r(?:om?)?)?)?)")


class Unquoter:
    """
    Takes one ``>`` off each quoted line, chunk by chunk.
    """

    def __init__(self, line_start: bool = True) -> None:
        """
        Args:
            line_start: whether a line begins with the first octet.
        """
        #: Whether any was taken off.
        self.changed = False
        self._line_start = line_start
        self._held = b""

    @property
    def settled(self) -> bool:
        """
        Whether all that was fed is given out.
        """
        return not self._held

    def feed(self, octets: bytes) -> bytes:
        """
        Give the unquoted octets, but for what may be the beginning of a quoted line.
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
        if begun is not None:
            # However many ">" there are, all but one of them go out either way, so
            # the last stands for all: the line still begins with it.
            octets, self._held = octets[: begun.start(1)], begun[1]
            self._line_start = True
        else:
            self._line_start = octets.endswith(b"\n") or not octets
        if b">From " in octets:
            octets, count = _QUOTED.subn(rb"\1", octets)
            self.changed = self.changed or count > 0
        return head + octets if head else octets

    def finish(self) -> bytes:
        """
        Give what was held back: no more came, so it was no quoted line.
        """
        held, self._held = self._held, b""
        return held


class Places:
    """
    Where some octets of an unquoted message lie in the file: at most 1,024 of them.
    """

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._places: list[int] = []
        self._spacing = SPACING

    def passed(self, position: int, place: int) -> None:
        """
        Learn that the octet at *position* lies *place* octets behind the first.
        """
        if place - (self._places[-1] if self._places else 0) < self._spacing:
            return
        self._positions.append(position)
        self._places.append(place)
        if len(self._places) > MOST_CHECKPOINTS:
            del self._positions[::2], self._places[::2]
            self._spacing *= 2

    def finish(self) -> tuple[tuple[int, int], ...]:
        """
        Give pairs of a position and a place; the first pair is that of the first octet.
        """
        return ((0, 0), *zip(self._positions, self._places, strict=True))


def nearest(places: tuple[tuple[int, int], ...], position: int) -> tuple[int, int]:
    """
    Give the last of the pairs that is not behind *position*.
    """
    return places[bisect_right(places, position, key=lambda pair: pair[0]) - 1]
