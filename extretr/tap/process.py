"""
What a server's process does beside serving: signals, systemd, and its end.
"""

import codecs
import gc
import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.application.service import MultiService

from extretr.server.graceful import GracefulStop
from extretr.server.lean import lean
from extretr.server.log_lines import quicken
from extretr.server.reloading import Reloads
from extretr.server.signals import Signals
from extretr.server.systemd import Notifier

#: Codecs that are first used by a session.
_CODECS = ("ascii", "latin-1", "utf-8", "idna")


def preload() -> None:
    """
    Load what is loaded late while its files, outside a chroot perhaps, can be read.
    """
    for name in _CODECS:
        codecs.lookup(name)


def freeze() -> None:
    """
    Take what is there already out of what the collector of garbage looks through.

    Modules and their functions stay anyway; to look through them takes 12 milliseconds
    each time, for which all sessions wait.
    """
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Handed:
    """
    What a supervisor has handed over to a process.
    """

    #: Listens in the place of the reactor.
    ports: Any = None
    #: The brakes of all workers.
    brakes: Any = None
    #: What is shown of unknown users is derived from it.
    users_key: bytes | None = None
    #: What sessions of all workers have in common.
    attributes: dict[str, Any] = field(default_factory=dict)


class Process:
    """
    A process that serves by itself.
    """

    def __init__(self, reactor: Any, stop_after: float) -> None:
        """
        Args:
            reactor: runs the process.
            stop_after: seconds that running transfers get to end.
        """
        self.reactor = reactor
        self.stop_after = stop_after

    def complete(
        self, service: MultiService, sessions: "set[Any]", reloads: Reloads
    ) -> None:
        """
        Add to *service* what looks after the process.
        """
        preload()
        systemd = Notifier(self.reactor, os.environ, self.stop_after)
        systemd.setServiceParent(service)
        self._add(service, sessions, partial(systemd.reloading, reloads.reload))
        self.reactor.callWhenRunning(systemd.ready)

    def _add(self, service: MultiService, sessions: "set[Any]", reload: Any) -> None:
        lean(self.reactor)
        # twistd begins its log later.
        self.reactor.callWhenRunning(quicken)
        self.reactor.callWhenRunning(freeze)
        graceful = GracefulStop(self.reactor, sessions, self.stop_after)
        self.reload = reload
        self.hurry = graceful.hurry
        self._signals = Signals(self.reactor, reload, graceful.hurry)
        self._signals.setServiceParent(service)
        # It must be asked to stop before what sessions need: the last one is.
        graceful.setServiceParent(service)


class WorkerProcess(Process):
    """
    A process that serves for a supervisor, which alone speaks with systemd.
    """

    def complete(
        self, service: MultiService, sessions: "set[Any]", reloads: Reloads
    ) -> None:
        """
        Add to *service* what looks after the process.
        """
        self._add(service, sessions, reloads.reload)

    def stop(self) -> None:
        """
        Stop, unless that is under way.
        """
        self._signals.stopOnce()
