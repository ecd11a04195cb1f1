"""
A stored message that can be opened at any offset.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zope.interface import implementer

from extretr.interfaces import ISeekableMessage, IStoredFile
from extretr.interrupted import Interrupted, identity_of
from extretr.offsets import Measured, locate
from extretr.wire import START, Position

#: Octets of the stored form read between two steps of measuring, which is well under
#: a millisecond's work.
STEP = 256 * 1024

#: Of all sessions: the next one of a client that hung up is another.
_interrupted = Interrupted()


def _always() -> bool:
    return True


@dataclass(slots=True)
class Opened:
    """
    A message open at an offset: what a transfer carries.
    """

    #: The stored form, at the position.
    file: IStoredFile
    position: Position
    #: Stored octets from the position to the end.
    left: int
    #: Whether the stored form is still what was opened; asked at the end, before
    #: anything closes the response (a short body must never look whole).
    unchanged: Callable[[], bool] = _always
    #: Whether every line of it ends in CRLF and none begins with a dot, so that but for
    #: its first octets it goes out as it is stored.
    plain: bool = False


@implementer(ISeekableMessage)
class SeekableMessage:
    """
    A measured message, and the means to open its stored form.
    """

    def __init__(
        self,
        measured: Measured,
        openStored: Callable[[], tuple[IStoredFile, Callable[[], bool]]],
    ) -> None:
        """
        Args:
            measured: what was measured.
            openStored: opens the stored form and gives it with a check, whether
                it is still the same; raises MessageChanged where it is not.
        """
        self.measured = measured
        self.size = measured.size
        self._openStored = openStored

    def openAt(self, offset: int) -> Opened:
        """
        Open at *offset*: see `ISeekableMessage`.
        """
        file, unchanged = self._openStored()
        plain = self.measured.identical and not self.measured.dotted
        if offset == 0:
            return Opened(file, START, self.measured.stored_size, unchanged, plain)

        def read(place: int, count: int) -> bytes:
            file.seek(place)
            return file.read(count)

        try:
            position = locate(self.measured, offset, read)
            file.seek(position.seek)
        except BaseException:
            file.close()
            raise
        left = self.measured.stored_size - position.seek
        return Opened(file, position, left, unchanged, plain)


def measuring(file: IStoredFile, done: Callable[[Measured], object]) -> Iterator[None]:
    """
    Measure *file* in steps, one a turn, close it and hand the result to *done*.

    Where the steps are given up, the next to measure the same file goes on from there.
    """
    measurer = _interrupted.take(file)
    identity = None
    try:
        while chunk := file.read(STEP):
            measurer.feed(chunk)
            more = len(chunk) == STEP
            # Many may be measured at once.
            del chunk
            if more:
                # Of a small file, which is never given up, nobody asks it.
                identity = identity or identity_of(file)
                yield
        done(measurer.finish())
    except GeneratorExit:
        _interrupted.keep(file, measurer, identity)
        raise
    finally:
        file.close()
