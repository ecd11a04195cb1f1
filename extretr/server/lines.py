"""
Lines in: commands as they come, within their limits, one at a time.

Commands that were pipelined wait, as octets, until the one before them is answered.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from extretr.server.idling import IdlingMixin
from extretr.server.liveness import TransportSession
from extretr.server.output import Output
from extretr.server.transfer import drain
from extretr.syntax import LINE_LIMIT

#: Octets in a line of an AUTH exchange, with its CRLF: tokens and tickets are long
#: (RFC 5034, section 4; the number is that of RFC 4954).
AUTH_LINE_LIMIT = 12288

#: Octets of commands that may wait while one is being answered; then no more is
#: read from the peer until it is done.
INPUT_LIMIT = 4096

#: Lines that are answered in one turn of the reactor: of short messages that is some
#: milliseconds' work, for which all other sessions wait.
COMMANDS_A_TURN = 200


class LinesMixin(IdlingMixin):
    """
    How a session takes lines from its transport.
    """

    #: The peer's signs of life, once there is a connection.
    session: TransportSession | None = None

    transport: Any
    #: None, or a list while a command is being answered (as stock has it).
    blocked: Any
    #: "COMMAND", or "AUTH" while a SASL response is waited for (as stock has it).
    state: str
    lineReceived: Callable[[bytes], Any]
    failResponse: Callable[..., None]
    _hold: Callable[[Any], Any]
    _run: Callable[[Coroutine[Any, Any, Any]], Any]
    _carry: Callable[[Iterator[bytes]], Any]
    _turn: Callable[[], Coroutine[Any, Any, None]]

    _buffer = b""
    _taken = 0
    #: Commands that stock code had queued, while they are run.
    _queued: list[Any] | None = None
    #: What the next command waits for, or waited for, since others came too fast.
    _slowed: "Deferred[None] | None" = None
    _discarding = False
    _working = False
    _paused = False
    #: Whether the session takes no more commands.
    _over = False

    def dataReceived(self, data: bytes) -> None:
        """
        Take octets from the peer; answer the commands that they complete.
        """
        if self.session is not None:
            self.session.received()
        if self._over:
            return
        self._buffer += data
        self._work()

    def _work(self) -> None:
        """
        Answer the commands in the buffer, one after another, until one takes time.
        """
        if self._working or self._over:
            return
        self._working = True
        below = self.transport
        output = below if isinstance(below, Output) else None
        if output is not None:
            below = output.original
            output.heard = not output.heard
            output.cork()
        answered, left = False, COMMANDS_A_TURN
        try:
            # In the order of how often it is what ends the loop.
            while (
                self._taken < len(self._buffer)
                and (self.blocked is None or self.state == "AUTH")
                and not self._over
                and not getattr(below, "disconnecting", False)
                and (line := self._nextLine()) is not None
            ):
                if self._answersAtOnce(line):
                    answered = True
                else:
                    self.lineReceived(line)
                left -= 1
                if left <= 0 and self.blocked is None:
                    left = COMMANDS_A_TURN
                    self._slowed = self._run(self._turn())
                elif (
                    output is not None
                    and output.waiting
                    and output.isClogged()
                    and self.blocked is None
                ):
                    # The peer asks faster than it reads.
                    self._hold(self._carry(drain()).addCallback(output.drained))
        finally:
            self._working = False
            if self._taken == len(self._buffer):
                self._buffer, self._taken = b"", 0
            if output is not None:
                output.uncork()
        if answered and not self._over:
            # Once for all of them: they came together.
            self.resetTimeout()
        if self._paused or len(self._buffer) > INPUT_LIMIT:
            self._regulate()

    def _answersAtOnce(self, line: bytes) -> bool:
        """
        Answer a line by a shorter way than `lineReceived`, and tell whether that was
        possible.
        """
        return False

    def _takesLines(self) -> bool:
        """
        Tell whether the next line has its turn: nothing is being answered, or what is
        waits for it.
        """
        return self.blocked is None or self.state == "AUTH"

    def _lineLimit(self) -> int:
        start = self._buffer[self._taken : self._taken + 5]
        longer = self.state == "AUTH" or start.upper() == b"AUTH "
        return AUTH_LINE_LIMIT if longer else LINE_LIMIT

    def _stopped(self) -> bool:
        return self._over or bool(getattr(self.transport, "disconnecting", False))

    def _nextLine(self) -> bytes | None:
        """
        Take one line out of the buffer; one that is too long is refused and forgotten.
        """
        while True:
            begin, end = self._taken, self._buffer.find(b"\r\n", self._taken)
            if 0 <= end - begin <= LINE_LIMIT - 2 and not self._discarding:
                # No limit is less than this one.
                self._taken = end + 2
                return self._buffer[begin:end]
            limit = self._lineLimit()
            if end < 0:
                self._buffer, self._taken = self._buffer[self._taken :], 0
                if len(self._buffer) > limit:
                    # A CR at the end may be half of what ends the line.
                    self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
                    self._refuseLong()
                return None
            line = self._buffer[begin:end]
            self._taken = end + 2
            if len(line) > limit - 2:
                self._refuseLong()
            elif not self._discarding:
                return line
            self._discarding = False

    def _refuseLong(self) -> None:
        if not self._discarding:
            self._discarding = True
            self._longLineReceived()

    def _longLineReceived(self) -> None:
        """
        Answer a line that is too long, and of which no more is kept.
        """
        self.failResponse(b"command line too long")

    def _regulate(self) -> None:
        """
        Read on from the peer, or let it wait, by how much of it waits already.
        """
        waiting = len(self._buffer) - self._taken
        full = waiting > INPUT_LIMIT and not self._takesLines()
        if full == self._paused or self._stopped():
            return
        act = "pauseProducing" if full else "resumeProducing"
        if hasattr(self.transport, act):
            getattr(self.transport, act)()
            self._paused = full

    def _forget(self) -> None:
        """
        Forget the commands that wait, also those that stock code has queued.
        """
        self._buffer, self._taken = b"", 0
        for waiting in (self._queued, self.blocked):
            if waiting:
                waiting.clear()
