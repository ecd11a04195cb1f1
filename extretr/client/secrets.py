"""
Where the password of an account comes from; it never comes from a command line.

In this order: a command that prints it, the netrc file, the keyring, whoever sits at
the terminal.  A text for people never holds a secret, nor what a command has said.

In the keyring it is what ``keyring set HOST USER`` has put there (the library's
"service" is the host, as getmail has it).  What mpop finds by ``secret-tool`` has other
attributes: it is had with a command, ``secret-tool lookup host HOST service pop3 user
USER``.
"""

import os
import stat
import subprocess
from collections.abc import Callable
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from extretr.errors import ExtRetrError

#: What the netrc module gives for a machine: login, account, password.
_Entry = tuple[str, str, str]


class NoPassword(ExtRetrError):
    """
    There is no password to log in with, or none that may be used.
    """


def password_for(
    host: str,
    user: str,
    command: str | None,
    *,
    netrc_path: Path | None = None,
    ask: Callable[[str], str] | None,
    run: Callable[..., "subprocess.CompletedProcess[bytes]"] = subprocess.run,
) -> bytes:
    """
    Give the password, or the token of OAuth, of *user* at *host*.

    Args:
        host: name of the server.
        user: who logs in.
        command: for the shell; the first line that it prints is the password.  Where
            it fails nothing else is tried.
        netrc_path: the file to look into, which has to be there; None for ``$NETRC``
            or ``~/.netrc``, if there is one.
        ask: asks whoever sits at the terminal; None where nobody does.
        run: runs the command.

    Raises:
        NoPassword: where there is none.
    """
    whose = f"{user} at {host}"
    if command:
        return _usable(_from_command(command, whose, run), "the password command")
    troubles: list[str] = []
    secret = _from_netrc(host, user, netrc_path, troubles)
    if secret:
        return _usable(secret.encode(), "the netrc file")
    secret = _from_keyring(host, user, troubles)
    if secret:
        return _usable(secret.encode(), "the keyring")
    if ask is None:
        text = (
            f"no password for {whose}: give --passwordeval COMMAND (in the "
            "configuration file: passwordeval), or put it into ~/.netrc or the keyring"
        )
        raise NoPassword("; ".join([text, *troubles]))
    try:
        secret = ask(f"Password for {whose}: ")
    except EOFError:
        secret = ""
    if not secret:
        raise NoPassword(f"no password was given for {whose}")
    return _usable(os.fsencode(secret), "what was typed")


def _usable(secret: bytes, origin: str) -> bytes:
    """
    Give a secret that is one line: anything else would be commands to the server.
    """
    if any(octet in secret for octet in b"\r\n\0"):
        raise NoPassword(f"{origin} gives a password that holds a line end or NUL")
    return secret


def _from_command(command: str, whose: str, run: Callable[..., Any]) -> bytes:
    """
    Run a command, whose words and output may both be secret.
    """
    try:
        # What it complains of, and asks at the terminal, is between it and the user.
        done = run(command, shell=True, stdout=subprocess.PIPE)
    except OSError as error:
        raise NoPassword(
            f"the password command for {whose} cannot be run: {error.strerror}"
        ) from None
    if done.returncode < 0:
        raise NoPassword(
            f"the password command for {whose} was ended by signal {-done.returncode}"
        )
    if done.returncode:
        raise NoPassword(
            f"the password command for {whose} failed with status {done.returncode}"
        )
    line: bytes = done.stdout.partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise NoPassword(f"the first line that the command for {whose} prints is empty")
    return line


class _Entries(dict[str, _Entry]):
    """
    What a netrc file holds, in its order.
    """

    def __init__(self) -> None:
        self.all: list[tuple[str, _Entry]] = []

    def __setitem__(self, machine: str, entry: _Entry) -> None:
        if entry:
            self.all.append((machine, entry))
        super().__setitem__(machine, entry)


class _Netrc(netrc):
    """
    A netrc file: the library's, which by itself keeps one login of each machine.
    """

    @property
    def hosts(self) -> _Entries:
        return self._entries

    @hosts.setter
    def hosts(self, made: dict[str, _Entry]) -> None:
        self._entries = _Entries()


def _from_netrc(
    host: str, user: str, chosen: Path | None, troubles: list[str]
) -> str | None:
    path = chosen or Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        entries = _Netrc(os.fspath(path)).hosts.all
        found = os.stat(path)
    except FileNotFoundError:
        trouble = f"there is no {path}" if chosen else None
    except OSError as error:
        trouble = f"{path} cannot be read: {error.strerror}"
    except NetrcParseError as error:
        # Its own text shows the word that it stumbled over, which may be a password.
        trouble = f"{path}, line {error.lineno}, is not as a netrc file must be"
    except UnicodeDecodeError:
        trouble = f"{path} is no text"
    else:
        for machine, (login, _, password) in entries:
            named = machine == "default" or machine.lower() == host.lower()
            if named and login == user and password:
                _refuse_public(path, found)
                return password
        return None
    if trouble is not None:
        if chosen:
            raise NoPassword(f"no password for {user} at {host}: {trouble}")
        troubles.append(trouble)
    return None


def _refuse_public(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise NoPassword(f"{path} holds the password, but belongs to another user")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NoPassword(
            f"{path} holds the password, and others can get at it: chmod 600 {path}"
        )


def _from_keyring(host: str, user: str, troubles: list[str]) -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    except Exception as error:
        troubles.append(f"the keyring does not work ({type(error).__name__})")
        return None
    try:
        return keyring.get_password(host, user)
    except Exception as error:
        # No backend, no session bus, a locked collection: each backend has its own.
        troubles.append(f"the keyring could not be asked ({type(error).__name__})")
        return None
