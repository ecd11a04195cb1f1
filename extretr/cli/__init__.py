"""
The door for the ``extretr`` command.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from extretr.cli import fetch, password, status

DESCRIPTION = """\
Resumable mail download for POP3.  "extretr fetch" is the client; the server is a twistd
plugin: "twistd extretr run --help" tells how to start it.
"""


def parser() -> argparse.ArgumentParser:
    """
    Give the parser of the whole command line.
    """
    whole = fetch.Sysexits(
        prog="extretr",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"extretr {_version()}")
    commands = whole.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    fetch.add_to(commands)
    status.add_to(commands)
    password.add_to(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command and give its exit status.
    """
    options = parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _version() -> str:
    try:
        return version("extretr")
    except PackageNotFoundError:
        return "(not installed)"
