"""
The events of a fetch in text: a line each for people, or for programs.
"""

import json
import sys
from typing import Any, TextIO

from rich.filesize import decimal

from extretr.client import events
from extretr.client.events import Event


class JSON:
    """
    An object a line.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def __call__(self, event: Event) -> None:
        """
        Print the event.
        """
        print(json.dumps(event.fields()), file=self._output, flush=True)

    def close(self) -> None:
        """
        All is printed already.
        """


class Errors:
    """
    What went wrong, and nothing else.
    """

    def __call__(self, event: Event) -> None:
        """
        Print the event, if it is a failure.
        """
        if isinstance(event, events.Failed):
            print(line_of(event), file=sys.stderr, flush=True)

    def close(self) -> None:
        """
        All is printed already.
        """


class Lines:
    """
    A line for each thing that happened.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def __call__(self, event: Event) -> None:
        """
        Print the event, if it says anything to a human.
        """
        line = line_of(event)
        if line is not None:
            output = sys.stderr if isinstance(event, events.Failed) else self._output
            print(line, file=output, flush=True)

    def close(self) -> None:
        """
        All is printed already.
        """


def line_of(event: Event) -> str | None:
    """
    Say in a line what happened, None where that is not worth one.
    """
    text = _TEXTS.get(type(event))
    said = text(event) if text is not None else None
    return printable(f"{event.account}: {said}") if said else None


def printable(text: str) -> str:
    """
    Give a text without what a terminal would obey: servers choose some of it.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


def _messages(count: int) -> str:
    return f"{count} message" if count == 1 else f"{count} messages"


def _listed(event: events.Listed) -> str:
    text = f"{event.new} new of {_messages(event.messages)}"
    if event.new:
        text += f", {decimal(event.octets)}"
    if event.held:
        text += f" ({decimal(event.held)} held already)"
    if event.deletable:
        text += f"; {event.deletable} to be deleted on the server"
    return text


def resumed(event: Any) -> str:
    """
    Say where a message goes on.
    """
    percent = 100 * event.resumed_at // max(event.size, 1)
    return f"resumed at {percent} %, {decimal(event.resumed_at)} saved"


def _started(event: events.Started) -> str | None:
    if not event.resumed_at:
        return None
    return f"message {event.number}, {decimal(event.size)}: {resumed(event)}"


def _delivered(event: events.Delivered) -> str:
    what = "delivered" if event.whole else "header delivered"
    text = f"{what}, {decimal(event.size)}, {_name(event.unique_id)}"
    return f"{text} ({resumed(event)})" if event.resumed_at else text


def _cut(event: events.Cut) -> str:
    return f"{event.why}; again in {event.wait:.0f} s"


def _finished(event: events.Finished) -> str | None:
    if not event.delivered:
        return None
    text = f"{_messages(event.delivered)} delivered, {decimal(event.octets)}"
    if event.saved:
        text += f", {decimal(event.saved)} saved by resuming"
    return text


def _wanted(event: events.Wanted) -> str:
    action = "fetch the header of" if event.action == "header" else event.action
    text = f"would {action} message {event.number}, {decimal(event.size)}"
    if event.held and event.action == "fetch":
        percent = 100 * event.held // max(event.size, 1)
        text += f", resumed at {percent} %"
    return f"{text}, {_name(event.unique_id)}"


def _name(unique_id: bytes) -> str:
    return unique_id.decode("ascii", "backslashreplace")


_TEXTS: dict[type[Event], Any] = {
    events.Listed: _listed,
    events.Wanted: _wanted,
    events.Started: _started,
    events.BeganAgain: lambda event: (
        f"{_name(event.unique_id)} is begun again: {event.why}"
    ),
    events.Delivered: _delivered,
    events.Skipped: lambda event: f"{_name(event.unique_id)} is left: {event.why}",
    events.Cut: _cut,
    events.Deleted: lambda event: f"{_messages(event.messages)} deleted on the server",
    events.Warned: lambda event: event.text,
    events.Failed: lambda event: event.why,
    events.Finished: _finished,
}
