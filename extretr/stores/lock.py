"""
The session lock: exclusive access from login to UPDATE, taken over from the dead.

Who holds a maildrop stands in a record (see `extretr.stores.holder`).  A login that
finds it held opens a *contest*: it counts up the record's number of contests, and
the holder, who looks at the record about once a second, has to show a sign of life
that is younger than the moment at which it noticed.  Then it writes down that it has
answered, and the login is refused; if it does not in time, the login puts a token of
its own into the record and so holds the maildrop.  Nobody loses a maildrop but by a
login, and no process need be told: who comes back to life finds the token changed.

Holder and contender in one process go by the very same means.
"""

import os
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from extretr.errors import InUse, Refusal, StoreUnavailable
from extretr.interfaces import ISession
from extretr.stores.held import GUARD_RETRY, Held
from extretr.stores.holder import Record, new_token, own_record
from extretr.stores.record_file import RecordFile

#: Seconds between two looks of a contender.
POLL = 0.25

#: Seconds that a new holder has at least to answer those who contested the old one.
FAIR_WAIT = 5.0

#: Seconds: no login may be kept waiting for longer.
MOST_TAKEOVER_AFTER = 60.0

_log = Logger()


class SessionLock:
    """
    The lock of one maildrop.
    """

    def __init__(self, path: bytes, clock: Any, takeover_after: float = 15.0) -> None:
        """
        Args:
            path: the record; its folder is made, what is above that must exist.
            clock: an IReactorTime.
            takeover_after: seconds that a holder has to show a sign of life.  With
                less than three, a living one may not get to it.

        Raises:
            ValueError: where takeover_after is not in (0, 60].
        """
        if not 0 < takeover_after <= MOST_TAKEOVER_AFTER:
            raise ValueError(
                f"takeover_after must be above 0 and at most "
                f"{MOST_TAKEOVER_AFTER:.0f} seconds, not {takeover_after}"
            )
        self._file = RecordFile(path)
        self._clock = clock
        self._takeover_after = takeover_after

    def acquire(self, session: ISession | None) -> "Deferred[Held]":
        """
        Take the lock for *session*; to cancel the Deferred is to withdraw.

        A session of None, of which no sign of life can be had, counts as living.

        Raises:
            InUse: where the holder shows a sign of life.
            StoreUnavailable: where the record cannot be read or written.
        """
        held = self.acquireNow(session)
        if held is not None:
            return succeed(held)
        contender = _Contender(self._file, self._clock, self._takeover_after, session)
        return contender.begin()

    def acquireNow(self, session: ISession | None) -> Held | None:
        """
        Take the lock on the spot, where nobody has it and nothing is in the way.

        None is no refusal yet: `acquire` finds out what it is, and makes the folder.
        """
        token = new_token()
        if not self._file.put(own_record(token)):
            return None
        return Held(self._file, self._clock, session, token)


def make_state(state: bytes) -> None:
    """
    Make the state folder of a maildrop, and what is above it, where it is missing.

    Raises:
        StoreUnavailable: where it cannot be made.
    """
    try:
        if not os.path.isdir(state):
            os.makedirs(state, 0o700, exist_ok=True)
    except OSError:
        _log.failure(
            "{state} cannot be made: --state names a folder that can be written",
            state=state.decode("utf-8", "replace"),
        )
        raise StoreUnavailable from None


class _Contender:
    """
    One attempt to take the lock.

    Time is counted by the looks that were taken, not by the clock: neither a jump of
    the clock nor a process that was stopped may shorten the holder's time to answer.
    """

    def __init__(
        self, file: RecordFile, clock: Any, takeover_after: float, session: Any
    ) -> None:
        self._file = file
        self._clock = clock
        self._takeover_after = takeover_after
        self._session = session
        self._token = new_token()
        #: Seconds waited in all.
        self._waited = 0.0
        #: The token contested, the number of our contest, the seconds left for it.
        self._against: str | None = None
        self._contest = 0
        self._left = takeover_after
        self._tookOver = False
        self._call: Any = None
        self._result: Deferred[Held] = Deferred(lambda _: self._withdraw())

    def begin(self) -> "Deferred[Held]":
        try:
            self._file.make_folder()
        except OSError:
            self._fail()
        else:
            self._look()
        return self._result

    def _look(self) -> None:
        self._call = None
        try:
            guard = self._file.guard()
            if guard is None:
                self._waitForGuard()
                return
            with guard:
                taken = self._takeOrContest()
        except Refusal as refusal:
            self._result.errback(refusal)
        except Exception:
            # Whatever it is: a login that gets no answer waits for ever.
            self._fail()
        else:
            if taken:
                held = Held(self._file, self._clock, self._session, self._token)
                if self._tookOver and self._session is not None:
                    self._session.tookOver()
                self._result.callback(held)
            else:
                self._left -= POLL
                self._later(POLL)

    def _takeOrContest(self) -> bool:
        """
        Tell whether the record is ours now; it runs under the guard.
        """
        record = self._file.read()
        if record is None:
            self._file.write(Record.of_this_process(self._token))
            return True
        if record.is_of_dead_process():
            self._takeOver()
            return True
        if record.token != self._against:
            # The holder, or one who was quicker than we: it has to answer us too,
            # in what is left of our time where that is long enough to be fair.
            fair = min(FAIR_WAIT, self._takeover_after)
            self._left = max(self._left, fair)
            record.contest += 1
            self._file.write(record)
            self._against, self._contest = record.token, record.contest
            return False
        if record.answered >= self._contest:
            raise InUse
        if self._left > 0:
            return False
        self._takeOver()
        return True

    def _takeOver(self) -> None:
        self._tookOver = True
        self._file.write(Record.of_this_process(self._token))

    def _waitForGuard(self) -> None:
        """
        Go on waiting while another changes the record, or the maildrop under it.

        That is not taken off the holder's time: whoever removes messages is busy.

        Raises:
            InUse: where it has taken too long.
        """
        if self._waited >= self._takeover_after:
            raise InUse
        self._later(GUARD_RETRY)

    def _later(self, delay: float) -> None:
        self._waited += delay
        self._call = self._clock.callLater(delay, self._look)

    def _fail(self) -> None:
        _log.failure("the session lock cannot be taken")
        self._result.errback(StoreUnavailable())

    def _withdraw(self) -> None:
        # The contest stays open: that the holder may answer it costs nobody anything.
        self._call.cancel()
