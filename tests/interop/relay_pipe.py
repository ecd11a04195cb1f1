"""
One direction of a relayed connection: octets that travel, and when they arrive.
"""

import socket
from collections import deque

#: Octets of one read at most.
_PIECE = 1 << 18

#: Octets that wait for their receiver, until no more are read: where they travel for a
#: while, so many that the delay alone does not limit the rate.
_WAITING = 1 << 20
_TRAVELLING = 1 << 26

#: Seconds of a throttled link's time that are read at once, and that it makes up for
#: where this program was late.
_SLICE = 0.01


class Pipe:
    """
    Carries octets from a source to a sink, both sockets that do not block.

    Each piece has a time of arrival, so a delay holds up neither the order nor the
    rate.  Where a rate is given, a piece enters when the one before has.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        rate: float | None = None,
        delay: float = 0.0,
        limit: int | None = None,
    ) -> None:
        """
        Args:
            source: where octets come from.
            sink: where they go to.
            rate: octets per second.
            delay: seconds that each octet travels.
            limit: octets after which nothing is carried any more.
        """
        self._source = source
        self._sink = sink
        self._rate = rate
        self._delay = delay
        self._limit = limit
        #: Pieces and their times of arrival; the empty piece is the source's end.
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self._waiting = 0
        self._most = _TRAVELLING if delay else _WAITING
        self._free_at = 0.0
        self._has_ended = False
        #: Why the source has no more, where it was no end in good order.
        self._failure: OSError | None = None
        #: Whether the sink has gone: what enters then is lost.
        self._is_broken = False
        #: Octets that the sink has taken.
        self.carried = 0
        #: Whether the source has ended, and the sink has been told where it is there.
        self.finished = False

    @property
    def is_full(self) -> bool:
        """
        Whether exactly as many octets as may have passed.
        """
        return self.carried == self._limit

    def wants_to_read(self, now: float) -> bool:
        """
        Tell whether something of the source may enter.
        """
        return (
            not self._has_ended and self._waiting < self._most and self._free_at <= now
        )

    def wants_to_write(self, now: float) -> bool:
        """
        Tell whether something has arrived at the sink.
        """
        return bool(self._pieces) and self._pieces[0][0] <= now

    def next_change(self, now: float) -> float | None:
        """
        Give when, by the clock alone, one of the two becomes true.
        """
        times = [self._free_at] if not self._has_ended else []
        times += [self._pieces[0][0]] if self._pieces else []
        return min((time for time in times if time > now), default=None)

    def read(self, now: float) -> None:
        """
        Let octets of the source enter, or its end.
        """
        size = _PIECE
        if self._rate is not None:
            size = max(1, min(size, int(self._rate * _SLICE)))
        try:
            octets = self._source.recv(size)
        except BlockingIOError:
            return
        except OSError as failure:
            # It arrives after all that the source has said before.
            self._failure = failure
            octets = b""
        self._has_ended = not octets
        if self._is_broken:
            self.finished = self._has_ended
            return
        enters_at = now
        if self._rate is not None:
            enters_at = max(self._free_at, now - _SLICE) + len(octets) / self._rate
            self._free_at = enters_at
        self._pieces.append((enters_at + self._delay, memoryview(octets)))
        self._waiting += len(octets)

    def write(self, now: float) -> None:
        """
        Give the sink what has arrived, as far as it takes it and the limit allows.

        Raises:
            OSError: where what has arrived is that the source has gone.
        """
        try:
            while self.wants_to_write(now) and not self.is_full:
                self._write_piece(*self._pieces.popleft())
        except BlockingIOError:
            pass
        except OSError:
            if self.finished and self._failure is not None:
                raise
            # The source is told by the other direction, after what comes before that.
            self._is_broken = True
            self._pieces.clear()
            self._waiting = 0
            self.finished = self._has_ended

    def _write_piece(self, arrived_at: float, piece: memoryview) -> None:
        if not piece:
            self.finished = True
            if self._failure is not None:
                raise self._failure
            self._sink.shutdown(socket.SHUT_WR)
            return
        allowed = piece if self._limit is None else piece[: self._limit - self.carried]
        taken = 0
        try:
            taken = self._sink.send(allowed)
        finally:
            self.carried += taken
            self._waiting -= taken
            if taken < len(piece):
                self._pieces.appendleft((arrived_at, piece[taken:]))
