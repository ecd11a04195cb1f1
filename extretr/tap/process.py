"""
What a server's process does beside serving: signals, systemd, and its end.
"""

import codecs
import os
from functools import partial
from typing import Any

from twisted.application.service import MultiService

from extretr.server.graceful import GracefulStop
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
    preload()
    systemd = Notifier(reactor, os.environ, run["stop-after"])
    stop = GracefulStop(reactor, sessions, run["stop-after"])
    reload = partial(systemd.reloading, reloads.reload)
    Signals(reactor, reload, stop.hurry).setServiceParent(service)
    systemd.setServiceParent(service)
    reactor.callWhenRunning(systemd.ready)
    # The last to start is the first to stop.
    stop.setServiceParent(service)
