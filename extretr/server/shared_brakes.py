"""
Brakes that several processes share: they lie in one, and the others ask it.

What a worker holds is counted where the brakes lie, so that all of it can be given
back when the worker dies.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols import amp
from zope.interface import implementer

from extretr.interfaces import IBrakes

_ADDRESS = (b"address", amp.Unicode())
_USER = (b"user", amp.String())


class _Told(amp.Command):
    """
    Something that needs no answer.
    """

    requiresAnswer = False


class Connect(amp.Command):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS]
    response = [(b"limit", amp.Unicode())]


class Disconnect(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS]


class Begin(amp.Command):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS]
    response = [(b"seconds", amp.Float())]


class End(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS]


class Failed(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS, _USER, (b"tried", amp.String())]


class Succeeded(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_ADDRESS, _USER]


class Enter(amp.Command):
    """
    See `IBrakes`.
    """

    arguments = [_USER]
    response = [(b"limit", amp.Unicode())]


class Leave(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_USER]


class Quitted(_Told):
    """
    See `IBrakes`.
    """

    arguments = [_USER, (b"seconds", amp.Float())]


@implementer(IBrakes)
class AskedBrakes:
    """
    The brakes as a worker has them.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        """
        Args:
            ask: calls a command at the process in which the brakes lie.
        """
        self._ask = ask

    def connect(self, address: str) -> "Deferred[str]":
        """
        See `IBrakes`.
        """
        return self._answer("limit", Connect, address=address)

    def disconnect(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        self._ask(Disconnect, address=address)

    def begin(self, address: str) -> "Deferred[float]":
        """
        See `IBrakes`.
        """
        return self._answer("seconds", Begin, address=address)

    def end(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        self._ask(End, address=address)

    def failed(self, address: str, user: bytes, tried: bytes) -> None:
        """
        See `IBrakes`.
        """
        self._ask(Failed, address=address, user=user, tried=tried)

    def succeeded(self, address: str, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        self._ask(Succeeded, address=address, user=user)

    def enter(self, user: bytes) -> "Deferred[str]":
        """
        See `IBrakes`.
        """
        return self._answer("limit", Enter, user=user)

    def leave(self, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        self._ask(Leave, user=user)

    def quitted(self, user: bytes, seconds: float) -> None:
        """
        See `IBrakes`.
        """
        self._ask(Quitted, user=user, seconds=float(seconds))

    def _answer(self, name: str, command: Any, **arguments: Any) -> "Deferred[Any]":
        answer: Deferred[Any] = self._ask(command, **arguments)
        return answer.addCallback(lambda response: response[name])


class BrakesDesk(amp.CommandLocator):
    """
    Answers one worker where the brakes lie, and knows what it holds.
    """

    def __init__(self, brakes: IBrakes) -> None:
        self._brakes: Any = brakes
        self._connections: Counter[str] = Counter()
        self._logins: Counter[str] = Counter()
        self._sessions: Counter[bytes] = Counter()

    def giveBack(self) -> None:
        """
        Take back all that the worker held: it is gone.
        """
        brakes = self._brakes
        everything: list[tuple[Counter[Any], Callable[[Any], Any]]] = [
            (self._connections, brakes.disconnect),
            (self._logins, brakes.end),
            (self._sessions, brakes.leave),
        ]
        for held, take_back in everything:
            for key in held.elements():
                take_back(key)
            held.clear()

    @Connect.responder
    def connect(self, address: str) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        limit = self._brakes.connect(address)
        if not limit:
            self._connections[address] += 1
        return {"limit": limit}

    @Disconnect.responder
    def disconnect(self, address: str) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        return self._takeBack(self._connections, address, self._brakes.disconnect)

    @Begin.responder
    def begin(self, address: str) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        seconds = self._brakes.begin(address)
        if seconds >= 0:
            self._logins[address] += 1
        return {"seconds": float(seconds)}

    @End.responder
    def end(self, address: str) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        return self._takeBack(self._logins, address, self._brakes.end)

    @Failed.responder
    def failed(self, address: str, user: bytes, tried: bytes) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        self._brakes.failed(address, user, tried)
        return {}

    @Succeeded.responder
    def succeeded(self, address: str, user: bytes) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        self._brakes.succeeded(address, user)
        return {}

    @Enter.responder
    def enter(self, user: bytes) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        limit = self._brakes.enter(user)
        if not limit:
            self._sessions[user] += 1
        return {"limit": limit}

    @Leave.responder
    def leave(self, user: bytes) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        return self._takeBack(self._sessions, user, self._brakes.leave)

    @Quitted.responder
    def quitted(self, user: bytes, seconds: float) -> dict[str, Any]:
        """
        See `IBrakes`.
        """
        self._brakes.quitted(user, seconds)
        return {}

    @staticmethod
    def _takeBack(
        held: "Counter[Any]", key: Any, take_back: Callable[[Any], Any]
    ) -> dict[str, Any]:
        if held[key] > 0:
            held[key] -= 1
            take_back(key)
        if not held[key]:
            del held[key]
        return {}
