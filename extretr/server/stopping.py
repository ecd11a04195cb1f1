"""
How a session ends when its server is being stopped.

What runs is let end: a transfer, and UPDATE.  Nothing new is begun, but a client that
has just received a message may still say DELE and QUIT: cut off there it would get the
message again from the next server.  So a session is closed once nothing runs in it and
its client has been silent for a moment; idle ones are closed at once.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from extretr.errors import ServerStops
from extretr.server.lines import LinesMixin

#: Seconds of silence after which a client is taken to have said all.
LAST_WORDS = 2.0

#: What ends what was begun, and begins nothing.
_LAST_COMMANDS = frozenset({b"DELE", b"RSET", b"NOOP", b"QUIT"})

ENDING = "the server was stopped"


class StoppingMixin(LinesMixin):
    """
    What the server knows of a session while it stops.
    """

    #: The sessions that live, as the factory has them.
    sessions: "set[Any] | None" = None

    #: The maildrop, once the session has logged in.
    mbox: Any

    # What SessionMixin has.
    _finish: Callable[[str], None]
    _abort: Callable[[str], None]

    _stopping = False
    #: Whether QUIT is being answered.
    _updating = False
    #: A command that is being answered.
    _pending: "Deferred[Any] | None" = None

    def makeConnection(self, transport: Any) -> None:
        """
        Be among the sessions that live.
        """
        if self.sessions is not None:
            self.sessions.add(self)
        super().makeConnection(transport)  # type: ignore[misc]

    def connectionLost(self, reason: Any = None) -> None:
        """
        Live no longer, or only until UPDATE is done.
        """
        if self._updating and self._pending is not None:
            self._pending.addBoth(self._gone)
        else:
            self._gone()
        super().connectionLost(reason)  # type: ignore[misc]

    def _gone(self, _: object = None) -> None:
        if self.sessions is not None:
            self.sessions.discard(self)

    def isUpdating(self) -> bool:
        """
        Tell whether the session removes what was marked as deleted.
        """
        return self._updating

    def isAnswering(self) -> bool:
        """
        Tell whether a command is being answered, as a transfer does.
        """
        return self.blocked is not None

    def stopSoon(self) -> None:
        """
        Begin nothing new; to be called again and again until the session is gone.
        """
        self._stopping = True
        if self._over or self._updating:
            return
        if self.blocked is not None:
            if self.mbox is None and self._pending is not None:
                self._refuseLogin(self._pending)
        elif self.session is None or self.session.silence() >= LAST_WORDS:
            self._finish(ENDING)
            self.transport.loseConnection()

    def stopNow(self) -> None:
        """
        End at once, unless in UPDATE, which ends by itself.
        """
        self._stopping = True
        if not self._updating:
            self._abort(ENDING)

    def _refuseLogin(self, login: "Deferred[Any]") -> None:
        # To say that the password is wrong would make clients forget it.
        self.failResponse(ServerStops().reply)
        self._finish(ENDING)
        login.cancel()
        self.transport.loseConnection()

    def _refuseWhileStopping(self, command: bytes) -> None:
        """
        Let only such commands pass as end what was begun.

        Raises:
            ServerStops: for any other.
        """
        if self._stopping and command not in _LAST_COMMANDS:
            raise ServerStops
