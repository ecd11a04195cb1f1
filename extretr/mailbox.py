"""
Any mailbox made seekable: the adapter from IMailboxPOP3 to ISeekableMailbox.

It is registered with `twisted.python.components`, so that a realm goes on handing
out the mailbox that it has.  Mailboxes that never declare the interface, that
return Deferreds, or whose files cannot seek are adapted all the same.
"""

from collections.abc import Callable, Iterator
from io import TextIOBase
from tempfile import SpooledTemporaryFile
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.components import registerAdapter
from zope.interface import implementer

from extretr.errors import MessageChanged, NoSuchMessage
from extretr.interfaces import ISeekableMailbox
from extretr.message import STEP, SeekableMessage
from extretr.offsets import Measured, Measurer

#: Octets of a file that cannot seek that are kept in memory; more go to disk.
SPOOL_LIMIT = 1024 * 1024


def at_once(steps: Iterator[None]) -> "Deferred[None]":
    """
    Run the steps to their end, here and now: the plainest way to cooperate.
    """
    for _ in steps:
        pass
    return succeed(None)


@implementer(ISeekableMailbox)
class SeekableMailbox:
    """
    A seekable mailbox over one that gives no more than IMailboxPOP3.

    Sizes are measured when they are first asked for, and kept for the session.
    Whatever else the mailbox has (messageExpiration, say) shows through.
    """

    #: Runs an iterator, a step a turn; the server sets it to its scheduler.
    cooperate: Callable[[Iterator[None]], Any] = staticmethod(at_once)

    def __init__(self, mailbox: Any) -> None:
        self.original = mailbox
        self._measured: dict[int, Measured] = {}
        self._marked: set[int] = set()
        self._zero: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    # IMailboxPOP3

    def listMessages(self, index: int | None = None) -> Any:
        """
        Give one canonical size or all of them, 0 for deleted.
        """
        if index is None:
            return Deferred.fromCoroutine(self._sizes())
        return Deferred.fromCoroutine(self._size(index))

    def getMessage(self, index: int) -> Any:
        """
        Give what the mailbox gives.
        """
        return self.original.getMessage(index)

    def getUidl(self, index: int) -> Any:
        """
        Give the unique-id that the mailbox gives.
        """
        return self.original.getUidl(index)

    def deleteMessage(self, index: int) -> Any:
        """
        Mark a message as deleted.

        Raises:
            NoSuchMessage: for a negative index, which a list counts from its end.
        """
        if index < 0:
            raise NoSuchMessage
        result = self.original.deleteMessage(index)
        self._marked.add(index)
        return result

    def undeleteMessages(self) -> Any:
        """
        Take all marks of deletion back.
        """
        self._marked.clear()
        return self.original.undeleteMessages()

    def sync(self) -> Any:
        """
        Remove what is marked, as the mailbox does it.
        """
        return self.original.sync()

    # ISeekableMailbox

    def openMessage(self, index: int) -> "Deferred[SeekableMessage]":
        """
        Give a message, to be opened once: see `ISeekableMailbox`.
        """
        return Deferred.fromCoroutine(self._message(index))

    def countMessages(self) -> "Deferred[int]":
        """
        Give the number of messages, deleted ones included.
        """
        return maybeDeferred(self.original.listMessages).addCallback(len)

    def isDeleted(self, index: int) -> bool:
        """
        Tell whether a message is marked as deleted: for most mailboxes, its size is 0.

        Of a mailbox that makes one wait for sizes, what it last said is taken.
        """
        if index in self._marked:
            return True
        stored_size = self.original.listMessages(index)
        if isinstance(stored_size, Deferred):
            stored_size.addErrback(lambda _: None)
            return index in self._zero
        return bool(stored_size == 0)

    async def _sizes(self) -> list[int]:
        stored_sizes = await maybeDeferred(self.original.listMessages)
        return [
            await self._measure(index, stored_size, on_the_spot=False)
            for index, stored_size in enumerate(stored_sizes)
        ]

    async def _size(self, index: int) -> int:
        stored_size = await maybeDeferred(self.original.listMessages, index)
        return await self._measure(index, stored_size, on_the_spot=True)

    async def _measure(self, index: int, stored_size: int, on_the_spot: bool) -> int:
        if not stored_size:
            self._zero.add(index)
            return 0
        self._zero.discard(index)
        if index in self._marked:
            return 0
        if index not in self._measured:
            (await self._openMeasured(index, on_the_spot)).close()
        return self._measured[index].size

    async def _message(self, index: int) -> SeekableMessage:
        try:
            size = await maybeDeferred(self.original.listMessages, index)
        except (ValueError, IndexError):
            raise NoSuchMessage from None
        if not size or index in self._marked:
            raise NoSuchMessage
        file = await self._openMeasured(index, on_the_spot=True)
        return SeekableMessage(self._measured[index], lambda: (file, lambda: True))

    async def _openMeasured(self, index: int, on_the_spot: bool) -> Any:
        """
        Give the message's file, at its beginning, able to seek; and have it measured.
        """
        file = await maybeDeferred(self.original.getMessage, index)
        if isinstance(file, TextIOBase):
            # What counts is the octets behind the text.
            file = file.detach()
        if not _can_seek(file):
            # It outlives this call: whoever opens the message closes it.
            spool = SpooledTemporaryFile(SPOOL_LIMIT)  # noqa: SIM115
            steps = self._reading(index, file, spool)
        elif index in self._measured:
            return file
        else:
            spool = file
            steps = self._reading(index, file, None)
        # One small message is measured on the spot; more would hold the reactor.
        if not on_the_spot or next(steps, self) is not self:
            await maybeDeferred(self.cooperate, steps)
        spool.seek(0)
        return spool

    def _reading(self, index: int, file: Any, spool: Any) -> Iterator[None]:
        """
        Read *file* through, measure it and, where there is a spool, copy it there.
        """
        measurer = Measurer()
        whole = False
        try:
            while chunk := file.read(STEP):
                measurer.feed(chunk)
                if spool is not None:
                    spool.write(chunk)
                if len(chunk) >= STEP:
                    yield
            measured = measurer.finish()
            if self._measured.setdefault(index, measured) != measured:
                raise MessageChanged
            whole = True
        finally:
            if spool is not None or not whole:
                file.close()
            if spool is not None and not whole:
                spool.close()


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")


registerAdapter(SeekableMailbox, IMailboxPOP3, ISeekableMailbox)
