"""
How the server's process runs and ends: the options of ``twistd extretr run`` for it.
"""

import math

from twisted.python import usage

from extretr.tap.one_line import OneLineOptions


class ProcessOptions(OneLineOptions):
    """
    ``--stop-after`` and what goes with it.
    """

    optParameters = [
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
        self["stop-after"] = _seconds("--stop-after", self["stop-after"])


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds < 0 or not math.isfinite(seconds):
        raise usage.UsageError(f"{option} is a number of seconds, 0 or more")
    return seconds
