"""
What was being measured when its client hung up.

A large message on a slow disk takes longer to measure than some clients wait.  Each of
their sessions goes on where the one before was cut, and so the last comes to the end.
"""

from typing import Any

from extretr.offsets import Measurer

#: Messages that are remembered; each takes 256 KiB at most.
MOST = 16


class Interrupted:
    """
    Measurers that were given up halfway, by the files that they were reading.

    Only files that tell their identity are remembered: what a measurer has read must
    still be what is there.
    """

    def __init__(self) -> None:
        self._measurers: dict[Any, Measurer] = {}

    def take(self, file: Any) -> Measurer:
        """
        Give the measurer of *file*, and go to where it stands; a new one without.
        """
        if not self._measurers:
            # As ever: to ask what a file is costs as much as to open it.
            return Measurer()
        measurer = self._measurers.pop(identity_of(file), None)
        if measurer is None:
            return Measurer()
        file.seek(measurer.stored)
        return measurer

    def keep(self, file: Any, measurer: Measurer, identity: Any) -> None:
        """
        Keep a measurer that was given up, in place of the oldest if there are too many.

        Args:
            file: the file.
            measurer: what has read it.
            identity: what the file was when that began: with one that was written to
                meanwhile nobody must go on.
        """
        if identity is None or identity != identity_of(file):
            return
        self._measurers[identity] = measurer
        if len(self._measurers) > MOST:
            del self._measurers[next(iter(self._measurers))]


def identity_of(file: Any) -> Any:
    """
    Give what a file tells of its identity, None where it tells nothing.
    """
    identity = getattr(file, "identity", None)
    return None if identity is None else identity()
