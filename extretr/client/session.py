"""
One connection's worth of work: list, fetch, deliver, delete.
"""

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from extretr.client.batch import Arrived, Batch
from extretr.client.events import Deleted, Listed, Skipped, Wanted, Warned
from extretr.client.journal import HEADER
from extretr.client.maildrop import Entry, Renumbered, confirm, list_maildrop
from extretr.client.message import Messages
from extretr.client.plan import DAY, is_another, plan
from extretr.client.protocol import PIPELINED, ResumingPOP3Client
from extretr.client.refusals import ServerRefusal
from extretr.client.work import Work

#: Octets of messages before one that a reconnected client is not sure to find.
MOST_AHEAD = 256 * 1024


class Session:
    """
    What is done over one connection, after the login.
    """

    def __init__(self, client: ResumingPOP3Client, work: Work, resuming: bool) -> None:
        """
        Args:
            client: logged in, its capabilities asked.
            work: what there is to do, for this session and those that follow.
            resuming: whether the server offers EXT-RETR, and it is wanted.
        """
        self._client = client
        self._work = work
        self._messages = Messages(client, work, resuming)
        self._batch = Batch(work)

    async def run(self) -> None:
        """
        Do all that is to be done, and quit.

        Raises:
            Exception: what ends the connection, or keeps mail from being delivered.
        """
        work = self._work
        work.todo = deque(
            entry for entry in work.todo if entry.unique_id not in work.skipped
        )
        for entry in (*work.todo, *work.doomed):
            entry.confirmed = False
        if not work.listed:
            await self._list()
        if work.dry_run:
            self._tell_all()
        else:
            await self._fetch()
            await self._delete()
            return
        await self._quit()

    async def _quit(self) -> None:
        """
        End a session in which nothing is deleted.
        """
        # Whatever becomes of it, all is done.
        self._work.done = True
        await self._client.quit()

    async def _list(self) -> None:
        work, policy = self._work, self._work.policy
        work.unlist()
        entries = await list_maildrop(self._client)
        names = {entry.unique_id for entry in entries}
        # Those that are what they were when they were delivered, or are new.
        unique_ids = set(names)
        for entry in entries:
            if is_another(entry, work.delivered.get(entry.unique_id)):
                del work.delivered[entry.unique_id]
                unique_ids.discard(entry.unique_id)
        now = work.now()
        held: dict[bytes, int] = {}
        for label, octets in work.journal.partials.labels():
            is_old = now - label.begun > policy.partial_days * DAY
            is_gone = label.unique_id not in names
            done = work.delivered.get(label.unique_id)
            is_done = done is not None and done.kind != HEADER
            if is_done or (is_gone and is_old):
                if not work.dry_run:
                    work.journal.partials.discard(label.unique_id)
            elif label.resumable and not is_gone:
                held[label.unique_id] = octets
        made = plan(entries, work.delivered, held, policy, now)
        work.todo.extend(
            entry for entry in made.todo if entry.unique_id not in work.skipped
        )
        work.doomed.extend(made.doomed)
        if not work.dry_run:
            work.journal.listed(unique_ids)
        work.listed = True
        self._tell_list(entries, held, made.large)

    def _tell_list(
        self, entries: list[Entry], held: dict[bytes, int], large: list[Entry]
    ) -> None:
        work = self._work
        ambiguous = sum(entry.ambiguous for entry in entries)
        if ambiguous:
            text = f"{ambiguous} messages share unique-ids: none of them is deleted"
            work.tell(Warned, text=text)
        for entry in large:
            why = f"its {entry.size} octets are more than max_size"
            work.tell(Skipped, unique_id=entry.unique_id, why=why)
        whole = [entry for entry in work.todo if not entry.header_only]
        work.tell(
            Listed,
            messages=len(entries),
            new=len(work.todo),
            octets=sum(entry.size for entry in whole),
            held=sum(held.get(entry.unique_id, 0) for entry in whole),
            deletable=len(work.doomed),
        )

    def _tell_all(self) -> None:
        held = {
            label.unique_id: octets
            for label, octets in self._work.journal.partials.labels()
            if label.resumable
        }
        for action, entries in (
            ("fetch", self._work.todo),
            ("delete", self._work.doomed),
        ):
            for entry in entries:
                self._work.tell(
                    Wanted,
                    unique_id=entry.unique_id,
                    number=entry.index + 1,
                    size=entry.size,
                    held=held.get(entry.unique_id, 0),
                    action="header" if entry.header_only else action,
                )

    # Fetching

    async def _fetch(self) -> None:
        """
        Fetch all messages, some asked for ahead of time, and deliver them.
        """
        work = self._work
        while True:
            ahead: deque[tuple[Entry, Deferred[Arrived | None]]] = deque()
            entry: Entry | None = None
            try:
                while work.todo or ahead:
                    while work.todo and self._may_ask_ahead(ahead):
                        following = work.todo.popleft()
                        ahead.append((following, self._messages.fetch(following)))
                    if ahead[0][0].size >= MOST_AHEAD:
                        # It may take long: others are not to wait for it.
                        await self._batch.commit()
                    entry, fetching = ahead.popleft()
                    arrived = await fetching
                    entry = None
                    if arrived is not None:
                        await self._batch.add(arrived)
                await self._batch.commit()
                return
            except Renumbered:
                await self._give_back(entry, ahead)
                await self._batch.commit()
                await self._list()
            except BaseException:
                self._client.abort()
                await self._give_back(entry, ahead)
                # What has come is safe, whatever became of the connection.
                await self._batch.commit()
                raise

    def _may_ask_ahead(self, ahead: "deque[tuple[Entry, Deferred[Any]]]") -> bool:
        """
        Tell whether the next message may be asked for before others have come.
        """
        if self._work.todo[0].confirmed or not ahead:
            return len(ahead) < PIPELINED
        # To ask for its number costs octets, and all for nothing on a link that will
        # not last until it is its turn.
        return sum(entry.size for entry, _ in ahead) < MOST_AHEAD

    async def _give_back(
        self,
        first: Entry | None,
        ahead: "deque[tuple[Entry, Deferred[Arrived | None]]]",
    ) -> None:
        """
        Wait for the end of what was asked for, and put it back among what is to do.
        """
        for entry, fetching in reversed(ahead):
            self._work.todo.appendleft(entry)
            # A message that had come all the same is fetched once more.
            await fetching.addErrback(lambda _: None).addCallback(_forsake)
        if first is not None:
            self._work.todo.appendleft(first)

    # Deleting

    async def _delete(self) -> None:
        """
        Delete what is to be deleted, which is done when the session is quit.
        """
        work, client = self._work, self._client
        doomed = sorted(work.doomed, key=lambda entry: entry.index, reverse=True)
        if not doomed:
            await self._quit()
            return
        try:
            await confirm(client, doomed, sizes=False)
        except Renumbered:
            await self._list()
            doomed = sorted(work.doomed, key=lambda entry: entry.index, reverse=True)
        # From the last to the first: there are servers that number anew after each.
        deleting = [client.delete(entry.index) for entry in doomed]
        answers = await DeferredList(deleting, consumeErrors=True)
        for _, answer in answers:
            if isinstance(answer, Failure) and not answer.check(ServerRefusal):
                answer.raiseException()
        # From here on it is not known what is there, until it is listed.
        work.unlist()
        try:
            await client.quit()
        except ServerRefusal as refusal:
            work.tell(Warned, text=f"not all messages were deleted: {refusal}")
        else:
            gone = [
                entry.unique_id
                for entry, (success, _) in zip(doomed, answers, strict=True)
                if success
            ]
            work.journal.deleted(gone)
            for unique_id in gone:
                known = work.delivered[unique_id]
                work.delivered[unique_id] = known._replace(gone=True)
            work.tell(Deleted, messages=len(gone))


def _forsake(arrived: "Arrived | None") -> None:
    if arrived is not None and arrived.download is not None:
        arrived.download.cut()
