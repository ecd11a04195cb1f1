"""
``twistd extretr run --check``: what is wrong with a configuration, before it serves.

Nothing is started, listened on, or changed.
"""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from extretr.server.accounts import PasswdFile, read_accounts
from extretr.tap.listening import listeners, plain_endpoints
from extretr.tap.monitor_options import checks_of, endpoint_of
from extretr.tap.process import WorkerProcess
from extretr.tap.run import serving
from extretr.tap.tls_options import read_tls

#: Looks at one thing, given the options and the reactor; gives a line for each fault.
Check = Callable[[Any, Any], Iterator[str]]

#: Lines of a users file that are told one by one.
MOST_LINES = 20


def endpoints(run: Any, reactor: Any) -> Iterator[str]:
    """
    Find endpoints that are none; that a port can be had is not tried.
    """
    for option, descriptions in (
        ("listen", plain_endpoints(run)),
        ("listen-tls", run["listen-tls"]),
    ):
        for description in descriptions:
            if not _is_elsewhere(description):
                one = {"listen": [], "listen-tls": [], option: [description]}
                yield from _fault(partial(_listeners, one, reactor))
    if run["metrics"]:
        yield from _fault(partial(endpoint_of, run, reactor))


def _listeners(run: Any, reactor: Any) -> None:
    list(listeners(run, None, None, reactor))


def _is_elsewhere(description: str) -> bool:
    """
    Tell whether a port is one that systemd passes to the server, and not to a check.
    """
    inner = description.removeprefix("haproxy:")
    return inner.startswith("systemd:") and "LISTEN_FDS" not in os.environ


def certificates(run: Any, reactor: Any) -> Iterator[str]:
    """
    Find a certificate, key or authority that cannot be used, or not today.
    """
    try:
        tls = read_tls(run, reactor)
    except SystemExit as fault:
        yield _text(fault)
    else:
        if tls is not None and tls.invalidity is not None:
            yield tls.invalidity


def folders(run: Any, reactor: Any) -> Iterator[str]:
    """
    Find what the user who checks cannot read, or write.
    """
    for name, is_well in checks_of(run).items():
        if not is_well():
            yield f"{name}: cannot be read by this user"
    if run["state"] is not None:
        root = run["state"].root
        # It may have to be made, in the first folder above it that there is.
        while not os.path.lexists(root) and os.path.dirname(root) != root:
            root = os.path.dirname(root)
        if not os.path.isdir(root) or not os.access(root, os.W_OK | os.X_OK):
            yield f"--state: nothing can be written in {os.fsdecode(root)}"


def users(run: Any, reactor: Any) -> Iterator[str]:
    """
    Find lines of the users file that are of no use.
    """
    path = run["users"]
    if not path:
        return
    faults: list[str] = []

    def complain(number: int, what: str) -> None:
        faults.append(f"--users {path}, line {number}: {what}")

    try:
        accounts, _ = read_accounts(path, complain)
    except OSError as error:
        yield f"--users {path}: {error.strerror}"
        return
    yield from faults[:MOST_LINES]
    if faults:
        yield f"--users {path}: bad lines: {len(faults)}, accounts: {len(accounts)}"
    elif not accounts:
        yield f"--users {path}: there is no account in it"


@implementer(ILogObserver)
class _Warnings:
    """
    Keeps what is logged as a warning or worse.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Any) -> None:
        # Lines of the users file were looked at one by one.
        told = event.get("log_namespace") == PasswdFile._log.namespace
        if event.get("log_level", LogLevel.info) >= LogLevel.warn and not told:
            self.lines.append(formatEvent(event))


def whole(run: Any, reactor: Any) -> Iterator[str]:
    """
    Build all that would serve, but for what was looked at by itself.
    """
    rest = {**run, "certificate": None, "listen": [], "listen-tls": []}
    warnings = _Warnings()
    globalLogPublisher.addObserver(warnings)
    try:
        process = WorkerProcess(reactor, run["stop-after"])
        found = list(_fault(partial(serving, rest, reactor, process)))
    finally:
        globalLogPublisher.removeObserver(warnings)
    yield from warnings.lines
    yield from found


#: All that is looked at; whoever adds what can be wrong adds a check.
CHECKS: list[Check] = [endpoints, certificates, folders, users, whole]


def findings(run: Any, reactor: Any) -> list[str]:
    """
    Give a line for each thing that is wrong with the options *run*.
    """
    found = [line for check in CHECKS for line in check(run, reactor)]
    return list(dict.fromkeys(" ".join(line.split()) for line in found))


def check(run: Any, reactor: Any) -> NoReturn:
    """
    Print a line for each thing that is wrong, and leave.

    Raises:
        SystemExit: with 1 where anything is, else 0.
    """
    found = findings(run, reactor)
    for line in found or ["the configuration is good"]:
        sys.stdout.write(f"extretr: {line}\n")
    sys.stdout.flush()
    raise SystemExit(1 if found else 0)


def _fault(attempt: Callable[[], object]) -> Iterator[str]:
    """
    Give the line with which the server would refuse to start, if it would.
    """
    try:
        attempt()
    except SystemExit as fault:
        yield _text(fault)


def _text(fault: SystemExit) -> str:
    return str(fault.code).removeprefix("extretr: ")
