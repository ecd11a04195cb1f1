"""
``extretr status``: what is held of messages that have not come whole.
"""

import argparse
import json
import os
import sys
from datetime import datetime
from typing import Any

from rich.filesize import decimal

from extretr.cli.fetch import add_config, chosen, refuse
from extretr.cli.lines import printable
from extretr.client.account import Target

DESCRIPTION = """\
Show what earlier runs of "extretr fetch" hold of messages that have not come whole, and
how much is left of them.  Nothing is connected to, and a run that is under way is not
disturbed.
"""


def add_to(commands: Any) -> None:
    """
    Add this command to the commands of a parser.
    """
    command = commands.add_parser(
        "status",
        help="show what is held of messages that have not come whole",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "what",
        nargs="*",
        metavar="URL | ACCOUNT",
        help="a URL, or accounts of the configuration file (default: all that were "
        "ever fetched)",
    )
    add_config(command)
    command.add_argument(
        "--json", action="store_true", help="print it as JSON, an account a line"
    )
    # Where the mail goes makes no difference here, and so need not be told.
    command.set_defaults(run=run, to=Target("stdout"))


def run(options: argparse.Namespace) -> int:
    """
    Print what is held, and give the exit status.
    """
    from extretr.client.config import ConfigError
    from extretr.client.journal import JournalDamagedError
    from extretr.client.places import account_folder, state_folder
    from extretr.client.summary import summary

    state = options.state or state_folder()
    try:
        if options.what:
            folders = {
                account.name: account_folder(
                    state, account.host, account.port, account.user
                )
                for account in chosen(options)
            }
        else:
            folders = {
                folder.name.rpartition("-")[0]: folder
                for folder in sorted(state.glob("*-*"))
            }
    except ConfigError as error:
        return refuse("status", error)
    status = os.EX_OK
    for name, folder in folders.items():
        try:
            found = summary(name, folder)
        except (OSError, JournalDamagedError) as error:
            print(f"extretr status: {name}: {error}", file=sys.stderr)
            status = os.EX_DATAERR
        else:
            print(json.dumps(found) if options.json else "\n".join(_lines(found)))
    if not folders and not options.json:
        print("nothing was fetched yet")
    return status


def _lines(found: dict[str, Any]) -> list[str]:
    held = found["partials"]
    lines = [
        f"{found['account']}: {found['delivered']} delivered and remembered, "
        f"{len(held)} begun"
    ]
    for partial in held:
        size = max(partial["size"], 1)
        begun = datetime.fromtimestamp(partial["begun"]).strftime("%Y-%m-%d %H:%M")
        lines.append(
            f"  {100 * partial['held'] // size:3} % of {decimal(partial['size'])}, "
            f"{decimal(max(0, partial['size'] - partial['held']))} left, "
            f"begun {begun}: {printable(partial['unique_id'])}"
        )
    return lines
