"""
The door for the ``extretr`` command.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from extretr.cli import fetch

DESCRIPTION = """\
Resumable mail download for POP3.  "extretr fetch" is the client; the server is a twistd
plugin: "twistd extretr run --help" tells how to start it.
"""


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """
    Give the parser of the whole command line, or of one command of it.

    Args:
        command: the one; where there is none of that name, all are given.
    """
    whole = fetch.Sysexits(
        prog="extretr",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument(
        "--version", action=_Version, nargs=0, help="say the version, and exit"
    )
    commands = whole.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    if command == "fetch":
        fetch.add_to(commands)
        return whole
    # What these import takes longer than to fetch a thousand messages.
    from extretr.cli import password, status

    fetch.add_to(commands)
    status.add_to(commands)
    password.add_to(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command and give its exit status.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = parser(*words[:1]).parse_args(words)
    status: int = os.EX_OK
    try:
        status = options.run(options)
        sys.stdout.flush()
    except OSError as error:
        # Whoever read it has gone, or its disk is full.
        if status == os.EX_OK:
            status = os.EX_IOERR
            print(f"extretr: the output fails: {error.strerror}", file=sys.stderr)
        _discard_output()
    return status


def _discard_output() -> None:
    """
    Have Python not try again at its end, and fail with a status of its own.
    """
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError:
        # It is no file.
        pass


class _Version(argparse.Action):
    """
    Prints the version, which is looked for only then.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """
        Print it and exit.
        """
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("extretr")
        except PackageNotFoundError:
            found = "(not installed)"
        print(f"extretr {found}")
        parser.exit()
