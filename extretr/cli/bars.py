"""
Progress on a terminal: a bar for the message, and one for all that is to come.
"""

import time
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from extretr.cli.lines import line_of, resumed
from extretr.client import events
from extretr.client.events import Event


class Bars:
    """
    Shows events as bars, with lines above them for what stays worth knowing.
    """

    def __init__(
        self,
        console: Console | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            console: to draw on, that of the standard error by default.
            seconds: the time, by a clock that nobody sets.
        """
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            get_time=seconds,
        )
        self._message: TaskID | None = None
        self._all: TaskID | None = None
        #: Octets of the messages that are done with, or are not to come.
        self._done = 0

    def __call__(self, event: Event) -> None:
        """
        Show an event.
        """
        if isinstance(event, events.Listed):
            self._begin(event)
        elif isinstance(event, events.Started):
            self._start(event)
            return
        elif isinstance(event, events.Progress):
            self._advance(event.held)
            return
        elif isinstance(event, events.Delivered):
            self._done += event.size
            self._advance(0)
        elif isinstance(event, (events.Finished, events.Failed)):
            self._end()
        line = line_of(event)
        if line is not None:
            self._progress.console.print(Text(line))

    def __rich__(self) -> RenderableType:
        """
        Give the bars as they are now.
        """
        return self._progress.get_renderable()

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """
        self._end()

    def _begin(self, event: events.Listed) -> None:
        self._end()
        self._done = 0
        if event.new:
            self._progress.start()
            what = f"{event.account}: all {event.new}"
            self._all = self._progress.add_task(what, total=event.octets, note="")

    def _start(self, event: events.Started) -> None:
        description = f"{event.account}: message {event.number}"
        note = resumed(event) if event.resumed_at else ""
        if self._message is None:
            self._message = self._progress.add_task(description, note=note)
        # So that the speed is that of this connection alone.
        self._progress.reset(
            self._message,
            total=event.size,
            completed=event.resumed_at,
            description=description,
            note=note,
        )

    def _advance(self, held: int) -> None:
        if self._message is not None and held:
            self._progress.update(self._message, completed=held)
        if self._all is not None:
            self._progress.update(self._all, completed=self._done + held)

    def _end(self) -> None:
        for task in (self._message, self._all):
            if task is not None:
                self._progress.remove_task(task)
        self._message = self._all = None
        self._progress.stop()
