"""
The reactor, which runs as long as a fetch has something to do.
"""

from contextlib import ExitStack
from typing import Any

from extretr.cli.interruptions import ignored


def drive(reactor: Any, fetching: Any) -> int:
    """
    Run the reactor until a `Run` is done, or a signal has stopped it.
    """
    from twisted.internet.error import ReactorNotRunning

    failures: list[Any] = []
    done: list[Any] = []

    def begin() -> None:
        finished = fetching.start()
        done.append(finished)
        finished.addErrback(failures.append)
        finished.addBoth(ended)

    def ended(_: object) -> None:
        # A signal that waits to be looked at goes first.
        reactor.callLater(0, leave)

    def leave() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:
            # A signal has stopped it.
            pass

    def end() -> Any:
        signals.enter_context(ignored())
        # The reactor waits for what is held to be safe.
        fetching.stop()
        return done[0] if done else None

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", end)
    with ExitStack() as signals:
        reactor.run()
    if failures:
        failures[0].raiseException()
    status: int = fetching.status
    return status
