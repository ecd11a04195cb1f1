"""
Messages on their last step: what has come whole, delivered some at a time.

Before a message is put where it belongs the journal has on the disk what is about to
happen; after it, that it has.  A run that ends between the two leaves an intent, which
the next one settles.
"""

from dataclasses import dataclass
from typing import Any

from extretr.client.download import Download, Source
from extretr.client.events import Delivered
from extretr.client.journal import WHOLE, Done, Intent
from extretr.client.journal import Delivered as Record
from extretr.client.maildrop import Entry
from extretr.client.places import placed
from extretr.client.plan import is_due
from extretr.client.work import Work

#: Octets, and seconds, for which messages that have come wait for others.
MOST_OCTETS = 8 * 1024 * 1024
LONGEST = 2.0


@dataclass
class Arrived:
    """
    A message that has come.
    """

    entry: Entry
    #: What of it: see `extretr.client.journal`.
    kind: str
    source: Source
    #: What is held of it until it is delivered.
    download: Download | None
    #: What the target has made of it.
    staged: Any = None


class Batch:
    """
    The messages that are being delivered.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        name = work.target_name
        self._where = "the standard output" if name == "-" else name
        self._waiting: list[Arrived] = []
        self._octets = 0
        self._since = 0.0

    async def add(self, arrived: Arrived) -> None:
        """
        Take a message that has come; it may be delivered now, or soon.

        Raises:
            OSError, ExtRetrError: where it cannot be delivered; nothing is lost.
        """
        if not self._waiting:
            self._since = self._work.seconds()
        try:
            with placed(self._where):
                arrived.staged = self._work.target.stage(arrived.source)
        except BaseException:
            if arrived.download is not None:
                arrived.download.cut()
            raise
        self._waiting.append(arrived)
        self._octets += arrived.source.size
        if (
            len(self._waiting) >= self._work.target.batch
            or self._octets >= MOST_OCTETS
            or self._work.seconds() - self._since >= LONGEST
        ):
            await self.commit()

    async def commit(self) -> None:
        """
        Deliver all that waits.

        Raises:
            OSError, ExtRetrError: where some cannot be delivered; that is as it was.
        """
        waiting, self._waiting, self._octets = self._waiting, [], 0
        if not waiting:
            return
        work = self._work
        intended: list[Any] = []

        def intend(intents: list[Any]) -> None:
            intended.extend(intents)
            work.journal.intend(
                Intent(
                    one.entry.unique_id,
                    work.target_name,
                    intent,
                    one.kind,
                    one.entry.size,
                )
                for one, intent in zip(waiting, intents, strict=True)
            )

        try:
            with placed(self._where):
                await work.target.commit([one.staged for one in waiting], intend)
        except BaseException:
            await self._salvage(waiting, intended)
            raise
        self._settle(waiting, [])

    async def _salvage(self, waiting: list[Arrived], intended: list[Any]) -> None:
        """
        Find out which of the messages have been delivered all the same.
        """
        done, undone = [], []
        for number, one in enumerate(waiting):
            if number < len(intended) and await self._work.target.settle(
                intended[number], one.source
            ):
                done.append(one)
            else:
                undone.append(one)
        for one in undone:
            self._work.target.discard(one.staged)
            if one.download is not None:
                one.download.cut()
        self._settle(done, undone)

    def _settle(self, done: list[Arrived], undone: list[Arrived]) -> None:
        work = self._work
        work.journal.settle(
            [Done(one.entry.unique_id, one.kind, one.entry.size) for one in done],
            [one.entry.unique_id for one in undone],
        )
        now = work.now()
        for one in done:
            resumed_at = 0
            if one.download is not None:
                resumed_at = one.download.resumed_at
                one.download.discard()
            work.delivered[one.entry.unique_id] = Record(now, one.kind, one.entry.size)
            if one.kind == WHOLE and is_due(one.entry, now, work.policy, now):
                work.doomed.append(one.entry)
            work.gained += 1
            work.messages += 1
            work.octets += one.source.size
            work.saved += resumed_at
            work.tell(
                Delivered,
                unique_id=one.entry.unique_id,
                size=one.source.size,
                resumed_at=resumed_at,
                whole=one.kind == WHOLE,
            )
