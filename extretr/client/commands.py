"""
A shell command that is given a message: a delivery agent, or a filter.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from extretr.client.places import placed


def run_command(
    reactor: Any, command: str, pieces: Iterator[bytes], spool: Path
) -> "Deferred[int]":
    """
    Run a command with octets on its standard input; fires with its exit status.

    The octets come from a file without a name.  By a pipe the command would take the
    end of this process, if that is killed, for the end of the message.

    One that a signal has ended has the status 128 and the signal's number, as the shell
    has it.  To cancel the Deferred is to end the command.

    Args:
        reactor: runs the command.
        command: for the shell.
        pieces: the octets.
        spool: the folder whose disk holds them meanwhile.

    Raises:
        OSError: where they cannot be kept there; nothing is run then.
    """
    process = _Command()
    arguments = ["/bin/sh", "-c", command]
    with TemporaryFile(dir=spool) as file:
        with placed(str(spool)):
            file.writelines(pieces)
            file.seek(0)
        reactor.spawnProcess(
            process,
            arguments[0],
            arguments,
            env=None,
            childFDs={0: file.fileno(), 1: 1, 2: 2},
        )
    return process.ended


class _Command(ProcessProtocol):
    # An IProcessTransport.
    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred(lambda _: self._kill())

    def _kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(0)
        else:
            ended: Any = reason.value
            status = ended.exitCode
            self.ended.callback(128 + ended.signal if status is None else status)
