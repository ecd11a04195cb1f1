"""
The brakes as a session feels them: who may connect, how often a login may be tried,
and for how long a stranger may stay.
"""

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.cred.error import LoginFailed
from twisted.internet.defer import CancelledError, Deferred
from twisted.mail.pop3 import POP3Error
from twisted.python.failure import Failure

from extretr.errors import ServerBusy, TooManyConnections, TooManyLogins
from extretr.interfaces import IBrakes
from extretr.server.authentication import AuthMixin
from extretr.server.entering import counted, tell
from extretr.server.metered import TURNED_AWAY
from extretr.server.peers import host_of, is_local, network_of
from extretr.server.turned_away import TurnedAway

#: Makes what stands for a password: of no use in another process, nor to guess by.
_KEY = secrets.token_bytes(32)

#: Seconds in which a peer that was turned away has to be gone.
LEAVES_IN = 10.0

#: Commands that clients pipeline by the thousand, and whose answers cost more than
#: they do.
_OF_MESSAGES = frozenset({b"RETR", b"TOP", b"DELE", b"LIST", b"UIDL"})


def stand_in(user: bytes, password: bytes, key: bytes = _KEY) -> bytes:
    """
    Give what stands for a user and a password, alike only for alike ones.
    """
    text = b"%d %b %b" % (len(user), user, password)
    return hashlib.blake2b(text, key=key, digest_size=12).digest()


def _isNegative(seconds: float) -> bool:
    return seconds < 0


class BrakesMixin(AuthMixin):
    """
    How a session is held back.
    """

    #: What is counted of addresses and users; without it nothing is limited.
    brakes: IBrakes | None = None

    #: Makes what stands for a password; the same for all who share brakes.
    triedKey = _KEY

    #: Tells of those that were turned away.
    turnedAway = TurnedAway()

    #: Whether peers on this host are limited too; many may stand behind one of them.
    limitsLocal = False

    #: Seconds from the connection to a login that succeeds; None for any.
    loginTimeOut: float | None = None

    #: Failed logins, and senseless commands, after which a session is ended; 0 for any.
    mostFailures = 0
    mostBadCommands = 0

    #: Octets that a session may send before it has logged in; 0 for any.
    mostOctetsOfStrangers = 0

    #: Commands a second, and how many may come at once, without those that are for one
    #: message; 0 for any.
    commandRate = 0
    commandBurst = 500

    #: Seconds between two logins of a user, to be announced (RFC 2449, section 6.5).
    loginDelay = 0

    #: What is announced of how long mail is kept (RFC 2449, section 6.7).
    expire: bytes | None = None

    _isConnected = False
    _due: Any = None
    _failures = 0
    _badCommands = 0
    _octetsOfStranger = 0
    #: The user and the password of the next login.
    _tried: tuple[bytes, bytes] | None = None
    _enteredAt: float | None = None
    #: Commands that may come at once just now, and when that was.
    _allowance: float | None = None
    _allowedAt = 0.0

    # Capabilities

    def listCapabilities(self) -> list[bytes]:
        """
        Give the capabilities, with what is enforced.
        """
        capabilities = super().listCapabilities()
        if self.loginDelay:
            capabilities.append(b"LOGIN-DELAY %d" % self.loginDelay)
        if self.expire:
            capabilities.append(b"EXPIRE " + self.expire)
        return capabilities

    # The connection

    def connectionMade(self) -> None:
        """
        Greet, unless there are too many connections.
        """
        if self.loginTimeOut is not None:
            self._due = self._later(self.loginTimeOut, self._loginDue)
        brakes = self.brakes
        if brakes is None:
            super().connectionMade()  # type: ignore[misc]
            return
        peer = self.transport.getPeer()
        exempt = is_local(peer) and not self.limitsLocal
        self.address = "" if exempt else network_of(peer)
        self._run(self._ask(brakes))

    async def _ask(self, brakes: IBrakes) -> None:
        try:
            answer = brakes.connect(self.address)
            limit = await counted(answer, brakes.disconnect, self.address)
            self._mayConnect(limit)
        except Exception:
            self._cannotAsk(Failure())

    def _mayConnect(self, limit: str) -> None:
        if limit:
            self.meter.refused(limit)
            self.turnedAway.note(limit, host_of(self.transport), self._clockNow())
            self._turnAway(TooManyConnections().reply)
        else:
            self._isConnected = True
            super().connectionMade()  # type: ignore[misc]

    def _cannotAsk(self, reason: Failure) -> None:
        if not self._over and not reason.check(CancelledError):
            self._log.failure("nobody tells what is allowed", failure=reason)
            self._turnAway(ServerBusy().reply)

    def _turnAway(self, reply: bytes) -> None:
        if not self._over:
            self.failResponse(reply)
            self._finish(TURNED_AWAY)
            # TLS takes the reply after its handshake only, and nobody counts them.
            self._strangerNoMore()
            self._due = self._later(LEAVES_IN, partial(self._abort, TURNED_AWAY))
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """
        Count no longer.
        """
        self._strangerNoMore()
        if self._isConnected:
            self._isConnected = False
            self._tell("disconnect", self.address)
        super().connectionLost(reason)

    def _tell(self, what: str, *arguments: Any) -> None:
        """
        Tell the brakes what needs no answer.
        """
        if self.brakes is not None:
            tell(getattr(self.brakes, what), *arguments)

    # Strangers

    def dataReceived(self, data: bytes) -> None:
        """
        Take octets, of a stranger not many.
        """
        if self.mostOctetsOfStrangers and self.mbox is None and not self._over:
            self._octetsOfStranger += len(data)
            if self._octetsOfStranger > self.mostOctetsOfStrangers:
                self.meter.refused("octets before login")
                self._abort("too many octets before a login")
                return
        super().dataReceived(data)

    def _loginDue(self) -> None:
        self._due = None
        if self._over or self.mbox is not None:
            return
        busy = self.blocked is not None and not self._takesLines()
        slowed = self._slowed is not None and self._pending is self._slowed
        if busy and not slowed and self._transfer is None:
            # It waits for us: for a thread, for its delay, for the maildrop.
            self._due = self._later(1.0, self._loginDue)
            return
        self.meter.refused("time to log in")
        self._abort("no login in time")

    def _later(self, seconds: float, function: Callable[[], object]) -> Any:
        return self.callLater(seconds, function)  # type: ignore[attr-defined]

    def _strangerNoMore(self) -> None:
        due, self._due = self._due, None
        if due is not None and due.active():
            due.cancel()

    # Logins

    def do_PASS(self, *words: bytes) -> None:
        """
        Take the password, and log in.
        """
        if self._userIs is not None:
            # What is refused without a look must not stand for a later login.
            self._noteTried(self._userIs, b" ".join(words))
        super().do_PASS(*words)

    def _noteTried(self, user: bytes, password: bytes) -> None:
        if self.brakes is not None:
            self._tried = user, password

    async def _authenticated(self, user: bytes, authenticate: Callable[[], Any]) -> Any:
        brakes, address = self.brakes, self.address
        if brakes is None:
            return await super()._authenticated(user, authenticate)
        tried, self._tried = self._tried, None
        answer = brakes.begin(address)
        wait = await counted(answer, brakes.end, address, refused=_isNegative)
        if wait < 0:
            self.meter.refused("logins of an address")
            raise TooManyLogins
        try:
            if wait:
                await self._sleep(wait)
            result = await super()._authenticated(user, authenticate)
        except (LoginFailed, POP3Error):
            # Where nothing tells what was tried, each time is another.
            stands = secrets.token_bytes(12)
            if tried is not None:
                stands = stand_in(*tried, self.triedKey)
            self._tell("failed", address, user, stands)
            raise
        finally:
            self._tell("end", address)
        self._tell("succeeded", address, user)
        return result

    def _sleep(self, seconds: float) -> "Deferred[None]":
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._later(seconds, lambda: slept.callback(None))
        return slept

    def _loggedIn(self, result: Any, user: bytes) -> None:
        super()._loggedIn(result, user)
        if self.mbox is not None:
            self._strangerNoMore()
            if self.loginDelay:
                self._enteredAt = self._clockNow()

    def _logOut(self, logout: Callable[[], object] | None) -> None:
        super()._logOut(logout)
        if logout is not None and self.ending == "QUIT" and self.loginDelay:
            self._tell("quitted", self.user, self._clockNow() - (self._enteredAt or 0))

    def _notLoggedIn(self) -> None:
        super()._notLoggedIn()
        self._failures += 1
        if self._failures == self.mostFailures and not self._over:
            self.meter.refused("failed logins")
            self._finish("too many failed logins")
            self.transport.loseConnection()

    # Commands

    def _replyTo(self, reason: Failure) -> None:
        super()._replyTo(reason)
        if not self._over and reason.check(POP3Error):
            self._badCommands += 1
            if self._badCommands == self.mostBadCommands:
                self.meter.refused("bad commands")
                self._finish("too many bad commands")
                self.transport.loseConnection()

    def processCommand(self, command: bytes, *arguments: bytes) -> Any:
        """
        Run one command; what comes too fast lets the next one wait.
        """
        result = super().processCommand(command, *arguments)
        if self.commandRate and not (arguments and command.upper() in _OF_MESSAGES):
            self._spend()
        return result

    def _spend(self) -> None:
        now = self._clockNow()
        if self._allowance is None:
            self._allowance, self._allowedAt = float(self.commandBurst), now
        grown = self._allowance + (now - self._allowedAt) * self.commandRate
        self._allowance = min(grown, float(self.commandBurst)) - 1.0
        self._allowedAt = now
        if self._allowance < 0 and self.blocked is None and not self._over:
            self.meter.refused("command rate")
            self._slowed = self._sleep(-self._allowance / self.commandRate)
            self._hold(self._slowed)
