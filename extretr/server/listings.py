"""
STAT, LIST and UIDL: what a session is told of all its messages.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred

from extretr.coroutines import awaited
from extretr.errors import BadSyntax, NoSuchMessage
from extretr.interfaces import IListableMailbox
from extretr.server.short import ShortMixin
from extretr.server.transfer import line_blocks
from extretr.syntax import (
    as_unique_id,
    as_unique_ids,
    parse_index,
    printable,
    success,
)
from extretr.wire import TERMINATOR

BAD_NUMBER = b"Bad message number argument"

#: Lines of a list that are made, or written, before others get their turn.
LINES_A_TURN = 1000

#: A line of LIST, and one of UIDL.
SIZE_LINE = b"%d %d\r\n"
UNIQUE_ID_LINE = b"%d %b\r\n"


def listing_lines(
    form: bytes,
    values: Callable[[int, int], Sequence[Any]],
    count: int,
    hidden: Collection[int],
    piece: int,
) -> Iterator[bytes]:
    """
    Give the lines of all messages but the hidden ones, some of them at a time, at
    least one.

    Args:
        form: a line with its number and its value to be filled in.
        values: gives those of the messages from one index to another.
        count: the number of messages.
        hidden: indexes.
        piece: messages at a time.
    """
    for begin in range(0, count, piece):
        end = min(begin + piece, count)
        numbers: Iterable[int] = range(begin + 1, end + 1)
        some = values(begin, end)
        if hidden:
            shown = [index not in hidden for index in range(begin, end)]
            if not all(shown):
                pairs = zip(numbers, some, shown, strict=True)
                kept = [(number, value) for number, value, shows in pairs if shows]
                numbers = [number for number, _ in kept]
                some = [value for _, value in kept]
        if not some:
            # A transport that is given nothing to send never asks for more.
            continue
        # One formatting of a thousand lines takes half the time of a thousand.
        fields: list[Any] = [None] * (2 * len(some))
        fields[::2] = numbers
        fields[1::2] = some
        yield form * len(some) % tuple(fields)


class ListingMixin(ShortMixin):
    """
    How a session lists the messages.
    """

    def do_STAT(self) -> "Deferred[None] | None":
        """
        Give the number of messages and their octets, without those marked as deleted.
        """
        return self._run(self._stat())

    async def _stat(self) -> None:
        mailbox = self.mbox
        if IListableMailbox.providedBy(mailbox):
            await awaited(mailbox.measureAll)
            count = mailbox.countMessages() - len(mailbox.hidden())
            octets = mailbox.total()
        else:
            sizes = [size for _, size in await self._listed()]
            count, octets = len(sizes), sum(sizes)
        self.successResponse(b"%d %d" % (count, octets))

    def do_LIST(self, number: bytes | None = None) -> "Deferred[None] | None":
        """
        Give the size of one message, or of all that are not marked as deleted.
        """
        if number is None:
            return self._run(self._listAll())
        return self._run(self._listOne(number))

    async def _listAll(self) -> None:
        mailbox = self.mbox
        if IListableMailbox.providedBy(mailbox):
            await awaited(mailbox.measureAll)
            count = mailbox.countMessages() - len(mailbox.hidden())
            await self._sendListing(success(b"%d" % count), SIZE_LINE, mailbox.sizes)
            return
        listed = await self._listed()
        lines = [SIZE_LINE % (index + 1, size) for index, size in listed]
        await self._sendLines(success(b"%d" % len(listed)), lines)

    async def _listOne(self, number: bytes) -> None:
        try:
            index = parse_index(number)
            size = await awaited(self.mbox.listMessages, index)
        except (BadSyntax, NoSuchMessage, ValueError, IndexError):
            self.failResponse(b"Invalid message-number: " + printable(number))
            return
        if size == 0 and self.mbox.isDeleted(index):
            raise NoSuchMessage
        self.successResponse(b"%d %d" % (index + 1, size))

    async def _listed(self) -> list[tuple[int, int]]:
        """
        Give index and size of each message that is not marked as deleted.
        """
        sizes = await awaited(self.mbox.listMessages)
        return [
            (index, size)
            for index, size in enumerate(sizes)
            # 0 stands for deleted, but a message may be of 0 octets too.
            if size or not self.mbox.isDeleted(index)
        ]

    def do_UIDL(self, number: bytes | None = None) -> "Deferred[None] | None":
        """
        Give the unique-id of one message, or of all that are not marked as deleted.
        """
        if number is None:
            return self._run(self._uidlAll())
        return self._run(self._uidlOne(number))

    async def _uidlAll(self) -> None:
        mailbox = self.mbox
        if IListableMailbox.providedBy(mailbox):

            def unique_ids(begin: int, end: int) -> Sequence[bytes]:
                return as_unique_ids(mailbox.uniqueIds(begin, end))

            await self._sendListing(success(), UNIQUE_ID_LINE, unique_ids)
            return
        lines = []
        for index in range(await awaited(self.mbox.countMessages)):
            if index % LINES_A_TURN == LINES_A_TURN - 1:
                await self._turn()
            if not self.mbox.isDeleted(index):
                unique_id = self.mbox.getUidl(index)
                if isinstance(unique_id, Deferred):
                    unique_id = await unique_id
                lines.append(UNIQUE_ID_LINE % (index + 1, as_unique_id(unique_id)))
        await self._sendLines(success(), lines)

    async def _uidlOne(self, number: bytes) -> None:
        try:
            index = parse_index(number)
            unique_id = await awaited(self.mbox.getUidl, index)
            deleted = self.mbox.isDeleted(index)
        except (BadSyntax, NoSuchMessage, ValueError, IndexError):
            self.failResponse(BAD_NUMBER)
            return
        if deleted:
            raise NoSuchMessage
        self.successResponse(b"%d %b" % (index + 1, as_unique_id(unique_id)))

    async def _sendListing(
        self,
        greeting: bytes,
        form: bytes,
        values: Callable[[int, int], Sequence[Any]],
    ) -> None:
        count, hidden = self.mbox.countMessages(), self.mbox.hidden()
        lines = listing_lines(form, values, count, hidden, LINES_A_TURN)
        await self._sendBlocks(chain((greeting,), lines, (TERMINATOR,)), count)

    async def _sendLines(self, greeting: bytes, lines: list[bytes]) -> None:
        blocks = line_blocks(greeting, lines, LINES_A_TURN)
        await self._sendBlocks(blocks, len(lines))

    async def _sendBlocks(self, blocks: Iterator[bytes], count: int) -> None:
        """
        Send a response of so many lines: at once, or at the peer's pace.
        """
        if count <= LINES_A_TURN:
            self.transport.write(b"".join(blocks))
        else:
            await self._carry(blocks)
