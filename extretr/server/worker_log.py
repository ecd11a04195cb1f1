"""
What a worker logs, as the lines in which its supervisor gets it.

Twisted's JSON is made for events with objects in them.  One without any, as that of a
session is, needs a fifth of the time both ways.
"""

import json
from typing import Any

from twisted.logger import LogEvent, LogLevel, eventAsJSON, eventFromJSON

#: What begins a line of Twisted's JSON.
_TWISTED = "\x1e"

#: What is only of use in the process that logs.
_SOURCES = ("log_logger", "log_source")

#: What is the same in JSON, and is formatted alike.
_PLAIN = frozenset({str, int, float, bool, type(None)})

_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


def line_of(event: LogEvent) -> str:
    """
    Give an event as a line.
    """
    plain = {name: event[name] for name in event if name not in _SOURCES}
    level = plain["log_level"] = getattr(plain.get("log_level"), "name", None)
    if level is not None and _PLAIN.issuperset(map(type, plain.values())):
        return json.dumps(plain) + "\n"
    return f"{_TWISTED}{eventAsJSON(event)}\n"


def event_of(line: str) -> dict[str, Any]:
    """
    Give the event that a line is.

    Raises:
        ValueError, KeyError, TypeError: where it is none, or one that lacks what a log
            needs.
    """
    if line.startswith(_TWISTED):
        event: Any = eventFromJSON(line.strip(_TWISTED))
    else:
        event = json.loads(line)
        event["log_level"] = _LEVELS[event["log_level"]]
    # What a worker's log has no word for comes as text.
    event["log_namespace"], event["log_level"]
    return event
