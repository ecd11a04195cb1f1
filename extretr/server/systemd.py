"""
Telling systemd what becomes of the service (sd_notify), as far as it asks to be told.

The protocol is one datagram of lines ``NAME=value`` to the socket that the environment
names; see sd_notify(3).
"""

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Seconds more than running transfers get, for all else that stopping takes.
STOP_MARGIN = 10.0


class Notifier(Service):
    """
    Tells systemd when the service is ready, reloads and stops, and that it lives.

    It takes what systemd has set out of the environment, so that no child does the
    same.  Without systemd it does nothing.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, environ: MutableMapping[str, str], stop_after: float
    ) -> None:
        """
        Args:
            reactor: an IReactorTime.
            environ: the environment of the process.
            stop_after: seconds that stopping may take.
        """
        self._address = environ.pop("NOTIFY_SOCKET", "")
        self._stop_after = stop_after
        period = environ.pop("WATCHDOG_USEC", "")
        if environ.pop("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            period = ""
        #: Seconds between two signs of life, 0 where none is asked for.
        self._period = int(period) / 2e6 if period.isdecimal() else 0.0
        self._alive = LoopingCall(self.tell, "WATCHDOG=1")
        self._alive.clock = reactor

    def ready(self, *_: object) -> None:
        """
        Tell that connections are taken.
        """
        self.tell("READY=1")
        if self._period and not self._alive.running:
            # It goes on until the process ends: what hangs while it stops hangs too.
            self._alive.start(self._period)

    def reloading(self, reload: Callable[[], object]) -> None:
        """
        Do a reload, and tell when it begins and when it is done.
        """
        microseconds = time.monotonic_ns() // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")
        try:
            reload()
        finally:
            self.tell("READY=1")

    def stopService(self) -> None:
        """
        Tell that the service stops, and how long that may take.
        """
        super().stopService()
        microseconds = int((self._stop_after + STOP_MARGIN) * 1e6)
        self.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def tell(self, *lines: str) -> None:
        """
        Tell systemd something, if it asked for it.
        """
        address = self._address
        if not address.startswith(("/", "@")):
            return
        if address.startswith("@"):
            # A socket without a file (unix(7)).
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(lines).encode("ascii"), address)
        except OSError as error:
            self._log.warn("systemd cannot be told: {why}", why=error.strerror)
