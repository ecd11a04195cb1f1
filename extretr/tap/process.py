"""
What a server's process does beside serving: signals, systemd, and its end.
"""

import os
from functools import partial
from typing import Any

from twisted.application.service import MultiService

from extretr.server.graceful import GracefulStop
from extretr.server.reloading import Reloads
from extretr.server.signals import Signals
from extretr.server.systemd import Notifier


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
    systemd = Notifier(reactor, os.environ, run["stop-after"])
    stop = GracefulStop(reactor, sessions, run["stop-after"])
    reload = partial(systemd.reloading, reloads.reload)
    Signals(reactor, reload, stop.hurry).setServiceParent(service)
    systemd.setServiceParent(service)
    reactor.callWhenRunning(systemd.ready)
    # The last to start is the first to stop.
    stop.setServiceParent(service)
