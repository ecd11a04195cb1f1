"""
The brakes of a server: how many may connect, and how soon they may log in.

All that is counted lies in one object, which knows no session and no transport.  With
several workers that is another (`extretr.server.shared_brakes`), and their parent has
what is remembered.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from extretr.interfaces import IBrakes
from extretr.server.penalties import DELAYS, Penalties

#: Users whose last login is remembered, for LOGIN-DELAY.
MOST_USERS = 100_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """
    What a server allows; 0 stands for any number.
    """

    #: Connections at once, in all.
    connections: int = 0
    #: Connections at once from an address.
    per_address: int = 0
    #: Sessions of a user at once, with those that wait for the maildrop.
    per_user: int = 0
    #: Logins of an address that may wait, or be checked, at once.
    logins_per_address: int = 0
    #: Seconds from one login of a user to the next (RFC 2449, section 6.5).
    login_delay: float = 0
    #: Seconds that a login waits after one failure of its address, two, and so on.
    delays: tuple[float, ...] = DELAYS


class Remembered:
    """
    What is remembered of logins: failures by address, and when users logged in.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        """
        Args:
            limits: what is allowed.
            now: gives the time in seconds, by a clock that nobody sets.
        """
        self._limits = limits
        self._now = now
        self._penalties = Penalties(limits.delays)
        #: When users logged in whose next login has to wait.
        self._last: OrderedDict[bytes, float] = OrderedDict()

    def delay(self, address: str) -> float:
        """
        Give the seconds that a login of *address* has to wait.
        """
        return self._penalties.delay(address, self._now())

    def failed(self, address: str, user: bytes, tried: bytes) -> None:
        """
        See `IBrakes`.
        """
        if address:
            self._penalties.failed(address, user, tried, self._now())

    def succeeded(self, address: str, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        self._penalties.succeeded(address, user)

    def tooSoon(self, user: bytes) -> bool:
        """
        Tell whether a user has to wait for the login delay.
        """
        last = self._last.get(user)
        return last is not None and self._now() - last < self._limits.login_delay

    def quitted(self, user: bytes, seconds: float) -> None:
        """
        See `IBrakes`.
        """
        if not self._limits.login_delay:
            return
        self._last[user] = self._now() - seconds
        self._last.move_to_end(user)
        if len(self._last) > MOST_USERS:
            self._last.popitem(last=False)


@implementer(IBrakes)
class Brakes(Remembered):
    """
    Counts connections, logins and failures against what is allowed.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        """
        See `Remembered`.
        """
        super().__init__(limits, now)
        self._connections: Counter[str] = Counter()
        self._in_all = 0
        self._logins: Counter[str] = Counter()
        self._users: Counter[bytes] = Counter()

    def connect(self, address: str) -> str:
        """
        See `IBrakes`.
        """
        if _reached(self._in_all, self._limits.connections):
            return "connections"
        if address and _reached(self._connections[address], self._limits.per_address):
            return "connections of an address"
        if address and _reached(self._logins[address], self._limits.logins_per_address):
            # Its login would be refused: a storm of guesses shall cost little.
            return "logins of an address"
        self._in_all += 1
        self._connections[address] += 1
        return ""

    def disconnect(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        self._in_all -= 1
        _less(self._connections, address)

    def begin(self, address: str) -> float:
        """
        See `IBrakes`.
        """
        if address and _reached(self._logins[address], self._limits.logins_per_address):
            return -1.0
        self._logins[address] += 1
        return self.delay(address) if address else 0.0

    def end(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        _less(self._logins, address)

    def enter(self, user: bytes) -> str:
        """
        See `IBrakes`.
        """
        if self._limits.login_delay and self.tooSoon(user):
            return "login delay"
        if _reached(self._users[user], self._limits.per_user):
            return "sessions of a user"
        self._users[user] += 1
        return ""

    def leave(self, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        _less(self._users, user)


def _reached(count: int, most: int) -> bool:
    return 0 < most <= count


def _less(counter: Any, key: str | bytes) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
