"""
A shell command that is given a message: a delivery agent, or a filter.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer


def run_command(reactor: Any, command: str, pieces: Iterator[bytes]) -> "Deferred[int]":
    """
    Run a command with octets on its standard input; fires with its exit status.

    One that a signal has ended has the status 128 and the signal's number, as the shell
    has it.  To cancel the Deferred is to end the command.
    """
    process = _Command(pieces)
    arguments = ["/bin/sh", "-c", command]
    reactor.spawnProcess(
        process, arguments[0], arguments, env=None, childFDs={0: "w", 1: 1, 2: 2}
    )
    return process.ended


@implementer(IPullProducer)
class _Command(ProcessProtocol):
    # An IProcessTransport; its producers are in no interface.
    transport: Any

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._failure: Failure | None = None
        self.ended: Deferred[int] = Deferred(lambda _: self._kill())

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        try:
            # Nothing written is nothing drained: the transport would not ask again.
            octets = next((one for one in self._pieces if one), None)
        except Exception:
            # Half a message must not look like a whole one.
            self._failure = Failure()
            self._kill()
            return
        if octets is None:
            self.transport.unregisterProducer()
            self.transport.closeStdin()
        else:
            self.transport.writeToChild(0, octets)

    def stopProducing(self) -> None:
        """
        Take it that the command wants no more: its status will tell what it made of it.
        """

    def _kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        if self._failure is not None:
            self.ended.errback(self._failure)
        elif reason.check(ProcessDone):
            self.ended.callback(0)
        else:
            ended: Any = reason.value
            status = ended.exitCode
            self.ended.callback(128 + ended.signal if status is None else status)
