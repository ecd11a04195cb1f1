"""
Draws ``fetch.svg``: the bars of ``extretr fetch`` in the middle of a message.

usage: python docs/images/make_fetch.py
"""

import io
import itertools
from pathlib import Path

from rich.console import Console

from extretr.cli.bars import Bars
from extretr.cli.lines import line_of
from extretr.client import events

SIZE = 68_943_120
HELD = 43_434_166


def draw() -> str:
    """
    Show what happens in a fetch, and give the picture of it.
    """
    width = 100
    picture = Console(record=True, width=width, file=io.StringIO())
    clock = itertools.count()
    hidden = Console(width=width, file=io.StringIO())
    bars = Bars(hidden, lambda: next(clock) / 20)
    one = {"account": "work"}
    lines = [
        events.Listed(
            **one, messages=3, new=2, octets=SIZE + 12_288, held=HELD, deletable=0
        ),
        events.Cut(**one, why="the server has fallen silent", wait=2.0),
    ]
    for event in lines:
        bars(event)
        picture.print(line_of(event), highlight=False)
    bars(events.Started(**one, unique_id=b"b", number=2, size=SIZE, resumed_at=HELD))
    for part in range(1, 9):
        held = HELD + part * 1_048_576
        bars(events.Progress(**one, unique_id=b"b", size=SIZE, held=held))
    picture.print(bars)
    return picture.export_svg(title="extretr fetch work")


if __name__ == "__main__":
    Path(__file__).with_name("fetch.svg").write_text(draw(), "utf-8")
