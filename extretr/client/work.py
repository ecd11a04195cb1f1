"""
What there is to do for one account, from connection to connection of one run.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from extretr.client.download import Source
from extretr.client.events import Event
from extretr.client.journal import Delivered, Journal
from extretr.client.maildrop import Entry
from extretr.errors import ExtRetrError


class Target(Protocol):
    """
    Where messages are delivered to: see `extretr.stores.appending`.
    """

    #: Most messages in one commit.
    batch: int

    def prepare(self) -> str | None:
        """
        See to it that mail can be delivered here; give what its owner may not expect.
        """

    def stage(self, source: Any) -> Any:
        """
        Bring a message so far that only *commit* lacks.
        """

    def discard(self, staged: Any) -> object:
        """
        Take back what was staged.
        """

    def commit(self, staged: Any, intend: Callable[[list[Any]], Any]) -> Any:
        """
        Put messages there, durably; *intend* gets what `settle` has to know, before.
        """

    def settle(self, intent: Any, source: Any) -> Any:
        """
        Tell whether what was intended has been done; undo what was done by half.
        """

    def sweep(self) -> object:
        """
        Remove what earlier runs have left.
        """


class NotTold(ExtRetrError):
    """
    The filter did not say whether a message is wanted.
    """


@dataclass(frozen=True, kw_only=True)
class Policy:
    """
    What is fetched, and what is deleted on the server.
    """

    #: Days after which a delivered message is deleted; 0 for at once, None for never.
    delete_after: float | None = None
    #: Octets above which a message is left, or fetched by its header alone.
    max_size: int | None = None
    headers_of_large: bool = False
    resume: bool = True
    #: Days for which the partial of a message that is gone is kept.
    partial_days: float = 30.0


@dataclass(kw_only=True)
class Work:
    """
    The state of one run.
    """

    account: str
    policy: Policy
    journal: Journal
    target: Target
    #: What the target is called in the journal.
    target_name: str
    #: A clock that nobody sets: seconds.
    seconds: Callable[[], float]
    #: Seconds since the epoch.
    now: Callable[[], float]
    emit: Callable[[Event], object]
    #: Tells by its header whether a message is wanted, or a Deferred of it; what it
    #: raises as `NotTold` leaves the message for another time.
    wanted: Callable[[Source], Any] | None = None
    dry_run: bool = False

    #: Whether the maildrop was listed, and numbers and names are thought to hold.
    listed: bool = False
    #: Messages to fetch, in order.
    todo: "deque[Entry]" = field(default_factory=deque)
    #: Messages to delete.
    doomed: list[Entry] = field(default_factory=list)
    #: What is delivered, by unique-id.
    delivered: dict[bytes, Delivered] = field(default_factory=dict)
    #: Messages that did not come out right when they were resumed.
    whole_only: set[bytes] = field(default_factory=set)
    #: Messages of which a doubt was had once in this run.
    doubted: set[bytes] = field(default_factory=set)
    #: Messages that are left alone in this run.
    skipped: set[bytes] = field(default_factory=set)
    #: What the filter is asked just now.
    asking: "set[Deferred[Any]]" = field(default_factory=set)
    #: Messages that the filter wants: it is not asked again after a reconnect.
    passed: set[bytes] = field(default_factory=set)
    #: Whether nothing is left to do but to quit.
    done: bool = False
    #: What has been brought about, in whatever unit: who gains nothing gives up.
    gained: int = 0
    #: Messages that could not be had.
    failed: int = 0
    messages: int = 0
    octets: int = 0
    saved: int = 0

    def tell(self, kind: type[Event], **fields: Any) -> None:
        """
        Emit an event of this account.
        """
        self.emit(kind(account=self.account, **fields))

    def unlist(self) -> None:
        """
        Have the maildrop listed anew.
        """
        self.listed = False
        self.todo.clear()
        self.doomed.clear()
