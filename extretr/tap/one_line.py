"""
Options of twistd plugins whose errors are one line.
"""

import sys
from collections.abc import Sequence
from typing import Any

from twisted.python import usage


class OneLineOptions(usage.Options):
    """
    Options whose errors are one line on the terminal, and exit status 1.

    What twistd does by itself is to print all of the help, to stdout.
    """

    #: The command whose help tells more.
    command = "run"

    @property
    def twistd(self) -> Any:
        """
        The options of twistd itself; empty where it does not parse these.
        """
        twistd = getattr(getattr(self, "parent", None), "parent", None)
        return {} if twistd is None else twistd

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse, or leave.

        Raises:
            SystemExit: with the line.
        """
        #: What was given, to be handed on.
        self.given = list(sys.argv[1:] if options is None else options)
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            line = " ".join(str(error).split())
            raise SystemExit(
                f"extretr: {line} ('twistd extretr {self.command} --help' tells more)"
            ) from None
