"""
Brakes that several processes share.

How many there are is counted in memory that all of them see, so each worker decides by
itself, and the kernel keeps it exact.  What is remembered lies in the process that
supervises them, which is asked about few: addresses with a failed login of late, and
users where a login delay is set.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from extretr.interfaces import IBrakes
from extretr.server.limits import Limits, Remembered
from extretr.server.penalties import FORGIVEN_AFTER
from extretr.server.shared_counts import SharedCounts

#: Sessions that there is room for, where more may be: some 20 MiB, and 5 more for each
#: worker, when all was used.
MOST_SESSIONS = 50_000

#: The key of all connections.
_ALL = b""

#: What the keys of addresses, of their logins, and of users begin with.
_ADDRESS, _LOGINS, _USER = b"a", b"l", b"u"

#: A question that cannot be answered fails alone, and does not end the link.
_ERRORS = {Exception: b"FAILED"}


class Delay(amp.Command):
    """
    Ask how long a login of an address has to wait.
    """

    arguments = [(b"address", amp.Unicode())]
    response = [(b"seconds", amp.Float())]
    errors = _ERRORS


class Failed(amp.Command):
    """
    Tell of a failed login.
    """

    arguments = [
        (b"address", amp.Unicode()),
        (b"user", amp.String()),
        (b"tried", amp.String()),
    ]
    requiresAnswer = False


class Succeeded(amp.Command):
    """
    Tell of a login that is right.
    """

    arguments = [(b"address", amp.Unicode()), (b"user", amp.String())]
    requiresAnswer = False


class TooSoon(amp.Command):
    """
    Ask whether a user's next login has to wait for the login delay.
    """

    arguments = [(b"user", amp.String())]
    response = [(b"soon", amp.Boolean())]
    errors = _ERRORS


class Quitted(amp.Command):
    """
    Tell how long ago a session began that was ended by QUIT.
    """

    arguments = [(b"user", amp.String()), (b"seconds", amp.Float())]
    requiresAnswer = False


def keys_at_once(limits: Limits) -> int:
    """
    Give how many keys may have to be counted at once.
    """
    sessions = min(limits.connections or MOST_SESSIONS, MOST_SESSIONS)
    return 3 * sessions + 1


@implementer(IBrakes)
class SharedBrakes:
    """
    The brakes as a worker has them.

    The logins of those without an address are not limited: nobody is asked about them.
    """

    def __init__(
        self,
        limits: Limits,
        counts: SharedCounts,
        tell: Callable[..., Any],
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            limits: what is allowed.
            counts: what all workers have counted.
            tell: calls a command at the process that remembers.
            now: gives the time in seconds, the same in all processes.
        """
        self._limits = limits
        self._counts = counts
        self._tell = tell
        self._now = now

    def connect(self, address: str) -> str:
        """
        See `IBrakes`.
        """
        limits = self._limits
        if not (address or limits.connections):
            return ""
        with self._counts:
            if self._isFull(_ALL, limits.connections):
                return "connections"
            if address:
                of_address, logins = _keys_of(address)
                if self._isFull(of_address, limits.per_address):
                    return "connections of an address"
                if self._isFull(logins, limits.logins_per_address):
                    return "logins of an address"
            self._counts.more(*self._counted(address))
        return ""

    def disconnect(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        for key in self._counted(address):
            self._counts.less(key)

    def _counted(self, address: str) -> list[bytes]:
        """
        Give what a connection counts for: what is not limited need not be counted.
        """
        keys = []
        if self._limits.connections:
            keys.append(_ALL)
        if address and self._limits.per_address:
            keys.append(_keys_of(address)[0])
        return keys

    def begin(self, address: str) -> "float | Deferred[float]":
        """
        See `IBrakes`.
        """
        if not address:
            return 0.0
        if self._refuses(_keys_of(address)[1], self._limits.logins_per_address):
            return -1.0
        if not self._isRemembered(address):
            return 0.0
        delay: Deferred[float] = self._tell(Delay, address=address)

        def failed(reason: Failure) -> Failure:
            self.end(address)
            return reason

        return delay.addCallbacks(lambda answer: answer["seconds"], failed)

    def end(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        if address and self._limits.logins_per_address:
            self._counts.less(_keys_of(address)[1])

    def failed(self, address: str, user: bytes, tried: bytes) -> None:
        """
        See `IBrakes`.
        """
        if address and self._limits.delays:
            self._counts.note(_keys_of(address)[0], self._now())
            self._tell(Failed, address=address, user=user, tried=tried)

    def succeeded(self, address: str, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        if address and self._isRemembered(address):
            self._tell(Succeeded, address=address, user=user)

    def _isRemembered(self, address: str) -> bool:
        """
        Tell whether there may be failures of *address* that are not forgiven.
        """
        since = self._now() - FORGIVEN_AFTER
        return self._counts.is_noted(_keys_of(address)[0], since)

    def enter(self, user: bytes) -> "str | Deferred[str]":
        """
        See `IBrakes`.
        """
        if not self._limits.login_delay:
            return self._enter(user)
        asked: Deferred[dict[str, bool]] = self._tell(TooSoon, user=user)
        return asked.addCallback(
            lambda answer: "login delay" if answer["soon"] else self._enter(user)
        )

    def _enter(self, user: bytes) -> str:
        refused = self._refuses(_USER + user, self._limits.per_user)
        return "sessions of a user" if refused else ""

    def leave(self, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        if self._limits.per_user:
            self._counts.less(_USER + user)

    def quitted(self, user: bytes, seconds: float) -> None:
        """
        See `IBrakes`.
        """
        if self._limits.login_delay:
            self._tell(Quitted, user=user, seconds=float(seconds))

    def _refuses(self, key: bytes, most: int) -> bool:
        """
        Count one more of *key*, if it may be.
        """
        if not most:
            return False
        with self._counts:
            if self._isFull(key, most):
                return True
            self._counts.more(key)
        return False

    def _isFull(self, key: bytes, most: int) -> bool:
        return 0 < most <= self._counts.of(key)


def _keys_of(address: str) -> tuple[bytes, bytes]:
    """
    Give the keys of an address's connections, and of its logins.
    """
    octets = address.encode()
    return _ADDRESS + octets, _LOGINS + octets


class BrakesDesk(amp.CommandLocator):
    """
    Answers a worker in the process that remembers.
    """

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    @Delay.responder
    def delay(self, address: str) -> dict[str, float]:
        """
        See `Remembered.delay`.
        """
        return {"seconds": self._remembered.delay(address)}

    @Failed.responder
    def failed(self, address: str, user: bytes, tried: bytes) -> dict[str, Any]:
        """
        See `Remembered.failed`.
        """
        self._remembered.failed(address, user, tried)
        return {}

    @Succeeded.responder
    def succeeded(self, address: str, user: bytes) -> dict[str, Any]:
        """
        See `Remembered.succeeded`.
        """
        self._remembered.succeeded(address, user)
        return {}

    @TooSoon.responder
    def tooSoon(self, user: bytes) -> dict[str, bool]:
        """
        See `Remembered.tooSoon`.
        """
        return {"soon": self._remembered.tooSoon(user)}

    @Quitted.responder
    def quitted(self, user: bytes, seconds: float) -> dict[str, Any]:
        """
        See `Remembered.quitted`.
        """
        self._remembered.quitted(user, seconds)
        return {}
