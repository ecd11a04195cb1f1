"""
The log as JSON: ``twistd --logger extretr.server.logs.json_lines``.

Twisted's own JSON is for programs that load its events: it has no text and no traceback
that others could read, and holds all that an event does, secrets of objects included.
"""

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
)
from zope.interface import implementer

from extretr.server.log_lines import text_of

#: What of an event of Twisted's older log says nothing more.
_OLD = frozenset({"isError", "message", "system", "time", "format", "printed"})


@implementer(ILogObserver)
class JSONLines:
    """
    Writes each event as one line, an object of JSON.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        """
        Write one event.
        """
        self._stream.write(json_line(event))
        self._stream.flush()


def json_line(event: LogEvent) -> str:
    """
    Give an event as a line: what has a value of its own, and no object.
    """
    old = "isError" in event
    level = event.get("log_level", LogLevel.info)
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    text = text_of(event)
    line: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": getattr(level, "name", str(level)),
        "namespace": event.get("log_namespace"),
        "text": formatEvent(event) if text is None else text,
    }
    for name, value in event.items():
        if name in line or name.startswith("log_") or (old and name in _OLD):
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)
        if value is None or isinstance(value, str | int | float):
            line[name] = value
    if event.get("log_failure") is not None:
        line["traceback"] = eventAsText(
            {**event, "log_format": ""}, includeTimestamp=False, includeSystem=False
        ).strip()
    return json.dumps(line) + "\n"


def json_lines() -> JSONLines:
    """
    Give an observer that writes to the standard output, as twistd's --logger wants it.
    """
    # twistd makes sys.stdout a part of the log afterwards.
    return JSONLines(sys.stdout)
