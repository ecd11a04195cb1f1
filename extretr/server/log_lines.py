"""
Lines of Twisted's log, made for less.

To put a time and a text together Twisted takes a tenth of a short session.  Nearly all
lines are sessions that have ended: their text is ready, and so is the rest where the
line before it was made in the same second.
"""

from collections.abc import Callable
from io import StringIO
from math import floor, inf
from time import time
from typing import Any

from twisted.logger import (
    FileLogObserver,
    LogEvent,
    Logger,
    LogLevel,
    globalLogPublisher,
    textFileLogObserver,
)

#: Of a second, what is not rounded up to the next one: times are told to a microsecond.
_SECOND = 0.999999


class Lines:
    """
    Gives the line of an event: what another function gives, which is asked if need be.
    """

    def __init__(self, general: Callable[[LogEvent], str | None]) -> None:
        """
        Args:
            general: gives the line, with a time to the second.
        """
        self._general = general
        #: What stood before the text, in the line of whom, and in which second.
        self._start = ""
        self._namespace: Any = None
        self._level: Any = None
        self._since: float = -inf

    def __call__(self, event: LogEvent) -> str | None:
        """
        Give the line of an event, None where there is nothing to tell.
        """
        text, when = text_of(event), event.get("log_time")
        if (
            not text
            or "\n" in text
            or type(when) is not float
            or "log_failure" in event
            or event.get("log_system") is not None
        ):
            return self._general(event)
        namespace, level = event.get("log_namespace"), event.get("log_level")
        if (
            0 <= when - self._since < _SECOND
            and namespace == self._namespace
            and level is self._level
        ):
            return f"{self._start}{text}\n"
        line = self._general(event)
        since, end = floor(when), f"{text}\n"
        if line is not None and when - since < _SECOND and line.endswith(end):
            self._start, self._since = line[: -len(end)], since
            self._namespace, self._level = namespace, level
        return line


def tell(log: Logger, text: str, **fields: Any) -> None:
    """
    Log a text with its fields as ``log.info("{text}", text=text, ...)`` does.
    """
    log.observer(
        {
            **fields,
            "text": text,
            "log_logger": log,
            "log_level": LogLevel.info,
            "log_namespace": log.namespace,
            "log_source": log.source,
            "log_format": "{text}",
            "log_time": time(),
        }
    )


def text_of(event: LogEvent) -> str | None:
    """
    Give the text of an event that has it ready, None where it has to be made.
    """
    text = event.get("text")
    ready = event.get("log_format") == "{text}" and "log_flattened" not in event
    return text if ready and type(text) is str else None


def quicken(publisher: Any = globalLogPublisher) -> None:
    """
    Let Twisted's own files of log lines have theirs for less.

    Which observers there are is not public; where it is not told, or an observer is of
    another kind or has another format of time, all stays as it is.
    """
    stock = textFileLogObserver(StringIO()).formatEvent
    for observer in getattr(publisher, "_observers", ()):
        if type(observer) is FileLogObserver and _alike(observer.formatEvent, stock):
            observer.formatEvent = Lines(observer.formatEvent)


def _alike(function: Any, other: Any) -> bool:
    """
    Tell whether two functions are the same code with the same values around it.
    """
    code = getattr(function, "__code__", None)
    return code is other.__code__ and _around(function) == _around(other)


def _around(function: Any) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]
