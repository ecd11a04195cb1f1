"""
The session of a POP3 server: lines in, one reply each, and how it ends.

What stock `twisted.mail.pop3.POP3` gets wrong about sessions is put right here,
for any subclass: commands that were pipelined behind a dropped connection never
run, every command gets exactly one reply, over-long lines are refused and
forgotten, the queue is bounded, and a peer that stalls is let go.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.mail import pop3
from twisted.python.failure import Failure

from extretr.coroutines import awaited, go_on
from extretr.errors import Refusal
from extretr.interfaces import ISeekableMailbox
from extretr.mailbox import SeekableMailbox
from extretr.server.handlers import takes
from extretr.server.liveness import ProtocolSession
from extretr.server.metered import MeteredMixin
from extretr.server.output import Output
from extretr.server.transfer import Transfer, TransferCutError
from extretr.syntax import failure, printable, success

#: Commands that stock code may queue while one is being answered.
QUEUE_LIMIT = 64

_LOGIN_COMMANDS = frozenset({b"USER", b"PASS", b"APOP", b"AUTH", b"RPOP"})

SERVER_ERROR = b"[SYS/TEMP] server error, try again later"


class SessionMixin(MeteredMixin):
    """
    How a session of `twisted.mail.pop3.POP3` takes commands and ends.

    To come first among the bases of a class.
    """

    _log = Logger()

    #: Seconds without an acknowledgement after which a transfer is cut; timeOut where
    #: it is None.
    stallTimeOut: Any = None

    factory: Any
    schedule: Any
    portal: Any

    #: Commands that may come before the login too, besides those that stock knows.
    _anyState: frozenset[bytes] = frozenset()

    _mailbox: Any = None
    _transfer: Transfer | None = None
    _acknowledged: int | None = None
    _onLogout: Callable[[], object] | None
    _userIs: bytes | None

    # The mailbox, adapted whoever sets it

    @property
    def mbox(self) -> Any:
        """
        The mailbox of the session, seekable; None before login.
        """
        return self._mailbox

    @mbox.setter
    def mbox(self, mailbox: Any) -> None:
        if mailbox is not None:
            # Mailboxes that never declare IMailboxPOP3 are common.
            seekable = ISeekableMailbox(mailbox, None)
            mailbox = SeekableMailbox(mailbox) if seekable is None else seekable
            if isinstance(mailbox, SeekableMailbox):
                mailbox.cooperate = self._cooperate
        self._mailbox = mailbox

    def _cooperate(self, steps: Iterator[None]) -> Any:
        return self.schedule(steps)

    async def _turn(self) -> None:
        """
        Let others have their turn of the reactor.
        """
        await awaited(self.schedule, iter((None,)))

    # Connection

    def makeConnection(self, transport: Any) -> None:
        """
        Take the transport, with a cork in it.
        """
        self.session = ProtocolSession(transport, self._clockOf(), self)
        prepared = self.session.start()
        super().makeConnection(Output(transport, prepared))

    # Commands

    def processCommand(self, command: bytes, *arguments: bytes) -> Any:
        """
        Run one command, whose reply is all that comes of any error in it.
        """
        if self._over:
            return None
        if self.blocked is not None:
            if len(self.blocked) < QUEUE_LIMIT:
                self.blocked.append((command, arguments))
            else:
                self._abort("too many commands at once")
            return None
        try:
            command = command.upper()
            if self._stopping:
                self._refuseWhileStopping(command)
            handler = self._handlerOf(command)
            if not takes(handler, len(arguments)):
                raise pop3.POP3Error(b"wrong number of arguments")
            return handler(*arguments)
        except Exception:
            self._replyTo(Failure())
        return None

    def _handlerOf(self, command: bytes) -> Callable[..., Any]:
        if self._mailbox is None:
            if command not in self.AUTH_CMDS and command not in self._anyState:  # type: ignore[attr-defined]
                raise pop3.POP3Error(
                    b"not authenticated yet: cannot do " + printable(command)
                )
        elif command in _LOGIN_COMMANDS:
            raise pop3.POP3Error(b"already authenticated")
        name = command.decode("ascii", "replace")
        handler = getattr(self, "do_" + name, None)
        if handler is None:
            raise pop3.POP3Error(b"Unknown protocol command: " + printable(command))
        return handler

    def _replyTo(self, reason: Failure) -> None:
        """
        Give the one reply that an error in a command makes.
        """
        if self._over:
            return
        error = reason.value
        if isinstance(error, Refusal):
            self.failResponse(error.reply)
        elif isinstance(error, pop3.POP3Error):
            text = printable(_octets(error.args[0]) if error.args else b"")
            self.failResponse(b"bad protocol or server: POP3Error: " + text)
        else:
            self._log.failure("a command failed unexpectedly", failure=reason)
            self.failResponse(SERVER_ERROR)

    def _run(self, command: "Coroutine[Any, Any, Any]") -> "Deferred[None] | None":
        """
        Run a command that may take time; what follows it waits until it is done.

        None tells that it is done.
        """
        try:
            waits_for = command.send(None)
        except StopIteration:
            return None
        except Exception:
            self._replyTo(Failure())
            return None
        done = Deferred.fromCoroutine(go_on(command, waits_for))
        return self._hold(done.addErrback(self._replyTo))

    def _hold(self, done: "Deferred[Any]") -> "Deferred[Any]":
        """
        Let the commands that follow wait until *done* fires.
        """
        fired = False

        def fire(result: Any) -> Any:
            # A Deferred that waits for another one was called, and yet not fired.
            nonlocal fired
            fired = True
            return result

        done.addBoth(fire)
        if not fired:
            self.blocked = []
            self._pending = done
            done.addBoth(self._unblock)
        return done

    def _unblock(self, _: Any = None) -> None:
        """
        Go on with the commands that came meanwhile.
        """
        queued, self.blocked = self.blocked or [], None
        self._queued, self._pending = queued, None
        while queued and self.blocked is None and not self._stopped():
            command, arguments = queued.pop(0)
            self.processCommand(command, *arguments)
        if self.blocked is not None:
            self.blocked.extend(queued)
        self._work()

    # Transfers

    def _carry(self, blocks: Iterator[bytes]) -> "Deferred[None]":
        """
        Send blocks at the peer's pace.

        After +OK the only honest "no" is to drop the connection, so that is what a
        block that cannot be made does.
        """
        transfer = self._transfer = Transfer(self.transport, blocks, self._progressed)
        self._acknowledged = self._acknowledgedNow()
        idle = self.timeOut
        if self.stallTimeOut is not None:
            self.setTimeout(self.stallTimeOut)

        def ended(result: Any) -> None:
            if isinstance(result, Failure):
                self._cutOff(result)
            self._transfer = None
            if not self._over and self.stallTimeOut is not None:
                self.setTimeout(idle)

        return transfer.begin().addBoth(ended)

    def _cutOff(self, reason: Failure) -> None:
        if reason.check(TransferCutError):
            self._finish("connection lost during a transfer")
        else:
            self._log.failure("a transfer failed", failure=reason)
            self._abort("the message could not be read")

    def _progressed(self) -> None:
        if self.session is not None:
            self.session.asked()
        self._tellSent()
        self.resetTimeout()

    def _acknowledgedNow(self) -> int | None:
        return None if self.session is None else self.session.acknowledged()

    # The end

    def timeoutConnection(self) -> None:
        """
        End the session of a peer that has been silent for too long.

        A transfer that is slow is not silent: it ends only where nothing was
        acknowledged.  What we ourselves take time for is not held against the peer.
        """
        acknowledged = self._acknowledgedNow()
        busy = not self._takesLines() and self._transfer is None
        slow = self._transfer is not None and acknowledged != self._acknowledged
        self._acknowledged = acknowledged
        if busy or slow:
            self.setTimeout(self.timeOut)
            return
        self._abort("timed out")

    def _evicted(self) -> None:
        self._abort("another session took the maildrop over")

    def _takesOver(self) -> None:
        self.meter.tookOver()

    def _abort(self, ending: str) -> None:
        self._finish(ending)
        # loseConnection would wait for output that the peer may never read.
        abort = getattr(self.transport, "abortConnection", None)
        (abort or self.transport.loseConnection)()

    def _finish(self, ending: str) -> None:
        """
        Take no more commands, whatever is in the queue.
        """
        if not self._over:
            self._over = True
            self._cut = self._transfer is not None
            self.ending = ending

    def connectionLost(self, reason: Any = None) -> None:
        """
        Let go of everything; delete nothing.
        """
        self._finish(self.ending)
        self._forget()
        if self._transfer is not None:
            self._transfer.stopProducing()
        logout, self._onLogout = self._onLogout, None
        if self._updating and self._pending is not None:
            # The lock outlives the connection until UPDATE is done.
            self._pending.addBoth(lambda _: self._logOut(logout))
        else:
            if self._pending is not None:
                self._pending.cancel()
            self._logOut(logout)
        super().connectionLost(reason)
        self._tellEnd()

    def _logOut(self, logout: Callable[[], object] | None) -> None:
        if logout is None:
            return
        maybeDeferred(logout).addErrback(
            lambda reason: self._log.failure("logout failed", failure=reason)
        )

    # Replies

    def successResponse(self, message: Any = b"") -> None:
        """
        Send a positive response line of at most 512 octets.
        """
        self.transport.write(success(_octets(message)))

    def failResponse(self, message: Any = b"") -> None:
        """
        Send a negative response line of at most 512 octets.
        """
        self.transport.write(failure(_octets(message)))


def _octets(message: Any) -> bytes:
    return message if isinstance(message, bytes) else str(message).encode("utf-8")
