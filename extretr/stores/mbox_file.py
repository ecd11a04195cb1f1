"""
One message of an mbox as a file of its own: a window, unquoted where that is asked.
"""

import os
from io import FileIO

from zope.interface import implementer

from extretr.interfaces import IStoredFile
from extretr.offsets import SPACING
from extretr.stores.mbox_quoting import Unquoter, nearest


@implementer(IStoredFile)
class Window:
    """
    The octets of a file from one place to another.
    """

    def __init__(self, file: FileIO, begin: int, end: int) -> None:
        self._file = file
        self._begin = begin
        self._end = end
        self._at = begin

    def read(self, count: int) -> bytes:
        """
        Give at most *count* octets, none only at the end.
        """
        count = max(0, min(count, self._end - self._at))
        octets = os.pread(self._file.fileno(), count, self._at)
        self._at += len(octets)
        return octets

    def seek(self, position: int) -> None:
        """
        Go to an octet of the message.
        """
        self._at = self._begin + position

    def close(self) -> None:
        """
        Close the file.
        """
        self._file.close()


@implementer(IStoredFile)
class UnquotedWindow:
    """
    A window whose lines are unquoted as they are read.
    """

    def __init__(self, window: Window, places: tuple[tuple[int, int], ...]) -> None:
        """
        Args:
            window: the octets of the file.
            places: pairs of a position and its place in the window.
        """
        self._window = window
        self._places = places
        #: What was unquoted and not read yet; whether the window has ended.
        self._ready = b""
        self._ended = False
        self.seek(0)

    def read(self, count: int) -> bytes:
        """
        Give at most *count* octets, none only at the end.
        """
        while not self._ready and not self._ended:
            self._more()
        octets, self._ready = self._ready[:count], self._ready[count:]
        return octets

    def seek(self, position: int) -> None:
        """
        Go to an octet of the message.
        """
        at, place = nearest(self._places, position)
        line_start = True
        if place:
            self._window.seek(place - 1)
            line_start = self._window.read(1) == b"\n"
        self._window.seek(place)
        self._unquoter = Unquoter(line_start)
        self._ready = b""
        self._ended = False
        while at + len(self._ready) < position and not self._ended:
            at += len(self._ready)
            self._more()
        self._ready = self._ready[position - at :]

    def close(self) -> None:
        """
        Close the file.
        """
        self._window.close()

    def _more(self) -> None:
        octets = self._window.read(SPACING)
        self._ended = not octets
        self._ready = self._unquoter.feed(octets) if octets else self._unquoter.finish()
