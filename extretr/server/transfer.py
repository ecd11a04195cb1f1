"""
The producers that carry a message, or a long list, to a transport.

Octets come as an iterator of blocks, made one at a time when the transport asks:
memory stays flat whatever the size.  After ``+OK`` the only honest "no" is to drop
the connection, so a block that cannot be made fails the transfer.
"""

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from extretr.errors import ExtRetrError, MessageChanged
from extretr.interfaces import IWholeFile
from extretr.message import Opened
from extretr.server.zero_copy import ZeroCopy
from extretr.wire import TERMINATOR, Encoder, LineCounter

#: Octets of the stored form read at once.  In base64 it makes eight full records of TLS
#: and no ninth: each costs as much as it takes to encode 16 KiB.
CHUNK = 126 * 1024

#: Blocks that may go out in one turn of the reactor while the socket takes them.
BURST = 4


class TransferCutError(ExtRetrError):
    """
    The connection was lost while a response was being sent.
    """


class MessageBlocks:
    """
    A greeting, the wire form of what was opened, and its end; closes the file.

    With a counter it ends where the counter is done, as TOP does.
    """

    def __init__(
        self, greeting: bytes, opened: Opened, counter: LineCounter | None = None
    ) -> None:
        self._greeting = greeting
        self._opened = opened
        self._counter = counter
        self._encoder = Encoder(opened.position)
        self._end = opened.position.seek + opened.left
        self._begun = False
        #: Whether all was given, or no more can be.
        self.finished = False

    def __iter__(self) -> "MessageBlocks":
        return self

    def __next__(self) -> bytes:
        """
        Give the next block.

        Raises:
            MessageChanged: where the stored form is no longer what was listed: a
                short body is never closed by the terminating line.
        """
        if self.finished:
            raise StopIteration
        try:
            block = self._next()
        except BaseException:
            self.close()
            raise
        if self.finished:
            self._opened.file.close()
        return block

    def _next(self) -> bytes:
        opened = self._opened
        block, self._greeting, self._begun = self._greeting, b"", True
        if opened.left and not self._cutOff():
            stored = opened.file.read(min(CHUNK, opened.left))
            if not stored:
                raise MessageChanged
            opened.left -= len(stored)
            if self._counter is not None:
                stored = self._counter.feed(stored)
            wire = self._encoder.feed(stored)
            block = block + wire if block else wire
        if opened.left and not self._cutOff():
            return block
        if not opened.unchanged():
            raise MessageChanged
        self.finished = True
        return block + self._encoder.finish()

    def stretch(self) -> tuple[int, int, int] | None:
        """
        Give descriptor, place and count of what comes next and is stored as it is sent.

        None where there is none.  The first octets and the last are no part of it: they
        go through the encoder, which begins and ends every response.

        Raises:
            MessageChanged: where the stored form is no longer what was listed: only of
                that is it known that no line of it ends the response.
        """
        opened = self._opened
        count = opened.left - CHUNK
        if not (opened.plain and self._begun and count > 0) or self._counter:
            return None
        if not IWholeFile.providedBy(opened.file):
            return None
        if not opened.unchanged():
            raise MessageChanged
        return opened.file.descriptor, self._end - opened.left, count

    def passed(self, count: int) -> None:
        """
        Go on behind so many octets of the stretch, which were sent.
        """
        if count:
            self._opened.left -= count
            self._opened.file.seek(self._end - self._opened.left - 1)
            # All that the encoder knows of what went before is the last octet.
            self._encoder.feed(self._opened.file.read(1))

    def _cutOff(self) -> bool:
        return self._counter is not None and self._counter.done

    def close(self) -> None:
        """
        Let go of the file.
        """
        self.finished = True
        self._opened.file.close()


def line_blocks(greeting: bytes, lines: list[bytes], count: int) -> Iterator[bytes]:
    """
    Give *greeting*, the lines and the terminating line, *count* lines a block.
    """
    yield greeting
    for begin in range(0, len(lines), count):
        yield b"".join(lines[begin : begin + count])
    yield TERMINATOR


@implementer(IPullProducer)
class Transfer:
    """
    Carries blocks to a transport at the pace of the peer.
    """

    def __init__(
        self, transport: Any, blocks: Iterator[bytes], progress: Callable[[], object]
    ) -> None:
        """
        Args:
            transport: where to write.
            blocks: what to write.
            progress: called each time that the transport asks for more.
        """
        self._transport = transport
        self._write_at_once = getattr(transport, "writeAtOnce", None)
        self._write_later = getattr(transport, "writeLater", transport.write)
        self._zero_copy = ZeroCopy(transport, blocks)
        self._blocks = blocks
        self._progress = progress
        self._done: Deferred[None] | None = None

    def begin(self) -> "Deferred[None]":
        """
        Begin; the Deferred fires when the transport has taken all.

        It fails with TransferCutError where the connection is lost before, and with
        whatever the making of a block raises.
        """
        done = self._done = Deferred()
        self._transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """
        Write the next blocks.
        """
        if self._done is None:
            return
        self._progress()
        try:
            if self._zero_copy.send():
                return
            if self._write_at_once is not None:
                for _ in range(BURST):
                    if not self._write_at_once(next(self._blocks)):
                        return
            # The transport asks again only for what went through its buffer.
            self._write_later(next(self._blocks))
        except StopIteration:
            self._end(None)
        except Exception as error:
            self._end(error)

    def stopProducing(self) -> None:
        """
        Give up, since the connection is lost.
        """
        self._end(TransferCutError())

    def _end(self, error: Exception | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()
        if not isinstance(error, TransferCutError):
            self._transport.unregisterProducer()
        if error is None:
            done.callback(None)
        else:
            done.errback(error)


def drain() -> Iterator[bytes]:
    """
    Give one empty block: a transfer of it ends when the transport's buffer is empty.
    """
    yield b""
