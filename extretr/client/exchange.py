"""
A command and what it is answered with, fed with the server's octets as they come.

Several exchanges may be under way at once (RFC 2449, section 6.6), so each gives back
what is not its own.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.mail.pop3 import LineTooLong

from extretr.client.refusals import ProtocolViolation, refusal
from extretr.wire import Decoder

#: Octets of a response's first line, and of a line of a list: 512 are allowed (RFC
#: 2449, section 4), and more than that is sent, but nothing like this.
LINE_LIMIT = 16 * 1024


class Exchange:
    """
    A command with a response of one line; the Deferred fires with its text.
    """

    def __init__(self, command: bytes | None, alone: bool = False) -> None:
        """
        Args:
            command: the line without its end; None for the greeting, that no command
                asks for.
            alone: whether nothing may be sent before this is answered.
        """
        self.command = command
        self.alone = alone
        self.result: Deferred[Any] = Deferred()
        self._line = b""

    def feed(self, octets: bytes) -> bytes | None:
        """
        Take octets; give those behind the response where it is complete, else None.

        Raises:
            Refused: where the response is ``-ERR``.
            LineTooLong, ProtocolViolation: where it is no response.
        """
        split = self.takeLine(octets)
        if split is None:
            return None
        line, rest = split
        self.answer: Any = status_of(line, rest)
        return rest

    def take(self, data: bytes, begin: int) -> int | None:
        """
        Take octets from *begin* on; give where the next response begins, or None: see
        `feed`.
        """
        rest = self.feed(data[begin:] if begin else data)
        return None if rest is None else len(data) - len(rest)

    def takeLine(self, octets: bytes) -> tuple[bytes, bytes] | None:
        """
        Give the next line without its end, and what follows; None until it has come.

        Raises:
            LineTooLong: where it is longer than any response may be.
        """
        if self._line:
            octets, self._line = self._line + octets, b""
        line, end, rest = octets.partition(b"\r\n")
        if len(line) > LINE_LIMIT:
            raise LineTooLong("the server sent a line that is far too long")
        if not end:
            self._line = octets
            return None
        return line, rest


class Lines(Exchange):
    """
    A command with a response of many lines, each given to a consumer as it came.
    """

    def __init__(
        self,
        command: bytes,
        consumer: Callable[[Any], object],
        transform: Callable[[bytes], Any] | None,
        limit: int | None = LINE_LIMIT,
    ) -> None:
        """
        Args:
            command: the line without its end.
            consumer: gets each line; the Deferred fires with it.
            transform: what is made of a line first.
            limit: octets of a line; None for any number.
        """
        super().__init__(command)
        self.answer = self._consumer = consumer
        self._transform = transform
        self._limit = limit
        self._begun = False
        self._parts: list[bytes] = []

    def feed(self, octets: bytes) -> bytes | None:
        """
        Take octets: see `Exchange`.
        """
        if not self._begun:
            split = self.takeLine(octets)
            if split is None:
                return None
            status_of(split[0], split[1], self._consumer)
            self._begun = True
            octets = split[1]
            if not octets:
                return None
        ending = self._parts[-1][-1:] if self._parts else b""
        if b"\r\n" not in ending + octets:
            # A line may be of many chunks, and is put together once.
            self._parts.append(octets)
            self._check(sum(map(len, self._parts)) if self._limit else 0)
            return None
        lines = b"".join([*self._parts, octets]).split(b"\r\n")
        self._parts = []
        last = lines.pop()
        for number, line in enumerate(lines):
            if line == b".":
                return b"\r\n".join([*lines[number + 1 :], last])
            self._check(len(line))
            self._consumer(self._transform(line) if self._transform else line)
        self._check(len(last))
        if last:
            self._parts.append(last)
        return None

    def _check(self, octets: int) -> None:
        if self._limit is not None and octets > self._limit:
            raise LineTooLong("the server sent a line that is far too long")


class Body(Exchange):
    """
    A command that a message, or its top, answers: canonical octets to a consumer.
    """

    def __init__(
        self,
        command: bytes,
        consumer: Callable[[bytes], object],
        started: Callable[[bytes], object] | None = None,
    ) -> None:
        """
        Args:
            command: the line without its end.
            consumer: gets canonical octets, as soon as they are certain.
            started: gets the text of the first line, before the first octet.
        """
        super().__init__(command)
        self._consumer = consumer
        self._started = started
        self._decoder: Decoder | None = None
        #: Canonical octets received; the Deferred fires with their number.
        self.answer = 0

    def take(self, data: bytes, begin: int) -> int | None:
        """
        Take octets: see `Exchange`.

        What lies behind the end is not copied: with small messages, that is most of
        what has come.
        """
        # To look for a dot is far cheaper, and large messages (base64, say) have none.
        dot = data.find(b".", begin)
        end = data.find(b"\r\n.\r\n", max(begin, dot - 2)) + 5 if dot >= 0 else 0
        if end < 5:
            return super().take(data, begin)
        try:
            rest = self.feed(data[begin:end])
        except Refused as refused:
            # The end was that of another message.
            refused.rest += data[end:]
            raise
        return super().take(data, end) if rest is None else end - len(rest)

    def feed(self, octets: bytes) -> bytes | None:
        """
        Take octets: see `Exchange`.  What the consumer raises goes on to the caller.
        """
        decoder = self._decoder
        if decoder is None:
            split = self.takeLine(octets)
            if split is None:
                return None
            line, octets = split
            text = status_of(line, octets)
            decoder = self._decoder = Decoder()
            if self._started is not None:
                self._started(text)
            if not octets:
                return None
        canonical = decoder.feed(octets)
        if canonical:
            self.answer += len(canonical)
            self._consumer(canonical)
        return decoder.rest if decoder.finished else None


class Refused(Exception):
    """
    The response was ``-ERR``: the exception for it, and the octets that follow.
    """

    def __init__(self, reason: Exception, rest: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = rest


def status_of(line: bytes, rest: bytes, consumer: Any = None) -> bytes:
    """
    Give the text of a response's first line.

    Raises:
        Refused: where it is negative.
        ProtocolViolation: where it is no first line.
    """
    status, _, text = line.partition(b" ")
    if status == b"+OK":
        return text
    if status == b"-ERR":
        raise Refused(refusal(text, consumer), rest)
    raise ProtocolViolation("the server sent what is no response")
