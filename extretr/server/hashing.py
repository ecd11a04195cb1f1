"""
Threads for slow password hashes, shared out fairly among those who ask.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class HashingThreads(Service):
    """
    A few threads for slow password hashes, so that they never stall other sessions.

    They are few, since some schemes take 64 MiB of memory each.  Those who ask have
    their turn one after another, and nobody has all of the threads: a storm of logins
    from one address lets others through.
    """

    def __init__(self, reactor: Any, most: int = 2) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, most, "extretr passwords")
        self._free = most
        #: Threads that one asker may have at once.
        self._share = max(1, most - 1)
        self._busy: dict[str, int] = {}
        self._waiting: OrderedDict[
            str, deque[tuple[Callable[[], bool], Deferred[bool]]]
        ] = OrderedDict()

    def startService(self) -> None:
        """
        Start the threads, of which none is made before it is needed.
        """
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """
        Wait for what is under way, not for what has yet to begin; stop the threads.
        """
        super().stopService()
        waiting, self._waiting = self._waiting, OrderedDict()
        for queue in waiting.values():
            for _, done in queue:
                done.callback(False)
        self._pool.stop()

    def run(self, function: Callable[[], bool], who: str = "") -> "Deferred[bool]":
        """
        Run *function* in a thread, when it is the turn of *who* asks.
        """
        done: Deferred[bool] = Deferred()
        self._waiting.setdefault(who, deque()).append((function, done))
        self._next()
        return done

    def _next(self) -> None:
        while self._free:
            who = self._whoseTurn()
            if who is None:
                return
            queue = self._waiting.pop(who)
            function, done = queue.popleft()
            if queue:
                self._waiting[who] = queue
            self._free -= 1
            self._busy[who] = self._busy.get(who, 0) + 1
            running = deferToThreadPool(
                self._reactor, self._pool, self._unlessOver, function
            )
            running.addBoth(self._ran, who).chainDeferred(done)

    def _whoseTurn(self) -> str | None:
        for who in self._waiting:
            if self._busy.get(who, 0) < self._share:
                return who
        return None

    def _ran(self, result: Any, who: str) -> Any:
        self._free += 1
        self._busy[who] -= 1
        if not self._busy[who]:
            del self._busy[who]
        if who in self._waiting:
            # Behind all others, those who came meanwhile too.
            self._waiting.move_to_end(who)
        self._next()
        return result

    def _unlessOver(self, function: Callable[[], bool]) -> bool:
        return bool(self.running) and function()
