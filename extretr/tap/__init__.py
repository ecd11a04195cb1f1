"""
The door for twistd: ``twistd extretr run`` and ``twistd extretr fetch``.
"""

from typing import Any

from twisted.application.service import IService

from extretr.tap.check import check
from extretr.tap.fetch import FetchOptions, fetch_service
from extretr.tap.one_line import OneLineOptions
from extretr.tap.run import run_service
from extretr.tap.run_options import RunOptions


class Options(OneLineOptions):
    """
    The options of ``twistd extretr``: its sub-commands.
    """

    # Else that of run would have "[options]" in the middle.
    synopsis = ""

    subCommands = [
        ["run", None, RunOptions, "Serve mail by POP3 (the default)."],
        ["fetch", None, FetchOptions, "Fetch mail by POP3, again and again."],
    ]
    defaultSubCommand = "run"

    longdesc = "Mail by POP3, resumable: 'twistd extretr run --help' tells how."


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    Wire the server, or the fetcher, together.

    Raises:
        SystemExit: with one line, where it cannot be.
    """
    if reactor is None:
        from twisted.internet import reactor
    given: Any = options.subOptions
    if options.subCommand == "fetch":
        return fetch_service(given, reactor)
    if given["check"]:
        check(given, reactor)
    return run_service(given, reactor)
