"""
A worker process of ``twistd extretr run --workers N``; only its supervisor starts it.

What it is to do comes on its standard input, and its log goes, as JSON, to its
standard output: the supervisor's log has it.
"""

import base64
import json
import os
import socket
import sys
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import FileLogObserver, globalLogBeginner

from extretr.server import certificates
from extretr.server.shared_brakes import SharedBrakes
from extretr.server.shared_counts import SharedCounts
from extretr.server.sockets import AcceptingReactor
from extretr.server.worker_link import WorkerLink
from extretr.server.worker_log import line_of
from extretr.server.workers import COUNTS, FIRST_PORT, LINK
from extretr.tap.limit_options import limits_of
from extretr.tap.process import Handed, WorkerProcess
from extretr.tap.run import serving
from extretr.tap.run_options import RunOptions


class _Factory(Factory):
    noisy = False

    def __init__(self, link: WorkerLink) -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> WorkerLink:
        return self._link


def main() -> None:
    """
    Serve until the supervisor says that it is enough, or is gone.
    """
    configuration = json.loads(sys.stdin.buffer.read())
    log = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    globalLogBeginner.beginLoggingTo([FileLogObserver(log, line_of)])
    from twisted.internet import reactor

    started: Any = reactor
    os.chdir(configuration["folder"])
    run = RunOptions()
    run.parseOptions(configuration["arguments"])
    families = configuration["families"]
    sockets = [
        socket.socket(socket.AddressFamily(family), fileno=descriptor)
        for descriptor, family in enumerate(families, FIRST_PORT)
    ]
    for path, octets in configuration["files"].items():
        certificates.handed[path] = base64.b64decode(octets)
    process = WorkerProcess(reactor, run["stop-after"])
    link = WorkerLink(process)
    keys = {name: bytes.fromhex(key) for name, key in configuration["keys"].items()}
    number = configuration["number"] - 1
    counts = SharedCounts(COUNTS, run["workers"], number, keys["counts"])
    handed = Handed(
        ports=AcceptingReactor(reactor, sockets),
        brakes=SharedBrakes(limits_of(run), counts, link.callRemote, started.seconds),
        users_key=keys["users"],
        attributes={"triedKey": keys["tried"]},
    )
    service = serving(run, reactor, process, handed)
    factory: IProtocolFactory = _Factory(link)
    started.adoptStreamConnection(LINK, socket.AF_UNIX, factory)
    os.close(LINK)
    service.privilegedStartService()
    service.startService()
    started.addSystemEventTrigger("before", "shutdown", service.stopService)
    started.callWhenRunning(link.serves)
    started.run()


if __name__ == "__main__":
    main()
