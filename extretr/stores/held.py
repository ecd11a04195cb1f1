"""
The session lock as its holder has it: looked after, used, given up.
"""

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from extretr.errors import LockLost, StoreUnavailable
from extretr.interfaces import ISession
from extretr.stores.holder import own_record
from extretr.stores.looks import look_later, look_no_more
from extretr.stores.record_file import Guard, RecordFile

#: Seconds between two looks while a contest is open that is not answered.
CONTESTED_LOOK = 0.25

#: Seconds between two attempts to take the guard.
GUARD_RETRY = 0.0625

#: Seconds that `Held.whileOurs` may block for the guard.
GUARD_WAIT = 0.3

T = TypeVar("T")


class _Unknown:
    """
    Stands for a session of which no sign of life can be had: it counts as living.
    """

    def lastSign(self) -> float:
        return 0.0

    def challenge(self) -> None:
        pass

    def evict(self) -> None:
        pass

    def tookOver(self) -> None:
        pass


class Held:
    """
    The session lock as its holder has it.
    """

    # There are thousands of them.
    __slots__ = (
        "_acting",
        "_call",
        "_clock",
        "_failing",
        "_file",
        "_noticed",
        "_open",
        "_released",
        "_seen",
        "_session",
        "_settled",
        "token",
    )

    _log = Logger()

    def __init__(
        self, file: RecordFile, clock: Any, session: ISession | None, token: str
    ) -> None:
        self.token = token
        self._file = file
        self._clock = clock
        self._session: Any = _Unknown() if session is None else session
        self._released = False
        #: Whether the last look failed.
        self._failing = False
        #: The guard, while an action runs.
        self._acting: Guard | None = None
        #: The record as it was when last read.
        self._seen: Hashable = None
        #: Whether a later look has found it the same.
        self._settled = False
        self._noticed = 0
        #: Contests not answered yet: the number, and when it was noticed.
        self._open: tuple[tuple[int, float], ...] = ()
        self._call: Any = None
        look_later(self, clock)

    def whileOurs(self, action: Callable[[], T]) -> T:
        """
        Run *action* while nobody can take the lock over, and give its result.

        Where that is a Deferred, nobody can until it fires.

        Raises:
            LockLost: where another session has the lock; the action was not run.
            StoreUnavailable: where that could not be found out.
        """
        guard = self._guardSoon()
        try:
            if self._released or not self._isOurs():
                raise LockLost
            self._acting = guard
            result = action()
        except BaseException:
            self._finish(guard)
            raise
        if isinstance(result, Deferred):
            result.addBoth(self._acted, guard)
        else:
            self._finish(guard)
        return result

    def release(self) -> None:
        """
        Give the lock up, if it is ours still.
        """
        if self._released:
            return
        self._released = True
        look_no_more(self, self._clock)
        if self._call is not None:
            self._call.cancel()
            self._call = None
        # What runs under the lock ends under it; the release comes then.
        if self._acting is None:
            self._clear()

    def _guardSoon(self) -> Guard:
        deadline = time.monotonic() + GUARD_WAIT
        try:
            while self._acting is None:
                guard = self._file.guard()
                if guard is not None:
                    return guard
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.01)
        except OSError:
            self._log.failure("the session lock cannot be reached")
        raise StoreUnavailable

    def _isOurs(self) -> bool:
        try:
            record = self._file.read()
        except OSError:
            self._log.failure("the session lock cannot be read")
            raise StoreUnavailable from None
        return record is not None and record.token == self.token

    def _acted(self, result: Any, guard: Guard) -> Any:
        self._finish(guard)
        return result

    def _finish(self, guard: Guard) -> None:
        with guard:
            acted, self._acting = self._acting is not None, None
            if acted and self._released:
                self._removeIfOurs()

    def _clear(self) -> None:
        self._call = None
        if self._file.take_away(own_record(self.token)):
            return
        # It was contested, or something is in the way.
        try:
            guard = self._file.guard()
        except FileNotFoundError:
            # The folder is gone, and the record with it.
            return
        except OSError:
            self._log.failure("the session lock cannot be released")
            return
        if guard is None:
            self._call = self._clock.callLater(GUARD_RETRY, self._clear)
            return
        with guard:
            self._removeIfOurs()

    def _removeIfOurs(self) -> None:
        try:
            record = self._file.read()
            if record is not None and record.token == self.token:
                self._file.remove()
        except OSError:
            self._log.failure("the session lock cannot be released")

    # Looking

    def look(self) -> None:
        """
        Look whether the lock is ours still, and whether anybody contests it.
        """
        self._call = None
        lost = False
        try:
            lost = self._isLost()
            if self._open and not lost:
                self._answer()
            self._failing = False
        except Exception:
            # A look that fails must not be the last one; told once is enough.
            if not self._failing:
                self._log.failure("the session lock cannot be looked at")
            self._failing = True
        if lost:
            self._session.evict()
        elif self._released:
            pass
        elif self._open:
            self._call = self._clock.callLater(CONTESTED_LOOK, self.look)
        else:
            look_later(self, self._clock)

    def _isLost(self) -> bool:
        """
        Tell whether another has the lock, and notice a contest.
        """
        if self._settled and self._file.signature() == self._seen:
            return False
        record, seen = self._file.read_signed()
        if record is None or record.token != self.token:
            return True
        # Replaced within a tick of the clock of the file system, and with the number of
        # a file that was removed (XFS gives them out again), it looks the same.
        self._settled, self._seen = seen == self._seen, seen
        if record.contest > self._noticed:
            self._noticed = record.contest
            self._open = (*self._open, (record.contest, self._clock.seconds()))
            self._session.challenge()
        return False

    def _answer(self) -> None:
        """
        Write down which contests a sign of life has come after.
        """
        now, age = self._clock.seconds(), self._session.lastSign()
        answered = max(
            (n for n, noticed in self._open if age < now - noticed), default=0
        )
        if not answered:
            return
        guard = self._acting or self._file.guard()
        if guard is None:
            return
        try:
            record = self._file.read()
            if record is None or record.token != self.token:
                return
            record.answered = answered
            self._file.write(record)
        finally:
            if guard is not self._acting:
                guard.close()
        self._open = tuple(entry for entry in self._open if entry[0] > answered)
