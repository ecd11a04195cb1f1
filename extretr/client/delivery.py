"""
Where the mail of an account goes: a store, a delivery agent, the standard output.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred, succeed

from extretr.client.account import Account
from extretr.client.commands import run_command
from extretr.client.work import NotTold
from extretr.stores.appending import CannotDeliver, Intend, Intent, Source, TargetBusy
from extretr.stores.line_ends import LineEnds

#: Seconds to wait for other mail software to unlock an mbox.
LOCK_TIMEOUT = 60.0


def target_of(
    account: Account,
    reactor: Any,
    output: BinaryIO,
    now: Callable[[], float],
    spool: Path,
) -> Any:
    """
    Give the target that an account's mail is delivered to.

    Args:
        account: whose *to* says where.
        reactor: runs commands, and tells the time.
        output: the standard output.
        now: the time that the file system's time stamps are made by.
        spool: the folder whose disk holds what a delivery agent is given.
    """
    # What is imported for one target only takes long for all of them.
    to, crlf = account.to, account.line_ends == "crlf"
    if to.kind == "maildir":
        from extretr.stores.maildir_append import MaildirAppender

        return MaildirAppender(os.fsencode(str(to.path)), crlf, now)
    if to.kind == "mbox":
        from extretr.stores.mbox_append import MboxAppender
        from extretr.stores.mbox_lock import MailboxLocks

        locks = MailboxLocks(reactor, LOCK_TIMEOUT, now)
        return MboxAppender(os.fsencode(str(to.path)), locks, crlf, now)
    if to.kind == "mda":
        return Agent(reactor, to.command or "", crlf, spool)
    return StandardOutput(output, crlf, now)


def filter_of(account: Account, reactor: Any, spool: Path) -> Any:
    """
    Give what tells whether a message is wanted, None where all are.

    Args:
        account: whose *filter* is asked.
        reactor: runs it.
        spool: the folder whose disk holds what it is given.
    """
    command = account.filter
    if command is None:
        return None

    async def ask(header: Source) -> bool:
        pieces = stored(header, crlf=False)
        status = await run_command(reactor, command, pieces, spool)
        if status > 1:
            raise NotTold(f"the filter ended with status {status}")
        return status == 0

    return lambda header: Deferred.fromCoroutine(ask(header))


def stored(source: Source, crlf: bool) -> Iterator[bytes]:
    """
    Give a message as software on this machine expects it, in chunks.
    """
    line_ends = LineEnds(crlf)
    for octets in source.pieces():
        yield line_ends.feed(octets)
    yield line_ends.finish()


class _OneByOne:
    """
    A target that cannot tell after a crash what has reached it: at least once.
    """

    batch = 1

    def prepare(self) -> None:
        """
        Nothing needs to be there.
        """

    def sweep(self) -> None:
        """
        Nothing is ever left.
        """

    def stage(self, source: Source) -> Source:
        """
        Nothing can be done ahead.
        """
        return source

    def discard(self, staged: Source) -> None:
        """
        Nothing was done ahead.
        """

    def settle(self, intent: Intent, source: Source | None) -> "Deferred[bool]":
        """
        Take what was not seen to end well for not delivered.
        """
        return succeed(False)


class Agent(_OneByOne):
    """
    A shell command that takes a message on its standard input, and says by its exit
    status what became of it: 0 is delivered, 75 is not now.
    """

    def __init__(self, reactor: Any, command: str, crlf: bool, spool: Path) -> None:
        self._reactor = reactor
        self._command = command
        self._crlf = crlf
        self._spool = spool

    def commit(self, staged: list[Source], intend: Intend) -> "Deferred[None]":
        """
        Give the message to the command.

        Raises:
            TargetBusy, CannotDeliver: where it does not take it.
        """
        return Deferred.fromCoroutine(self._commit(staged))

    async def _commit(self, staged: list[Source]) -> None:
        for source in staged:
            pieces = stored(source, self._crlf)
            status = await run_command(
                self._reactor, self._command, pieces, self._spool
            )
            if status == os.EX_TEMPFAIL:
                raise TargetBusy("the delivery command wants it later (status 75)")
            if status:
                raise CannotDeliver(f"the delivery command ended with status {status}")


class StandardOutput(_OneByOne):
    """
    The standard output, in the mboxrd form: so messages can be told apart.
    """

    def __init__(self, output: BinaryIO, crlf: bool, now: Callable[[], float]) -> None:
        self._output = output
        self._crlf = crlf
        self._now = now

    def commit(self, staged: list[Source], intend: Intend) -> "Deferred[None]":
        """
        Write the message.

        Raises:
            OSError: where nobody reads on.
        """
        from extretr.stores.mbox_text import MboxText, from_line_of

        for source in staged:
            from_line = from_line_of(source, self._now())
            for octets in MboxText(source, from_line, self._crlf).pieces():
                self._output.write(octets)
        self._output.flush()
        _sync(self._output)
        return succeed(None)


def _sync(output: BinaryIO) -> None:
    """
    Have what was written on the disk, where it is a file that it was written to.
    """
    try:
        descriptor = output.fileno()
    except OSError:
        return
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)
