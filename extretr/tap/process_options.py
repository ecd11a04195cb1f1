"""
How the server's process runs and ends: the options of ``twistd extretr run`` for it.
"""

from twisted.python import usage

from extretr.tap.numbers import count_of, seconds_of
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
        if not self["mail"] and (self.twistd.get("uid") or self.twistd.get("gid")):
            # The sample maildrop is made, and owned, by who starts the server.
            raise usage.UsageError("--uid and --gid need --mail")
        self["workers"] = count_of("--workers", self["workers"], 1, MOST_WORKERS)
        if self["workers"] > 1 and not self["mail"]:
            raise usage.UsageError("--workers needs --mail")
        self["stop-after"] = seconds_of("--stop-after", self["stop-after"])
