"""
Brakes that several processes share: they lie in one, and the others ask it.

What a worker holds is counted where the brakes lie, so that all of it can be given
back when the worker dies.  A session asks three times and tells four times something,
and a command of AMP takes longer than all else of a short one: so what comes up in one
turn of a worker's reactor goes in one.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from extretr.errors import ServerBusy
from extretr.interfaces import IBrakes

#: Calls, and octets of them, that one command takes: a value of AMP has 65,535.
MOST_CALLS = 500
MOST_OCTETS = 60_000

#: What needs an answer.
_ASKED = frozenset({"connect", "begin", "enter"})


class Calls(amp.Command):
    """
    Calls of methods of `IBrakes`, as JSON; an answer for each that needs one.

    Octets are text of the same code points; null is the answer to what has failed.
    """

    arguments = [(b"calls", amp.String())]
    response = [(b"answers", amp.String())]


def _at_once(send: Callable[[], object]) -> None:
    send()


@implementer(IBrakes)
class AskedBrakes:
    """
    The brakes as a worker has them.

    The logins of those without an address are not limited: nobody is asked about them.
    """

    def __init__(
        self,
        ask: Callable[..., Any],
        later: Callable[[Callable[[], object]], object] = _at_once,
    ) -> None:
        """
        Args:
            ask: calls a command at the process in which the brakes lie.
            later: calls a function at the end of the reactor's turn.
        """
        self._ask = ask
        self._later = later
        self._calls: list[bytes] = []
        self._octets = 0
        self._waiting: list[Deferred[Any]] = []

    def connect(self, address: str) -> "Deferred[str]":
        """
        See `IBrakes`.
        """
        return self._answer("connect", address)

    def disconnect(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        self._call("disconnect", address)

    def begin(self, address: str) -> "Deferred[float]":
        """
        See `IBrakes`.
        """
        return self._answer("begin", address) if address else succeed(0.0)

    def end(self, address: str) -> None:
        """
        See `IBrakes`.
        """
        if address:
            self._call("end", address)

    def failed(self, address: str, user: bytes, tried: bytes) -> None:
        """
        See `IBrakes`.
        """
        if address:
            self._call("failed", address, _text(user), _text(tried))

    def succeeded(self, address: str, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        if address:
            self._call("succeeded", address, _text(user))

    def enter(self, user: bytes) -> "Deferred[str]":
        """
        See `IBrakes`.
        """
        return self._answer("enter", _text(user))

    def leave(self, user: bytes) -> None:
        """
        See `IBrakes`.
        """
        self._call("leave", _text(user))

    def quitted(self, user: bytes, seconds: float) -> None:
        """
        See `IBrakes`.
        """
        self._call("quitted", _text(user), float(seconds))

    def _answer(self, name: str, *arguments: Any) -> "Deferred[Any]":
        answer: Deferred[Any] = Deferred()
        self._call(name, *arguments, answer=answer)
        return answer

    def _call(
        self, name: str, *arguments: Any, answer: "Deferred[Any] | None" = None
    ) -> None:
        call = json.dumps([name, *arguments]).encode("ascii")
        self._octets += len(call) + 1
        if self._octets > MOST_OCTETS or len(self._calls) == MOST_CALLS:
            self._send()
            self._octets = len(call) + 1
        if answer is not None:
            self._waiting.append(answer)
        self._calls.append(call)
        if len(self._calls) == 1:
            self._later(self._send)

    def _send(self) -> None:
        calls, self._calls = self._calls, []
        waiting, self._waiting = self._waiting, []
        self._octets = 0
        if not calls:
            # They were too many to wait so long.
            return

        def failed(reason: Failure) -> None:
            # That the other process is gone is found out by other means.
            for answer in waiting:
                answer.errback(reason)

        asked = maybeDeferred(self._ask, Calls, calls=b"[%b]" % b",".join(calls))
        asked.addCallbacks(lambda response: _give(waiting, response["answers"]), failed)


def _give(waiting: list["Deferred[Any]"], answers: bytes) -> None:
    for answer, value in zip(waiting, json.loads(answers), strict=True):
        if value is None:
            answer.errback(ServerBusy())
        else:
            answer.callback(value)


class BrakesDesk(amp.CommandLocator):
    """
    Answers one worker where the brakes lie, and knows what it holds.
    """

    _log = Logger()

    def __init__(self, brakes: IBrakes) -> None:
        self._brakes: Any = brakes
        self._connections: Counter[str] = Counter()
        self._logins: Counter[str] = Counter()
        self._sessions: Counter[bytes] = Counter()
        self._called: dict[str, Callable[..., Any]] = {
            "connect": self._connect,
            "disconnect": self._disconnect,
            "begin": self._begin,
            "end": self._end,
            "failed": self._failed,
            "succeeded": self._succeeded,
            "enter": self._enter,
            "leave": self._leave,
            "quitted": self._quitted,
        }

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

    @Calls.responder
    def calls(self, calls: bytes) -> dict[str, Any]:
        """
        Do what the worker asks, in its order.
        """
        answers = []
        for name, *arguments in json.loads(calls):
            answer = None
            try:
                answer = self._called[name](*arguments)
            except Exception:
                self._log.failure("the brakes failed")
            if name in _ASKED:
                answers.append(answer)
        return {"answers": json.dumps(answers).encode("ascii")}

    def _connect(self, address: str) -> str:
        limit: str = self._brakes.connect(address)
        if not limit:
            self._connections[address] += 1
        return limit

    def _disconnect(self, address: str) -> None:
        self._takeBack(self._connections, address, self._brakes.disconnect)

    def _begin(self, address: str) -> float:
        seconds = float(self._brakes.begin(address))
        if seconds >= 0:
            self._logins[address] += 1
        return seconds

    def _end(self, address: str) -> None:
        self._takeBack(self._logins, address, self._brakes.end)

    def _failed(self, address: str, user: str, tried: str) -> None:
        self._brakes.failed(address, _octets(user), _octets(tried))

    def _succeeded(self, address: str, user: str) -> None:
        self._brakes.succeeded(address, _octets(user))

    def _enter(self, user: str) -> str:
        limit: str = self._brakes.enter(_octets(user))
        if not limit:
            self._sessions[_octets(user)] += 1
        return limit

    def _leave(self, user: str) -> None:
        self._takeBack(self._sessions, _octets(user), self._brakes.leave)

    def _quitted(self, user: str, seconds: float) -> None:
        self._brakes.quitted(_octets(user), seconds)

    @staticmethod
    def _takeBack(
        held: "Counter[Any]", key: Any, take_back: Callable[[Any], Any]
    ) -> None:
        if held[key] > 0:
            held[key] -= 1
            take_back(key)
        if not held[key]:
            del held[key]


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")


def _octets(text: str) -> bytes:
    return text.encode("latin-1")
