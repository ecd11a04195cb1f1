"""
The door for the ``extretr`` command.
"""

import argparse
import os
import sys
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


def _version() -> str:
    try:
        return version("extretr")
    except PackageNotFoundError:
        return "(not installed)"
