"""
How the server's process runs and ends: the options of ``twistd extretr run`` for it.
"""

import math

from twisted.python import usage

from extretr.tap.one_line import OneLineOptions

#: Far more than processors: each costs the memory of a process.
MOST_WORKERS = 256


class ProcessOptions(OneLineOptions):
    """
    ``--workers``, ``--stop-after``, and what goes with them.
    """

    optParameters = [
        [
            "workers",
            None,
            "1",
            "Processes that serve; with more than one, another supervises them.",
        ],
        [
            "stop-after",
            None,
            "30",
            "Seconds that running transfers get to end when the server is stopped;"
            " a second SIGTERM ends them at once.",
        ],
    ]

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        twistd = getattr(getattr(self, "parent", None), "parent", None) or {}
        if not self["mail"] and (twistd.get("uid") or twistd.get("gid")):
            # The sample maildrop is made, and owned, by who starts the server.
            raise usage.UsageError("--uid and --gid need --mail")
        self["workers"] = _count("--workers", self["workers"])
        if self["workers"] > 1 and not self["mail"]:
            raise usage.UsageError("--workers needs --mail")
        self["stop-after"] = _seconds("--stop-after", self["stop-after"])


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds < 0 or not math.isfinite(seconds):
        raise usage.UsageError(f"{option} is a number of seconds, 0 or more")
    return seconds


def _count(option: str, text: str) -> int:
    count = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= count <= MOST_WORKERS:
        raise usage.UsageError(f"{option} is a number from 1 to {MOST_WORKERS}")
    return count
