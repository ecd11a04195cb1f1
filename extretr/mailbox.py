"""
Any mailbox made seekable: the adapter from IMailboxPOP3 to ISeekableMailbox.

It is registered with `twisted.python.components`, so that a realm goes on handing
out the mailbox that it has.  Mailboxes that never declare the interface, that
return Deferreds, or whose files cannot seek are adapted all the same.
"""

from collections.abc import Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.components import registerAdapter
from zope.interface import implementer

from extretr.errors import MessageChanged, NoSuchMessage
from extretr.interfaces import ISeekableMailbox, IStoredFile
from extretr.message import STEP, SeekableMessage
from extretr.offsets import Measured, Measurer

#: Octets of a file that cannot seek that are kept in memory; more go to disk.
SPOOL_LIMIT = 1024 * 1024


def at_once(steps: Iterator[None]) -> "Deferred[Any]":
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def listMessages(self, index: int | None = None) -> Any:
        """
        Give one canonical size or all of them, 0 for deleted, or a Deferred.
        """
        if index is None:
            return self._chain(self.original.listMessages(), self._sizeAll)
        return self._chain(
            self.original.listMessages(index), lambda size: self._sizeOf(index, size)
        )

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

    def deleteMessage(self, index: int) -> None:
        """
        Mark a message as deleted.

        Raises:
            NoSuchMessage: where there is none, also for an index that a list would
                count from its end.
        """
        if index < 0:
            raise NoSuchMessage
        self.original.deleteMessage(index)
        self._marked.add(index)

    def undeleteMessages(self) -> None:
        """
        Take all marks of deletion back.
        """
        self.original.undeleteMessages()
        self._marked.clear()

    def sync(self) -> Any:
        """
        Remove what is marked, as the mailbox does it.
        """
        return self.original.sync()

    def openMessage(self, index: int) -> Any:
        """
        Give the message, or a Deferred of it: see `ISeekableMailbox`.
        """
        if index in self._marked:
            raise NoSuchMessage
        try:
            size = self.original.listMessages(index)
        except (ValueError, IndexError):
            raise NoSuchMessage from None
        if isinstance(size, Deferred):
            return size.addCallbacks(
                lambda size: self._openSized(index, size), _noSuchMessage
            )
        return self._openSized(index, size)

    def isDeleted(self, index: int) -> bool:
        """
        Tell whether a message is marked as deleted: for most mailboxes, its size is 0.
        """
        if index in self._marked:
            return True
        size = self.original.listMessages(index)
        # A mailbox that has to wait says it through the marks alone.
        return size == 0 if isinstance(size, int) else False

    def _openSized(self, index: int, size: int) -> Any:
        if not size:
            raise NoSuchMessage
        return self._chain(
            self._opened(index),
            lambda file: SeekableMessage(
                self._measured[index], lambda: (file, lambda: True)
            ),
        )

    def _sizeOf(self, index: int, size: int) -> Any:
        if not size or index in self._marked:
            return 0
        if index in self._measured:
            return self._measured[index].size

        def close(file: IStoredFile) -> int:
            file.close()
            return self._measured[index].size

        return self._chain(self._opened(index), close)

    def _sizeAll(self, sizes: list[int]) -> Any:
        found: list[int] = []

        def go_on(found_one: int | None = None) -> Any:
            if found_one is not None:
                found.append(found_one)
            while len(found) < len(sizes):
                index = len(found)
                size = self._sizeOf(index, sizes[index])
                if isinstance(size, Deferred):
                    return size.addCallback(go_on)
                found.append(size)
            return found

        return go_on()

    def _opened(self, index: int) -> Any:
        """
        Give the message's file, seekable, measured and at its beginning.
        """
        return self._chain(
            self.original.getMessage(index), lambda file: self._prepare(index, file)
        )

    def _prepare(self, index: int, file: Any) -> Any:
        # A file opened as text has the octets behind it.
        file = getattr(file, "buffer", file)
        seekable = getattr(file, "seekable", None)
        can_seek = seekable() if seekable is not None else hasattr(file, "seek")
        if index in self._measured and can_seek:
            return file
        kept: Any = file if can_seek else SpooledTemporaryFile(SPOOL_LIMIT)

        def finish(_: object = None) -> Any:
            if kept is not file:
                file.close()
            kept.seek(0)
            return kept

        steps = self._reading(index, file, None if can_seek else kept)
        if next(steps, self) is self:
            return finish()
        return maybeDeferred(self.cooperate, steps).addCallback(finish)

    def _reading(self, index: int, file: Any, spool: Any) -> Iterator[None]:
        measurer = Measurer()
        done = False
        try:
            while chunk := file.read(STEP):
                measurer.feed(chunk)
                if spool is not None:
                    spool.write(chunk)
                if len(chunk) == STEP:
                    yield
            measured = measurer.finish()
            if self._measured.setdefault(index, measured) != measured:
                raise MessageChanged
            done = True
        finally:
            if not done:
                file.close()

    @staticmethod
    def _chain(value: Any, then: Callable[[Any], Any]) -> Any:
        """
        Go on with *value*, at once or when it is there.
        """
        return value.addCallback(then) if isinstance(value, Deferred) else then(value)


def _noSuchMessage(failure: Any) -> None:
    failure.trap(ValueError, IndexError)
    raise NoSuchMessage


registerAdapter(SeekableMailbox, IMailboxPOP3, ISeekableMailbox)
