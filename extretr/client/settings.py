"""
The settings of an account: one table for the configuration file and the command line.

A setting has one name, one parser and one help text.  On the command line it is an
option, with - for _.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extretr.client.account import parse_target
from extretr.client.values import (
    BadValue,
    one_of,
    optional,
    parse_command,
    parse_count,
    parse_days,
    parse_path,
    parse_size,
    parse_timeout,
)

_KINDS: dict[type, str] = {
    str: "a text in quotes",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True)
class Setting:
    """
    Something about an account that can be chosen.
    """

    #: In the file; also the field of `Account`.
    key: str
    #: Makes a value of a text and of the folder where relative paths begin; None for
    #: what is true or false.
    parse: Callable[[str, Path], Any] | None
    help: str
    metavar: str | None = None
    #: What the file may have besides a text.
    natives: tuple[type, ...] = ()

    @property
    def option(self) -> str:
        """
        What it is called on the command line.
        """
        return "--" + self.key.replace("_", "-")

    def read(self, value: object, base: Path) -> Any:
        """
        Give the value for one that stands in a file.

        Raises:
            BadValue: where the setting does not take that.
        """
        kind = type(value)
        kinds = (bool,) if self.parse is None else (*self.natives, str)
        if kind not in kinds:
            wanted = " or ".join(_KINDS[each] for each in kinds)
            raise BadValue(
                f"must be {wanted}, not {_KINDS.get(kind, 'a date or time')}"
            )
        if self.parse is None:
            return value
        try:
            return self.parse(str(value), base)
        except ValueError:
            # Python writes out no number of so many digits.
            raise BadValue("is too large") from None


def _plain(parse: Callable[[str], Any]) -> Callable[[str, Path], Any]:
    return lambda text, base: parse(text)


AUTH = ("auto", "scram-sha-256", "plain", "user", "oauthbearer", "xoauth2", "apop")

SETTINGS = (
    Setting(
        "to",
        parse_target,
        "where the mail goes: maildir:PATH, mbox:PATH (in the mboxrd form), "
        "mda:COMMAND (the shell command gets each message on its standard input; after "
        "a crash it may get one twice), or - for standard output.  A PATH alone is an "
        "mbox where a file is there, else a Maildir.  Relative paths in the "
        "configuration file begin at its folder",
        "TARGET",
    ),
    Setting(
        "passwordeval",
        _plain(parse_command),
        "shell command that prints the password, or the OAuth token, as its first "
        "line, as in 'pass mail/work'.  Without it the password is looked for in "
        "~/.netrc, then in the keyring, and then asked for at the terminal",
        "COMMAND",
    ),
    Setting(
        "netrc",
        optional(parse_path),
        "look for the password in this file, not in $NETRC or ~/.netrc.  Nobody but "
        "you may be able to read it",
        "FILE",
    ),
    Setting(
        "auth",
        _plain(one_of(*AUTH)),
        "how to log in: auto takes the best that the server offers and that takes a "
        "password; oauthbearer and xoauth2 take a token from passwordeval; apop is "
        f"weak, and used only where it is asked for.  One of {', '.join(AUTH)} "
        "(default: auto)",
        "METHOD",
    ),
    Setting(
        "plaintext",
        None,
        "with pop3://, send user and password in clear where the server has no TLS.  "
        "Anybody on the way can read them; by itself this is done only for a server on "
        "this machine",
    ),
    Setting(
        "ca_file",
        optional(parse_path),
        "PEM file of the certificates that the server's is verified by, in the place "
        "of the system's: for a server with a certificate of its own making",
        "FILE",
    ),
    Setting(
        "delete_after",
        _plain(parse_days),
        'when a message is deleted on the server: "never" (the default), after its '
        '"delivery", or so long after that, as in 30d or 12h.  Nothing is deleted that '
        "is not safe on the disk",
        "TIME",
        (int,),
    ),
    Setting(
        "max_size",
        _plain(parse_size),
        "the largest message that is fetched, in octets or as in 500K, 10M, 1.5G (K is "
        'of 1024 octets), or "none" (the default)',
        "SIZE",
        (int,),
    ),
    Setting(
        "oversize",
        _plain(one_of("skip", "headers")),
        "what is done with a message that is larger: skip leaves it on the server, "
        "headers fetches its header alone, and leaves it too (default: skip)",
        "skip|headers",
    ),
    Setting(
        "filter",
        _plain(parse_command),
        "shell command that gets the header of a message on its standard input before "
        "the rest is fetched.  Its exit status says whether the message is wanted: 0 "
        "fetches it, 1 leaves it on the server, any other is an error",
        "COMMAND",
    ),
    Setting(
        "line_ends",
        _plain(one_of("lf", "crlf")),
        "how lines end in what is delivered: lf, as mail software on Unix expects, or "
        "crlf, as they were sent (default: lf)",
        "lf|crlf",
    ),
    Setting(
        "resume",
        None,
        "go on where the last download stopped, if the server can (the default); "
        "without it a message that was cut off is fetched from its beginning",
    ),
    Setting(
        "timeout",
        _plain(parse_timeout),
        "how long the server may be silent before the connection is given up, and made "
        "again: seconds, or as in 5m (default: 60)",
        "TIME",
        (int, float),
    ),
    Setting(
        "limit_rate",
        _plain(parse_size),
        "octets a second to take at most, or as in 500K, so that the link is left to "
        'others too, or "none" (the default)',
        "RATE",
        (int,),
    ),
    Setting(
        "attempts",
        _plain(parse_count),
        "after how many connections in a row that bring nothing it gives up; 0 is "
        "never (default: 10)",
        "COUNT",
        (int,),
    ),
    Setting(
        "partial_days",
        _plain(parse_count),
        "for how many days a part of a message is kept that is no longer on the server "
        "(default: 30)",
        "DAYS",
        (int,),
    ),
)

KEYS = {setting.key: setting for setting in SETTINGS}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """
    Add an option for each setting: what is not given is not in the namespace.
    """
    group = parser.add_argument_group(
        "settings of an account",
        "In the configuration file they have the same names, with _ for -.",
    )
    for setting in SETTINGS:
        more: dict[str, Any] = {
            "dest": setting.key,
            "default": argparse.SUPPRESS,
            "help": setting.help.replace("%", "%%"),
        }
        if setting.parse is None:
            more["action"] = argparse.BooleanOptionalAction
        else:
            more["type"] = _from_option(setting)
            more["metavar"] = setting.metavar
        group.add_argument(setting.option, **more)
    for option, value, text in (
        ("--delete", 0.0, "the same as --delete-after delivery"),
        ("--keep", None, "the same as --delete-after never"),
    ):
        group.add_argument(
            option,
            dest="delete_after",
            action="store_const",
            const=value,
            default=argparse.SUPPRESS,
            help=text,
        )
    # Without this it is taken for the beginning of --passwordeval, and run.
    group.add_argument("--password", action=_NoPasswords, help=argparse.SUPPRESS)


def _from_option(setting: Setting) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return setting.read(text, Path.cwd())
        except BadValue as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


class _NoPasswords(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(
            option_strings, argparse.SUPPRESS, nargs="?", help=help, default=None
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(
            "a password on the command line can be seen by others on this machine: "
            "use --passwordeval, ~/.netrc or the keyring"
        )
