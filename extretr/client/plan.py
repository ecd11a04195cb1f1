"""
What is to be done with each message of a maildrop.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from extretr.client.journal import FILTERED, WHOLE, Delivered
from extretr.client.maildrop import Entry
from extretr.client.work import Policy

#: Seconds in a day.
DAY = 86400.0


@dataclass
class Plan:
    """
    Messages to fetch, in order, messages to delete, and those that are too large.
    """

    todo: list[Entry] = field(default_factory=list)
    doomed: list[Entry] = field(default_factory=list)
    large: list[Entry] = field(default_factory=list)


def plan(
    entries: Iterable[Entry],
    delivered: Mapping[bytes, Delivered],
    held: Collection[bytes],
    policy: Policy,
    now: float,
) -> Plan:
    """
    Decide on each message.

    Args:
        entries: the maildrop.
        delivered: what is done with, by unique-id.
        held: the unique-ids of which a part is held.
        policy: of the account.
        now: seconds since the epoch.
    """
    made = Plan()
    for entry in entries:
        done = delivered.get(entry.unique_id)
        if done is not None and done.kind == WHOLE:
            if is_due(entry, done.time, policy, now):
                made.doomed.append(entry)
            continue
        if done is not None and done.kind == FILTERED:
            continue
        if policy.max_size is not None and entry.size > policy.max_size:
            if not policy.headers_of_large:
                made.large.append(entry)
            elif done is None:
                entry.header_only = True
                made.todo.append(entry)
            continue
        made.todo.append(entry)
    # First what is begun: the sooner it is done, the less can come between.
    made.todo.sort(key=lambda entry: entry.unique_id not in held)
    return made


def is_due(entry: Entry, delivered: float, policy: Policy, now: float) -> bool:
    """
    Tell whether a message that was delivered whole is to be deleted on the server.

    One that shares its unique-id with another never is: which of them was delivered
    cannot be told.
    """
    if policy.delete_after is None or entry.ambiguous:
        return False
    return now - delivered >= policy.delete_after * DAY


def is_another(entry: Entry, done: Delivered | None) -> bool:
    """
    Tell whether a message only has the unique-id of one that is done with.

    There are servers that give it again to new mail, when the old is gone.  To take the
    new for the old would be to delete it unread.
    """
    return done is not None and done.gone and done.size != entry.size
