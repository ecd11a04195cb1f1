"""
OAuth tokens, checked by a command: it knows whom they are from, and how to ask there.
"""

from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from extretr.errors import LoginUnavailable, Misconfigured
from extretr.server.credentials import IBearerToken

#: Commands that run at once, at most.
AT_ONCE = 8

#: Logins that may wait for their turn; more are told to try again.
MOST_WAITING = 100

#: Seconds that a command may take.
TIME_OUT = 10.0

#: Octets of a command's output that are read: a name, not a novel.
_MOST_OUTPUT = 1024

#: Exit statuses: the token is no good; the shell finds no command, or may not run it.
_REFUSED = 1
_NO_COMMAND = (126, 127)


@implementer(ICredentialsChecker)
class TokenCommand:
    """
    Lets in whom a command names that was given user and token.

    It gets two lines on its standard input, never arguments, which others on the
    machine could see: the user that is asked for, which may be empty, and the token.
    """

    credentialInterfaces = (IBearerToken,)

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        command: str,
        *,
        known: Any = None,
        atOnce: int = AT_ONCE,
        timeOut: float = TIME_OUT,
    ) -> None:
        """
        Args:
            reactor: runs the command, and tells the time.
            command: for the shell.
            known: tells whether there is such a user; None for everybody.
            atOnce: commands that run at once.
            timeOut: seconds that one may take.
        """
        self._reactor = reactor
        self._command = command
        self._known = known
        self._turns = DeferredSemaphore(atOnce)
        self._timeOut = timeOut

    def requestAvatarId(self, credentials: Any) -> "Deferred[Any]":
        """
        Give the name that the command prints.

        Raises:
            UnauthorizedLogin: where it exits with 1, or there is no such user.
            LoginUnavailable: where it exits with anything else, or takes too long.
            Misconfigured: where it cannot be run.
        """
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes:
        if len(self._turns.waiting) >= MOST_WAITING:
            raise LoginUnavailable
        asked = b"%b\n%b\n" % (credentials.username, credentials.token)
        status, output = await self._turns.run(self._ask, asked)
        if status == _REFUSED:
            raise UnauthorizedLogin
        name = output.removesuffix(b"\n").removesuffix(b"\r")
        if status == 0 and name and b"\n" not in name and len(name) < _MOST_OUTPUT:
            if self._known is not None and not self._known(name):
                raise UnauthorizedLogin
            credentials.identity = name
            return name
        what = f"exit status {status}" if status else "no name, or more than that"
        self._log.error("the token check failed: {what}", what=what)
        if status in _NO_COMMAND:
            raise Misconfigured
        raise LoginUnavailable

    def _ask(self, asked: bytes) -> "Deferred[tuple[int | None, bytes]]":
        """
        Run the command; fires with its exit status, None for a signal, and its output.
        """
        process = _Command(asked)
        shell = ["/bin/sh", "-c", self._command]
        self._reactor.spawnProcess(process, shell[0], shell, env=None)
        late = self._reactor.callLater(self._timeOut, process.kill)

        def ended(result: Any) -> Any:
            if late.active():
                late.cancel()
            return result

        return process.ended.addBoth(ended)


class _Command(ProcessProtocol):
    # An IProcessTransport.
    transport: Any

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self._output = b""
        self.ended: Deferred[tuple[int | None, bytes]] = Deferred(lambda _: self.kill())

    def connectionMade(self) -> None:
        self.transport.write(self._asked)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._output = (self._output + data)[:_MOST_OUTPUT]

    def errReceived(self, data: bytes) -> None:
        """
        Forget what it says beside: it may hold the token.
        """

    def kill(self) -> None:
        """
        End the command, and wait for nothing that it has begun.
        """
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass
        # What the shell has begun lives on, and has its output open.
        self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        ended: Any = reason.value
        status = 0 if reason.check(ProcessDone) else ended.exitCode
        self.ended.callback((status, self._output))
