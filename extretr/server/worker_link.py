"""
What the supervising process and a worker say to each other, over a pair of sockets.
"""

from collections.abc import Callable
from typing import Any

from twisted.protocols import amp

from extretr.server.shared_brakes import BrakesDesk


class Serves(amp.Command):
    """
    The worker takes connections.
    """

    requiresAnswer = False


class Reload(amp.Command):
    """
    Read again what can be.
    """

    requiresAnswer = False


class Stop(amp.Command):
    """
    Let running transfers end, then exit.
    """

    requiresAnswer = False


class Hurry(amp.Command):
    """
    Wait for no transfer any longer.
    """

    requiresAnswer = False


class Ping(amp.Command):
    """
    Show that the reactor turns.
    """


class SupervisorLink(amp.AMP):
    """
    The supervisor's end.
    """

    def __init__(self, serves: Callable[[], object], desk: BrakesDesk) -> None:
        """
        Args:
            serves: is called when the worker takes connections.
            desk: answers what the worker asks.
        """
        super().__init__()
        self._desk = desk
        self._serves = serves
        self._lost = False

    def locateResponder(self, name: bytes) -> Any:
        """
        Give what answers a command: this, or the desk.
        """
        return super().locateResponder(name) or self._desk.locateResponder(name)

    @Serves.responder
    def _servesNow(self) -> dict[str, Any]:
        self._serves()
        return {}

    def connectionLost(self, reason: Any = None) -> None:
        """
        Tell it nothing any more.
        """
        self._lost = True
        super().connectionLost(reason)

    def tell(self, command: type[amp.Command]) -> None:
        """
        Tell the worker to do something, unless it is gone.
        """
        if not self._lost:
            self.callRemote(command)

    def ping(self) -> Any:
        """
        Give a Deferred that fires when the worker's reactor has turned.
        """
        # That it is gone is found out by other means.
        return self.callRemote(Ping).addErrback(lambda _: None)


class WorkerLink(amp.AMP):
    """
    The worker's end.
    """

    def __init__(self, process: Any) -> None:
        """
        Args:
            process: has reload, stop and hurry.
        """
        super().__init__()
        self._process = process

    @Reload.responder
    def _reloadNow(self) -> dict[str, Any]:
        self._process.reload()
        return {}

    @Stop.responder
    def _stopNow(self) -> dict[str, Any]:
        self._process.stop()
        return {}

    @Hurry.responder
    def _hurryNow(self) -> dict[str, Any]:
        self._process.hurry()
        return {}

    @Ping.responder
    def _pong(self) -> dict[str, Any]:
        return {}

    def serves(self) -> None:
        """
        Tell the supervisor that connections are taken.
        """
        self.callRemote(Serves)

    def connectionLost(self, reason: Any = None) -> None:
        """
        Stop: without a supervisor nobody would ask for it.
        """
        super().connectionLost(reason)
        self._process.stop()
