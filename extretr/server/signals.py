"""
What signals ask of a server: SIGHUP to reload, SIGTERM to stop, twice to hurry.
"""

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """
    Hands signals to the reactor's thread.

    SIGTERM stops the reactor as Twisted's own handler does, but twistd then exits
    with status 0 and does not end as one that was killed.  A second one, or SIGINT
    after the first, hurries.
    """

    def __init__(
        self,
        reactor: Any,
        reload: Callable[[], object],
        hurry: Callable[[], object],
        install: Callable[[int, Any], object] = signal.signal,
    ) -> None:
        """
        Args:
            reactor: what is stopped.
            reload: is called for SIGHUP.
            hurry: is called where a signal asks to stop again.
            install: sets a handler of signals.
        """
        self._reactor = reactor
        self._reload = reload
        self._hurry = hurry
        self._install = install
        self._asked = False

    def startService(self) -> None:
        """
        Take the signals, once the reactor has set its own handlers.
        """
        super().startService()
        self._reactor.callWhenRunning(self._take)

    def stopService(self) -> None:
        """
        Take any further signal as one to hurry.
        """
        super().stopService()
        self._asked = True
        self._install(signal.SIGINT, self._handler(self._hurry))

    def _take(self) -> None:
        self._install(signal.SIGHUP, self._handler(self._reload))
        self._install(signal.SIGTERM, self._handler(self._stop))

    def _handler(self, action: Callable[[], object]) -> Callable[..., object]:
        return lambda *_: self._reactor.callFromThread(action)

    def stopOnce(self) -> None:
        """
        Stop the reactor, unless that is under way.
        """
        if not self._asked:
            self._asked = True
            self._reactor.stop()

    def _stop(self) -> None:
        if self._asked:
            self._hurry()
        else:
            self.stopOnce()
