"""
From the canonical form back to one that a store keeps: lines that end in LF.

What is stored so has the same canonical form again (see `extretr.wire.Canonicalizer`),
octet for octet: a CRLF that follows CR stays, since the LF of CR LF would be taken for
the end of a CRLF.
"""

import re

_LINE_END = re.compile(rb"(?<!\r)\r\n")


class LineEnds:
    """
    Turns the canonical form into the stored form, chunk by chunk.
    """

    def __init__(self, crlf: bool = False) -> None:
        """
        Args:
            crlf: whether the lines are to keep their CRLF.
        """
        self._crlf = crlf
        # A CR that may belong to a line end, and whether another came before it.
        self._held = b""
        self._after_cr = False

    def feed(self, canonical: bytes) -> bytes:
        """
        Give the stored form of the next octets, but for a CR at their end.
        """
        if self._crlf or not canonical:
            return canonical
        octets = self._held + canonical
        # The CR before the one that was held is out already; here it is looked at.
        before = b"\r" if self._after_cr else b""
        self._held = b"\r" if octets.endswith(b"\r") else b""
        self._after_cr = (before + octets).endswith(b"\r\r")
        octets = octets.removesuffix(b"\r")
        # Half as long as to replace takes.
        stored = b"\n".join(octets.split(b"\r\n"))
        if not before and b"\r" not in stored:
            # There was no CR but those of line ends.
            return stored
        return _LINE_END.sub(b"\n", before + octets)[len(before) :]

    def finish(self) -> bytes:
        """
        Give what was held back: no more came, so it ends no line.
        """
        held, self._held = self._held, b""
        return held


def lacking(ending: bytes, line_end: bytes) -> bytes:
    """
    Give what ends the last line of a text, if it lacks its end.

    Its canonical form stays as it is.

    Args:
        ending: the last octets of the text.
        line_end: how its lines end.
    """
    if not ending or ending.endswith(b"\n"):
        return b""
    # LF alone would make a line end of the CR.
    return b"\r\n" if ending.endswith(b"\r") else line_end
