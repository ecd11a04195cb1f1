"""
What a server's process does beside serving: signals, systemd, and its end.
"""

from typing import Any

from twisted.application.service import MultiService

from extretr.server.graceful import GracefulStop
from extretr.server.reloading import Reloads
from extretr.server.signals import Signals


def process_services(
    service: MultiService,
    run: Any,
    reactor: Any,
    sessions: "set[Any]",
    reloads: Reloads,
) -> None:
    """
    Add to *service* what looks after the process, as the options *run* have it.
    """
    stop = GracefulStop(reactor, sessions, run["stop-after"])
    Signals(reactor, reloads.reload, stop.hurry).setServiceParent(service)
    # The last to start is the first to stop.
    stop.setServiceParent(service)
