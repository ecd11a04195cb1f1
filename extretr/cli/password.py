"""
``extretr password``: a line for the users file.
"""

import argparse
import getpass
import os
import sys
from typing import Any

from extretr.server.schemes import BCRYPT_OCTETS, DEFAULT_SCHEME, SCHEMES

DESCRIPTION = """\
Print a line for the file that "twistd extretr run --users FILE" reads.
The password is asked for twice on a terminal; otherwise it is the first line
of the standard input.  It is never taken from the command line, where others
on the machine could see it.
"""

EPILOG = """\
examples:
  extretr password alice >> /etc/extretr/users
  pwgen 20 1 | extretr password --scheme SHA512-CRYPT bob@example.org
"""


def add_to(commands: Any) -> None:
    """
    Add this command to the commands of a parser.
    """
    command = commands.add_parser(
        "password",
        help="print a line for the users file",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--scheme",
        type=str.upper,
        choices=sorted(SCHEMES),
        default=DEFAULT_SCHEME,
        help=f"how to hash it, by Dovecot's names (default: {DEFAULT_SCHEME})",
    )
    command.add_argument(
        "user",
        nargs="?",
        metavar="USER",
        help="the name to log in by; without it only {SCHEME}hash is printed",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """
    Ask for a password, print the line, and give the exit status.
    """
    try:
        secret = _ask()
        line = make_line(options.user, options.scheme, secret)
    except ValueError as error:
        print(f"extretr password: {error}", file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("extretr password: no password was given", file=sys.stderr)
        return 1
    if hasattr(sys.stdout, "reconfigure"):
        # A password in clear may hold octets that are no text.
        sys.stdout.reconfigure(errors="surrogateescape")
    print(line)
    return 0


def make_line(user: str | None, scheme: str, password: bytes) -> str:
    """
    Give the line for *user*, or only the hash for None.

    Raises:
        ValueError: for a user or password that the file or the scheme cannot hold.
    """
    if not password:
        raise ValueError("the password is empty")
    if any(octet in password for octet in b"\r\n\0"):
        raise ValueError("a password cannot hold a line end or NUL")
    if SCHEMES[scheme] is SCHEMES["PLAIN"] and b":" in password:
        raise ValueError(f"a colon ends the field: {scheme} cannot hold one")
    if scheme == "BLF-CRYPT" and len(password) > BCRYPT_OCTETS:
        raise ValueError(f"{scheme} takes at most {BCRYPT_OCTETS} octets")
    hashed = f"{{{scheme}}}{SCHEMES[scheme].make(password)}"
    if user is None:
        return hashed
    if not user or ":" in user or user.startswith("#") or not user.isprintable():
        raise ValueError("a user name cannot be empty, hold a colon, or begin with #")
    return f"{user}:{hashed}"


def _ask() -> bytes:
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline()
        if not line:
            raise EOFError
        return line.rstrip(b"\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise ValueError("the two are not the same")
    return os.fsencode(first)
