"""
How the events of a fetch are shown: bars on a terminal, lines, JSON, or errors alone.
"""

import sys
from typing import Protocol

from extretr.cli.lines import JSON, Errors, Lines
from extretr.client.events import Event


class Shower(Protocol):
    """
    Shows events as they come.
    """

    def __call__(self, event: Event) -> None:
        """
        Show an event.
        """

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """


def shower(quiet: bool, as_json: bool, output_is_taken: bool) -> Shower:
    """
    Give what shows events, as the options and the terminal have it.
    """
    if as_json:
        return JSON(sys.stdout)
    output = sys.stderr if output_is_taken else sys.stdout
    if quiet:
        return Errors()
    if sys.stderr.isatty():
        from extretr.cli.bars import Bars

        return Bars()
    return Lines(output)
