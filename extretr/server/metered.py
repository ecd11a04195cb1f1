"""
What is told of a session: to the meter as it goes, and to the log when it is over.
"""

from typing import Any

from twisted.cred.error import LoginFailed
from twisted.logger import Logger
from twisted.mail import pop3
from twisted.python.failure import Failure

from extretr.errors import InUse, LoginTooSoon, ServerStops, TooManyLogins
from extretr.server.log_lines import tell
from extretr.server.meter import Meter
from extretr.server.peers import host_of
from extretr.server.stopping import StoppingMixin
from extretr.syntax import printable

#: The ending of a session that was never let in.
TURNED_AWAY = "turned away"

#: What to call the outcome of a login that has failed, the first that fits.
_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    # VirtualPOP3 raises POP3Error for a domain that it does not serve.
    (LoginFailed, "refused"),
    (pop3.POP3Error, "refused"),
    (InUse, "in use"),
    (TooManyLogins, "limited"),
    (LoginTooSoon, "limited"),
    (ServerStops, "unavailable"),
)


class MeteredMixin(StoppingMixin):
    """
    How a session tells what happens in it.
    """

    _log = Logger()

    #: Counts what happens in all sessions; by itself nothing.
    meter: Meter = Meter()

    #: Why the session ended.
    ending = "connection lost"

    #: The name that the peer logged in by, and the mechanism by which it did.
    user: bytes | None = None
    mechanism: str | None = None

    #: Messages that were begun to be sent, and how many of them from an offset.
    retrieved = 0
    resumed = 0

    #: Canonical octets that resumed downloads did not have to send again.
    savedOctets = 0

    #: Whether the session was over before a response was sent whole.
    _cut = False
    _began: float | None = None
    _told = 0

    def _clockNow(self) -> float:
        return 0.0 if self.session is None else self.session.now()

    def makeConnection(self, transport: Any) -> None:
        """
        Begin to be counted.
        """
        self._began = self._clockNow()
        self.meter.sessionBegan()
        super().makeConnection(transport)

    def _tellLogin(self, result: Any, mechanism: str) -> Any:
        """
        Tell the outcome of a login, and pass it on.
        """
        outcome = self._outcomeOf(result)
        if outcome == "accepted":
            self.mechanism = mechanism
        self.meter.loggedIn(mechanism, outcome)
        return result

    def _outcomeOf(self, result: Any) -> str:
        if self._over:
            # Its peer has hung up, or was told that the server stops.
            return "unavailable" if self._stopping else "abandoned"
        if not isinstance(result, Failure):
            return "accepted" if result[0] is pop3.IMailbox else "unavailable"
        for kind, outcome in _OUTCOMES:
            if result.check(kind):
                return outcome
        return "unavailable"

    def _tellRetrieved(self, held: int, seconds: float) -> None:
        """
        Tell that a message is being sent, so long after it was asked for.
        """
        self.retrieved += 1
        self.resumed += held > 0
        self.savedOctets += held
        self.meter.retrieved(held, seconds)

    def _tellSent(self) -> int:
        """
        Tell how much was written since the last time; give how much it is in all.
        """
        written: int = getattr(self.transport, "written", 0)
        if written > self._told:
            self.meter.sent(written - self._told)
            self._told = written
        return written

    def _tellEnd(self) -> None:
        """
        Tell, once, how the session ended.
        """
        if self._began is None:
            return
        seconds, self._began = self._clockNow() - self._began, None
        sent = self._tellSent()
        self.meter.sessionEnded(self.ending, self._cut)
        if self.ending == TURNED_AWAY:
            # A storm must not fill the log; it is told elsewhere.
            return
        user = None if self.user is None else printable(self.user).decode("ascii")
        peer = host_of(self.transport)
        tell(
            self._log,
            # To have Twisted put in each field by itself takes five times as long.
            f"session of {user} from {peer} ended: {self.ending};"
            f" {sent} octets sent, {self.savedOctets} saved by resuming",
            event="session",
            user=user,
            peer=peer,
            ending=self.ending,
            sent=sent,
            saved=self.savedOctets,
            cut=self._cut,
            mechanism=self.mechanism,
            seconds=round(seconds, 3),
            retrieved=self.retrieved,
            resumed=self.resumed,
        )
