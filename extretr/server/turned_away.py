"""
Who was turned away, in few lines of the log: a storm must not fill it.
"""

from twisted.logger import Logger

#: Seconds between two lines for one limit.
QUIET = 10.0


class TurnedAway:
    """
    Logs those that a limit has turned away, the first at once and others by number.
    """

    _log = Logger()

    def __init__(self) -> None:
        #: For each limit: when a line was written, and how many came since.
        self._told: dict[str, tuple[float, int]] = {}

    def note(self, limit: str, peer: str, now: float) -> None:
        """
        Take note of one more.

        Args:
            limit: the name of the limit.
            peer: who it was, for the log.
            now: the time in seconds.
        """
        last, count = self._told.get(limit, (now - QUIET, 0))
        if now - last < QUIET:
            self._told[limit] = (last, count + 1)
            return
        self._told[limit] = (now, 0)
        self._log.warn(
            "{peer} was turned away: too many {limit}; {count} others since the last"
            " such line",
            peer=peer,
            limit=limit,
            count=count,
        )
