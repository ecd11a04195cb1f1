"""
Listening: a port that cannot be had is one line, and the end of the process.
"""

import os
import socket
import sys
from types import TracebackType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from extretr.server.liveness import prepare


class ListenFailedError(Exception):
    """
    A port that cannot be listened on; twistd tells it to who started the daemon.
    """


def end_quietly() -> None:
    """
    Let a `ListenFailedError` that ends the process end it without a traceback.

    It has been told in one line.  SystemExit would say as little, but twistd leaves
    its pidfile behind for that.
    """
    others = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not issubclass(kind, ListenFailedError):
            others(kind, error, trace)

    sys.excepthook = hook


def one_line(text: str) -> None:
    """
    Write one line to the terminal, past the log that twistd makes of stderr.
    """
    stream = sys.__stderr__
    if stream is not None:
        stream.write(f"extretr: {text}\n")
        stream.flush()


class Listener(Service):
    """
    Listens on one endpoint.
    """

    _log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        told: bool = True,
    ) -> None:
        """
        Args:
            description: how the user named the endpoint.
            endpoint: where to listen.
            factory: makes the sessions.
            told: whether the log tells that it listens.
        """
        self._told = told
        self._description = description
        self._endpoint = endpoint
        self._factory = factory
        self._port: Any = None
        self._listening: Deferred[Any] | None = None
        self._made_by = os.getpid()

    @property
    def isListening(self) -> bool:
        """
        Whether connections are taken.
        """
        return self._port is not None

    def privilegedStartService(self) -> None:
        """
        Listen, before any privilege is given up.

        Raises:
            ListenFailedError: where it cannot, after one line on the terminal.
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        self._listening = maybeDeferred(self._endpoint.listen, self._factory)
        self._listening.addCallbacks(self._listens, failures.append)
        if failures:
            self._fail(failures[0])

    def startService(self) -> None:
        """
        Listen, unless that was done with privileges.
        """
        super().startService()
        if self._listening is None:
            self.privilegedStartService()

    def stopService(self) -> "Deferred[Any]":
        """
        Stop listening; sessions that run are not touched.
        """
        super().stopService()
        port, self._port = self._port, None
        return maybeDeferred(lambda: port and port.stopListening())

    def _listens(self, port: Any) -> None:
        self._port = port
        _prepare(port)
        if not self._told:
            return
        host = port.getHost()
        self._log.info(
            "{description}: listening on {host} port {port}",
            description=self._description,
            host=getattr(host, "host", getattr(host, "name", host)),
            port=getattr(host, "port", "-"),
        )

    def _fail(self, reason: Failure) -> None:
        why = _why(reason)
        text = f"cannot listen on {self._description}: {why}"
        self._log.error("{text}", text=text)
        if os.getpid() == self._made_by:
            one_line(text)
        end_quietly()
        # From a daemon twistd carries no more than 98 octets of this to who started
        # it, the name of the class among them: the reason comes first.
        raise ListenFailedError(f"{why}: {self._description}")


def _prepare(port: Any) -> None:
    """
    Have the sockets that are accepted from a port begin as sessions want them.
    """
    if hasattr(port, "fileno"):
        # Which kind of port has its socket where is not public.
        with socket.socket(fileno=os.dup(port.fileno())) as listening:
            prepare(listening)


def _why(reason: Failure) -> str:
    error = getattr(reason.value, "socketError", reason.value)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
