"""
Messages taken out of an mbox in place, so that a crash at any point loses none.

The tail of the file, from the first message to be deleted on, is copied to the state
folder and synced.  Then what is kept of it is written over it, and the file is cut off
behind that.  A rename would be simpler, and lose the mail of an agent that had opened
the file before it.

As long as the copy is there the rewrite is not finished, and the next session does so
before anything else.  The file may have got more mail meanwhile, behind its old end or
its new one.  Where it is neither as an unfinished rewrite leaves it nor as a finished
one, somebody else has changed it: then nothing is written, and the copy is set aside.
"""

import os
import re
from collections.abc import Generator, Sequence
from itertools import chain, pairwise

from extretr.errors import ExtRetrError
from extretr.stores.mbox_copy import (
    FOLLOW,
    Plan,
    SafetyCopy,
    pieces,
    read_at,
    write_at,
)
from extretr.stores.mbox_parse import NotAnMboxError, Parsed, Parser, parsing

_SEPARATOR = re.compile(rb"(?:\r?\n)+(?=From )")

#: Messages that are compared between two turns of the reactor.
_TURN = 1000

Steps = Generator[None, None, None]


class MailboxChangedError(ExtRetrError):
    """
    The mailbox does not hold what was listed.
    """


def removing(
    mailbox: int,
    copy: SafetyCopy,
    listed: Sequence[Parsed],
    deleted: set[int],
    quoting: bool,
    whole: bool,
) -> Steps:
    """
    Take messages out of the mailbox, in steps.

    Args:
        mailbox: the file, open and locked.
        copy: where its safety copy is to be.
        listed: the messages as the session has listed them.
        deleted: which of them are to go, by index.
        quoting: whether lines are unquoted.
        whole: whether all of the mailbox is to be looked at first, or just its tail.

    Raises:
        MailboxChangedError: where a message that was looked at is not what was
            listed; nothing was written.  Further ones behind them stay.
        OSError: where it could not be done, or not be finished.
    """
    size = os.fstat(mailbox).st_size
    first = min(deleted)
    seen = 0 if whole else first
    parser = Parser(quoting, listed[seen].from_at)
    try:
        yield from parsing(mailbox, parser, listed[seen].from_at, size)
        found = [*listed[:seen], *parser.finish()]
    except NotAnMboxError:
        raise MailboxChangedError from None
    if len(found) < len(listed):
        raise MailboxChangedError
    for index in range(seen, len(listed)):
        if _identity(found[index]) != _identity(listed[index]):
            raise MailboxChangedError
        if index % _TURN == 0:
            yield
    start = found[first].from_at
    added = b""
    if len(found) - 1 not in deleted:
        added = _closing(mailbox, found[-1], size)
    edges = [one.from_at - start for one in found] + [size - start]
    kept = [
        part
        for index, part in enumerate(pairwise(edges))
        if index > first and index not in deleted
    ]
    if added:
        kept.append((size - start, size - start + len(added)))
    plan = Plan(start, size, _joined(kept))
    try:
        yield from copy.write(plan, chain(pieces(mailbox, start, size), [added]))
    except OSError:
        copy.discardNew()
        raise
    yield from _finishing(mailbox, copy, plan)


def recovering(mailbox: int, copy: SafetyCopy) -> Steps:
    """
    Finish what was begun in the mailbox, open and locked, in steps.

    Raises:
        OSError: where that cannot be done now.
    """
    plan = yield from copy.load()
    size = os.fstat(mailbox).st_size
    if plan is None:
        copy.setAside()
    elif size >= plan.old_end and (yield from _isUnfinished(mailbox, copy, plan)):
        if size > plan.old_end:
            plan = yield from _extending(mailbox, copy, plan, size)
        yield from _finishing(mailbox, copy, plan)
    elif size >= plan.new_end and (yield from _isFinished(mailbox, copy, plan)):
        copy.remove()
    else:
        copy.setAside()


def _identity(one: Parsed) -> tuple[int, int, bytes]:
    # Not its end: who adds mail may first end the last line, if that lacks.
    return one.from_at, one.begin, one.digest


def _joined(parts: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for begin, end in parts:
        if joined and joined[-1][1] == begin:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return tuple(joined)


def _closing(mailbox: int, last: Parsed, size: int) -> bytes:
    """
    Give what the last message of the file lacks, so that another can follow it.

    It is added where that message moves, and leaves its canonical form as it is.
    """
    if last.end < size:
        return b""
    ending = read_at(mailbox, 2, size - 2)
    if ending.endswith(b"\n"):
        return b"\r\n" if ending == b"\r\n" else b"\n"
    return b"\r\n\r\n" if ending.endswith(b"\r") else b"\n\n"


def _finishing(mailbox: int, copy: SafetyCopy, plan: Plan) -> Steps:
    """
    Write the new tail, cut the file off behind it, and remove the copy.
    """
    for count, (place, octets) in enumerate(copy.newTail(plan), 1):
        write_at(mailbox, octets, place)
        if count % FOLLOW == 0:
            os.fdatasync(mailbox)
        yield
    os.fsync(mailbox)
    if os.fstat(mailbox).st_size != plan.old_end:
        # Who was stopped for long may have lost the dot-lock.  The next session
        # takes care of the mail that came.
        raise OSError("a mailbox has changed in spite of the locks")
    os.ftruncate(mailbox, plan.new_end)
    os.fsync(mailbox)
    copy.remove()


def _isUnfinished(
    mailbox: int, copy: SafetyCopy, plan: Plan
) -> Generator[None, None, bool]:
    """
    Tell whether each octet is that of the old tail, or has become that of the new.
    """
    rest = pieces(mailbox, plan.new_end, plan.old_end)
    for old in copy.pieces(plan.new_end - plan.start, plan.old_end - plan.start):
        if next(rest) != old:
            return False
        yield
    for place, new in copy.newTail(plan):
        octets = read_at(mailbox, len(new), place)
        old = copy.read(len(new), place - plan.start)
        if octets not in (new, old) and not _isMixture(octets, old, new):
            return False
        yield
    return True


def _isMixture(octets: bytes, old: bytes, new: bytes) -> bool:
    return all(
        octet in pair
        for octet, pair in zip(octets, zip(old, new, strict=True), strict=True)
    )


def _isFinished(
    mailbox: int, copy: SafetyCopy, plan: Plan
) -> Generator[None, None, bool]:
    """
    Tell whether the new tail is where it belongs.
    """
    for place, new in copy.newTail(plan):
        if read_at(mailbox, len(new), place) != new:
            return False
        yield
    return True


def _extending(
    mailbox: int, copy: SafetyCopy, plan: Plan, size: int
) -> Generator[None, None, Plan]:
    """
    Put the mail that came behind the old end into the copy, to be kept.
    """
    old, new = plan.old_end - plan.start, size - plan.start
    # Whoever added it may have made the separator that the new tail has.
    head = read_at(mailbox, min(size - plan.old_end, 64), plan.old_end)
    separator = _SEPARATOR.match(head)
    come = old + (len(separator[0]) if separator else 0)
    kept = [(begin, min(end, old)) for begin, end in plan.kept if begin < old]
    # What was added lies behind the old tail, and moves on.
    kept += [
        (max(begin, old) - old + new, end - old + new)
        for begin, end in plan.kept
        if end > old
    ]
    extended = Plan(plan.start, size, (*kept, (come, new)))
    data = chain(
        copy.pieces(0, old), pieces(mailbox, plan.old_end, size), copy.pieces(old)
    )
    yield from copy.write(extended, data)
    return extended
