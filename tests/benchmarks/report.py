"""
What was measured: rows of values, their medians and ratios; as text, JSON and a table.
"""

import json
import os
import platform
import statistics
import sys
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version


@dataclass
class Row:
    """
    One thing that was measured, for each server once a round.
    """

    case: str
    title: str
    unit: str
    #: By server, ours first.
    values: dict
    #: Whether a small value is the better one.
    less: bool = False
    #: How many times as good as another ours shall be, by server.
    goals: dict = field(default_factory=dict)
    #: What ours shall not exceed, whatever the others do.
    limit: float | None = None
    digits: int = 0
    #: What it is called in the plot; empty where it is not in it.
    label: str = ""

    def medians(self):
        """
        Give the median of each server.
        """
        return {name: statistics.median(each) for name, each in self.values.items()}

    def ratios(self):
        """
        Give how many times as good ours is as each other: the median of the rounds.
        """
        mine, *others = self.values
        found = {}
        for name in others:
            pairs = zip(self.values[mine], self.values[name], strict=True)
            quotients = [
                (theirs / ours if self.less else ours / theirs)
                for ours, theirs in pairs
                if ours and theirs
            ]
            if quotients:
                found[name] = statistics.median(quotients)
        return found

    def told(self, name):
        """
        Give the median of a server as text.
        """
        return f"{self.medians()[name]:,.{self.digits}f}"

    def lines(self, judged):
        """
        Give what people read; where it is judged, with what shall be reached.
        """
        mine, ratios = next(iter(self.values)), self.ratios()
        yield f"{self.title}, {self.unit}"
        for name, values in self.values.items():
            line = f"    {name:<20} {self.told(name):>12}"
            if name in ratios:
                line += f"   ratio {ratios[name]:.2f}"
            if judged and name in self.goals:
                reached = name in ratios and ratios[name] >= self.goals[name]
                line += f"   goal {self.goals[name]:.2f}" + _mark(reached)
            if judged and self.limit is not None and name == mine:
                reached = self.medians()[mine] <= self.limit
                line += f"   limit {self.limit:,g}" + _mark(reached)
            if len(values) > 1:
                line += "   [{:,.{d}f} to {:,.{d}f}]".format(
                    min(values), max(values), d=self.digits
                )
            yield line


def _mark(reached):
    return "" if reached else " (missed)"


def machine():
    """
    Give what was measured on.
    """
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "twisted": version("twisted"),
    }


class Report:
    """
    Prints all at once, and keeps it.
    """

    def __init__(self, judged=True):
        """
        Args:
            judged: says what shall be reached, and whether it is.
        """
        self._judged = judged
        self.machine = machine()
        self.rows = []
        self.notes = []

    def headline(self):
        """
        Give the machine, in a line.
        """
        told = self.machine
        return (
            f"{told['cores']} cores, {told['kernel']}, Python {told['python']},"
            f" Twisted {told['twisted']}"
        )

    def row(self, row):
        """
        Print a row, and keep it.
        """
        self.rows.append(row)
        print("\n".join(row.lines(self._judged)), flush=True)

    def note(self, text):
        """
        Print what is not as with the others, and keep it; once.
        """
        if text not in self.notes:
            self.notes.append(text)
            print(f"({text})", file=sys.stderr, flush=True)

    def write_json(self, path):
        """
        Write all of it for programs.
        """
        rows = [
            {**asdict(row), "medians": row.medians(), "ratios": row.ratios()}
            for row in self.rows
        ]
        told = {"machine": self.machine, "rows": rows, "notes": self.notes}
        path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")

    def read_json(self, path, without):
        """
        Take what another run has written, but for these cases.
        """
        told = json.loads(path.read_text("utf-8"))
        names = {each.name for each in fields(Row)}
        for row in told["rows"]:
            if row["case"] not in without:
                kept = {name: row[name] for name in names}
                self.rows.append(Row(**kept))
        self.notes += [note for note in told["notes"] if note not in self.notes]
