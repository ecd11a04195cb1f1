"""
``extretr fetch``: mail from POP3 servers, resumed where it stopped.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from extretr.cli.driving import drive
from extretr.cli.secrets import Secrets
from extretr.client.settings import add_settings
from extretr.client.values import BadValue, parse_duration

if TYPE_CHECKING:
    from extretr.client.account import Account
    from extretr.client.config import ConfigError
    from extretr.client.events import Event

DESCRIPTION = """\
Fetch mail by POP3, and never the same octet twice: where a download was cut off, the
next connection goes on where it stopped (on servers that offer EXT-RETR), and what was
delivered is remembered.  Nothing is deleted on the server unless that is asked for.

What to fetch is a URL with --to, or accounts of the configuration file by their names;
without either it is all accounts of the file.
"""

EPILOG = """\
examples:
  extretr fetch pop3s://alice@mail.example.org --to ~/Maildir
  extretr fetch pop3s://alice@mail.example.org --to mbox:/var/mail/alice --delete
  extretr fetch work home
  extretr fetch --every 5m --quiet

the configuration file, ~/.config/extretr/fetch.toml:
  [work]
  url = "pop3s://alice@mail.example.org"
  to = "~/Maildir"
  passwordeval = "pass mail/work"
  delete_after = "30d"

exit status (sysexits.h): 0 all is fetched; 64 usage; 65 the fetch journal is damaged;
69 the server does not offer what is needed, or is not trusted; 73 mail cannot be
delivered there; 74 disk full or another error of input or output; 75 not now: the link,
the server, a lock, another run, or stopped by a signal; 76 the server does not speak
POP3; 77 password; 78 configuration.
"""


class Sysexits(argparse.ArgumentParser):
    """
    A parser that exits with the status of sysexits.h where it is used wrongly.
    """

    def error(self, message: str) -> NoReturn:
        """
        Say what is wrong, which all options at once would hide, and exit.
        """
        more = f'"{self.prog} --help" tells of all options'
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n{more}\n")


def add_to(commands: Any) -> None:
    """
    Add this command to the commands of a parser.
    """
    command = commands.add_parser(
        "fetch",
        help="fetch mail, resumed where it stopped",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "what",
        nargs="*",
        metavar="URL | ACCOUNT",
        help="a URL, or accounts of the configuration file (all of them by default)",
    )
    add_config(command)
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="log in and list, and say what would be fetched and deleted",
    )
    command.add_argument(
        "--every",
        type=_duration,
        metavar="TIME",
        help="go on running, and fetch again so long after each round: as in 5m",
    )
    shown = command.add_mutually_exclusive_group()
    shown.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing but what went wrong"
    )
    shown.add_argument(
        "--json",
        action="store_true",
        help="print what happens as JSON, an object a line",
    )
    add_settings(command)
    command.set_defaults(run=run)


def add_config(command: argparse.ArgumentParser) -> None:
    """
    Add the options that tell where the configuration and the state are.
    """
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration file (default: ~/.config/extretr/fetch.toml)",
    )
    command.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where partials and the fetch journal are kept "
        "(default: ~/.local/state/extretr/fetch)",
    )


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except BadValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("must be more than nothing")
    return seconds


def run(options: argparse.Namespace) -> int:
    """
    Fetch, and give the exit status.

    Raises:
        OSError: where all is fetched, but what happened could not be shown.
    """
    from extretr.cli.showing import shower
    from extretr.client.config import ConfigError

    try:
        accounts = chosen(options)
    except ConfigError as error:
        return refuse("fetch", error)
    to_output = any(account.to.kind == "stdout" for account in accounts)
    if to_output and options.json:
        print("extretr fetch: --json and --to - both need the output", file=sys.stderr)
        return os.EX_USAGE
    show = shower(options.quiet, options.json, to_output)
    try:
        return _fetch(options, accounts, show)
    finally:
        show.close()


def refuse(command: str, error: "ConfigError") -> int:
    """
    Say what is wrong with the accounts that were asked for, and give the exit status.
    """
    print(f"extretr {command}: {error}", file=sys.stderr)
    if error.file:
        return os.EX_CONFIG
    print(f'"extretr {command} --help" tells of all options', file=sys.stderr)
    return os.EX_USAGE


def chosen(options: argparse.Namespace) -> "list[Account]":
    """
    Give the accounts that the command line names.

    Raises:
        ConfigError: where they are not as they must be.
    """
    from extretr.client.config import (
        ConfigError,
        account_from_flags,
        config_path,
        load_accounts,
    )

    urls = [word for word in options.what if "://" in word]
    if urls and len(options.what) > 1:
        raise ConfigError("give one URL, or names of accounts of the file")
    if urls and options.config:
        raise ConfigError("--config has accounts by their names, and none by a URL")
    if urls:
        return [account_from_flags(urls[0], options)]
    return load_accounts(options.config or config_path(), options.what, options)


def _fetch(options: argparse.Namespace, accounts: "list[Account]", show: Any) -> int:
    from twisted.internet import reactor

    from extretr.client.events import Failed
    from extretr.client.places import state_folder
    from extretr.client.run import Run

    # To look what is imported, and listed, through for garbage over and over is a tenth
    # of the time that many small messages take.
    gc.set_threshold(10_000, 50, 100)
    secrets = Secrets()
    unshown: list[OSError] = []

    def emit(event: "Event") -> None:
        if isinstance(event, Failed) and event.status == os.EX_NOPERM:
            secrets.forget(event.account)
        try:
            show(event)
        except OSError as error:
            # Mail is fetched all the same.
            unshown.append(error)

    fetching = Run(
        reactor,
        accounts,
        secrets.of,
        emit,
        (options.state or state_folder()).absolute(),
        sys.stdout.buffer,
        time.time,
        options.every,
        options.dry_run,
    )
    status = drive(reactor, fetching)
    if unshown and status == os.EX_OK:
        raise unshown[0]
    return status
