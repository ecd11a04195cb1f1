"""
One message: asked for, downloaded from where it stopped, or left on the server.
"""

from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, fail
from twisted.mail.pop3 import LineTooLong
from twisted.python.failure import Failure

from extretr.client.batch import Arrived
from extretr.client.download import SPILL, Doubt, Download, InMemory
from extretr.client.events import BeganAgain, Progress, Skipped, Started
from extretr.client.journal import FILTERED, HEADER, WHOLE, Done
from extretr.client.maildrop import Entry, confirm
from extretr.client.protocol import ResumingPOP3Client
from extretr.client.refusals import OffsetOverrun, ProtocolViolation, ServerRefusal
from extretr.client.work import NotTold, Work

#: Octets of a header that is asked for without its message.
MOST_HEADER = 1024 * 1024

#: Filters that run at once.
FILTERS = 4

_END = b"\r\n\r\n"

#: A download, and what fires when all of it has come.
_Asked = tuple[Download, "Deferred[Any]"]

#: Seconds from one report of progress to the next, at least.
TELL_EVERY = 0.1


class Messages:
    """
    The messages that one connection brings.
    """

    def __init__(self, client: ResumingPOP3Client, work: Work, resuming: bool) -> None:
        """
        Args:
            client: logged in, its capabilities asked.
            work: what there is to do.
            resuming: whether the server offers EXT-RETR, and it is wanted.
        """
        self._client = client
        self._work = work
        self._resuming = resuming
        self._filters = DeferredSemaphore(FILTERS)

    def fetch(self, entry: Entry) -> "Deferred[Arrived | None]":
        """
        Fetch one message; None where it is left on the server.

        Raises:
            Renumbered: where it is not where it was.
            Exception: what ended the connection.
        """
        if entry.header_only or not entry.confirmed or self._is_to_filter(entry):
            return Deferred.fromCoroutine(self._fetch(entry))
        # As most are: a coroutine is made only where something is wrong with it.
        try:
            download, coming = self._ask(entry)
        except Exception:
            return fail()

        def arrived(_: object) -> Any:
            return Arrived(entry, WHOLE, download.finish(), download)

        def failed(failure: Failure) -> Any:
            again = self._fetch(entry, (download, fail(failure)))
            return Deferred.fromCoroutine(again)

        return coming.addCallback(arrived).addErrback(failed)

    async def _fetch(
        self, entry: Entry, asked: "_Asked | None" = None
    ) -> Arrived | None:
        if not entry.confirmed:
            begun = self._work.journal.partials.has(entry.unique_id)
            await confirm(self._client, [entry], sizes=begun)
        try:
            if asked is not None:
                return await self._body(entry, asked)
            return await self._wanted(entry)
        except ServerRefusal as refusal:
            if not self._client.isUsable:
                raise
            self._leave(entry, f"the server refuses it: {refusal}", failed=True)
        except NotTold as error:
            self._leave(entry, str(error), failed=True)
        return None

    async def _wanted(self, entry: Entry) -> Arrived | None:
        if entry.header_only:
            marked = _marked(await self._header(entry), entry.size)
            return Arrived(entry, HEADER, InMemory(marked), None)
        work = self._work
        if work.wanted is not None and self._is_to_filter(entry):
            header = InMemory(await self._header(entry))
            asking: Deferred[Any] = self._filters.run(work.wanted, header)
            work.asking.add(asking)
            try:
                wanted = await asking
            finally:
                work.asking.discard(asking)
            work.gained += 1
            if not wanted:
                self._leave(entry, "the filter does not want it")
                filtered = Done(entry.unique_id, FILTERED, entry.size)
                work.journal.settle([filtered], [])
                return None
            if not entry.ambiguous:
                work.passed.add(entry.unique_id)
        return await self._body(entry, self._ask(entry))

    def _is_to_filter(self, entry: Entry) -> bool:
        return (
            self._work.wanted is not None and entry.unique_id not in self._work.passed
        )

    async def _header(self, entry: Entry) -> bytes:
        header = bytearray()
        received, ended = 0, False

        def take(octets: bytes) -> None:
            nonlocal received, ended
            received += len(octets)
            if not ended:
                begin = max(0, len(header) - 3)
                header.extend(octets)
                # Servers are known that send all of the message.
                end = 0 if header.startswith(b"\r\n") else header.find(_END, begin) + 2
                ended = end != 1
                if ended:
                    del header[end + 2 :]
            most = MOST_HEADER + (2 * entry.size if ended else 0)
            if received > most:
                raise ProtocolViolation("the header of a message does not end")

        try:
            await self._client.retrieveTop(entry.index, 0, take)
        except (ProtocolViolation, LineTooLong) as violation:
            self._violated(entry, received > 0, violation)
            raise
        return bytes(header)

    def _ask(self, entry: Entry) -> "_Asked":
        download = self._download(entry)
        asked = self._client.retrieveOctets(
            entry.index, download.received, download.offset, download.started
        )
        return download, asked

    async def _body(self, entry: Entry, asked: "_Asked") -> Arrived:
        while True:
            download, coming = asked
            try:
                await self._retrieve(download, coming)
                return Arrived(entry, WHOLE, download.finish(), download)
            except (Doubt, OffsetOverrun) as doubt:
                if isinstance(doubt, Doubt) and not download.is_begun:
                    # Another message, that came before this one, is meant.
                    download.cut()
                    raise
                if isinstance(doubt, OffsetOverrun) and not download.offset:
                    # It was asked for from the beginning: it is no better to be had.
                    download.cut()
                    raise
                self._begin_again(entry, download, doubt)
                if not self._client.isUsable:
                    raise
            except (ProtocolViolation, LineTooLong) as violation:
                download.cut()
                self._violated(entry, download.is_begun, violation)
                raise
            except BaseException:
                self._work.gained += download.cut()
                raise
            asked = self._ask(entry)

    async def _retrieve(self, download: Download, coming: "Deferred[int]") -> None:
        try:
            await coming
        except ServerRefusal as refusal:
            if type(refusal) is not ServerRefusal or not download.offset:
                raise
            # It does not say what it refuses.  Where it does not hang up, what is held
            # is given up, as it may be no good with this server.
            await self._client.noop()
            raise OffsetOverrun(refusal.args[0]) from refusal

    def _download(self, entry: Entry) -> Download:
        work = self._work
        resuming = self._resuming and entry.unique_id not in work.whole_only

        def begun(resumed_at: int) -> None:
            work.tell(
                Started,
                unique_id=entry.unique_id,
                number=entry.index + 1,
                size=entry.size,
                resumed_at=resumed_at,
            )

        # What comes at once is not worth two reports.
        told = work.seconds() if entry.size < SPILL else float("-inf")

        def progress(held: int) -> None:
            nonlocal told
            now = work.seconds()
            if now - told >= TELL_EVERY:
                told = now
                work.tell(
                    Progress, unique_id=entry.unique_id, size=entry.size, held=held
                )

        def make() -> Download:
            return Download(
                entry.unique_id,
                entry.size,
                work.journal.partials,
                work.seconds,
                resuming and not entry.ambiguous,
                begun,
                progress,
            )

        try:
            return make()
        except Doubt as doubt:
            work.tell(BeganAgain, unique_id=entry.unique_id, why=str(doubt))
            return make()

    def _begin_again(self, entry: Entry, download: Download, doubt: Exception) -> None:
        work = self._work
        if entry.unique_id in work.doubted or self._client.isUsable:
            # It has come to its end, or not for the first time: resuming is no good.
            work.whole_only.add(entry.unique_id)
        work.doubted.add(entry.unique_id)
        download.discard()
        work.tell(BeganAgain, unique_id=entry.unique_id, why=str(doubt))

    def _violated(self, entry: Entry, begun: bool, violation: Exception) -> None:
        if begun and entry.unique_id in self._work.doubted:
            # Not for the first time: others shall come all the same.
            self._leave(entry, str(violation), failed=True)
        self._work.doubted.add(entry.unique_id)

    def _leave(self, entry: Entry, why: str, failed: bool = False) -> None:
        self._work.failed += failed
        self._work.skipped.add(entry.unique_id)
        self._work.tell(Skipped, unique_id=entry.unique_id, why=why)


def _marked(header: bytes, size: int) -> bytes:
    return b"X-Extretr-Left-On-Server: %d octets\r\n" % size + header
