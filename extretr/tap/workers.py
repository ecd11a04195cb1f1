"""
``--workers N``: the process that supervises the workers, and what it hands to them.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.protocol import Factory

from extretr.server.limits import Remembered
from extretr.server.shared_brakes import keys_at_once
from extretr.server.shared_counts import SharedCounts, make_table
from extretr.server.signals import Signals
from extretr.server.sockets import OpeningReactor
from extretr.server.systemd import Notifier
from extretr.server.workers import Workers
from extretr.tap.limit_options import limits_of
from extretr.tap.listening import listeners
from extretr.tap.monitor_options import Monitor, checks_of, listening
from extretr.tap.process import preload

#: With the modules of the supervisor, wherever it has found them; never with the
#: folder in which it happens to run.
COMMAND = (sys.executable, "-P", "-m", "extretr.tap.worker")

#: By which all workers make the same of a user, a password, or what is counted.
KEYS = ("users", "tried", "counts")


def supervised(run: Any, reactor: Any) -> IService:
    """
    Give the service that opens the ports and keeps workers running.
    """
    preload()
    service = MultiService()
    opening = OpeningReactor(reactor)
    made = list(listeners(run, SharedPort(), None, reactor, opening))
    for listener in made:
        listener.setServiceParent(service)
    systemd = Notifier(reactor, os.environ, run["stop-after"])
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONUNBUFFERED": "1",
    }
    monitor = Monitor(run, reactor)
    monitor.share(environ)
    keys = {name: secrets.token_hex(32) for name in KEYS}
    limits, count = limits_of(run), run["workers"]
    workers = Workers(
        reactor,
        count,
        COMMAND,
        environ,
        partial(_configuration, run, os.getcwd(), _handed(run), keys),
        opening.ports,
        Remembered(limits, reactor.seconds),
        SharedCounts(make_table(count, keys_at_once(limits)), count),
        run["stop-after"],
        systemd.ready,
        monitor.forget,
    )
    reload = partial(systemd.reloading, workers.reload)
    Signals(reactor, reload, workers.hurry).setServiceParent(service)
    systemd.setServiceParent(service)
    # The last to start is the first to stop.
    workers.setServiceParent(service)
    checks = {**checks_of(run), **listening(made), "workers": workers.isServing}
    return monitor.serve(service, checks)


def _handed(run: Any) -> dict[str, str]:
    """
    Give the files that a worker, without privileges, may not be able to read.
    """
    handed = {}
    for option in ("certificate", "key", "client-ca"):
        if run[option]:
            path = os.path.abspath(run[option])
            with open(path, "rb") as file:
                handed[path] = base64.b64encode(file.read()).decode("ascii")
    return handed


def _configuration(
    run: Any,
    folder: str,
    handed: dict[str, str],
    keys: dict[str, str],
    number: int,
    ports: Sequence[Any],
) -> bytes:
    # Not in the arguments of the process, which everybody on the machine can see.
    return json.dumps(
        {
            "arguments": run.given,
            "number": number,
            "folder": folder,
            "files": handed,
            "keys": keys,
            "families": [int(port.addressFamily) for port in ports],
        }
    ).encode("ascii")


class SharedPort(Factory):
    """
    Makes nothing: the ports of a supervisor take no connections.
    """

    noisy = False
