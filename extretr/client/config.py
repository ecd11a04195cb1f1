"""
Accounts to fetch, from the configuration file or from the command line alone.

The file is TOML.  Each table is an account, with its ``url`` and its settings;
``[defaults]`` has settings for all of them::

    [defaults]
    to = "~/Maildir"

    [work]
    url = "pop3s://alice@mail.example.org"
    passwordeval = "pass mail/work"
    delete_after = "30d"
"""

import argparse
import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from extretr.client.account import Account, Address, Target, parse_address
from extretr.client.settings import KEYS, add_settings
from extretr.client.values import BadValue, suggest
from extretr.errors import ExtRetrError

__all__ = [
    "Account",
    "ConfigError",
    "Target",
    "account_from_flags",
    "add_settings",
    "config_path",
    "load_accounts",
]

#: The table whose settings all accounts have.
DEFAULTS = "defaults"

_SECRETS = (
    "passwords do not belong in this file: use passwordeval, ~/.netrc or the keyring"
)
_IN_URL = 'it is a part of url = "pop3s://USER@HOST:PORT"'
_DELETION = 'say delete_after = "never", "delivery", or a time as in "30d"'

#: What people write who know other fetchers.
_ELSEWHERE = {
    **dict.fromkeys(("pass", "secret", "token"), _SECRETS),
    **dict.fromkeys(
        ("host", "server", "port", "user", "username", "login", "tls", "ssl"), _IN_URL
    ),
    **dict.fromkeys(("keep", "delete"), _DELETION),
    "password_command": "it is called passwordeval here",
}


class ConfigError(ExtRetrError):
    """
    The configuration does not say what to fetch; the text is for who wrote it.
    """

    def __init__(
        self,
        text: str,
        file: Path | None = None,
        account: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.file = file
        self.account = account
        self.key = key

    def __str__(self) -> str:
        place = [str(self.file)] if self.file else []
        if self.account:
            where = f"[{self.account}]" if self.file else self.account
            place.append(f"{where} {self.key}" if self.key else where)
        elif self.key:
            place.append(self.key)
        return ": ".join([*place, self.text])


def config_path() -> Path:
    """
    Give the place of the configuration file, as XDG has it.
    """
    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".config"
    return base / "extretr" / "fetch.toml"


def account_from_flags(url: str, options: argparse.Namespace) -> Account:
    """
    Give the account that is told by a URL and by what `add_settings` has added.

    Raises:
        ConfigError: where they do not tell enough; no part of a bad URL is shown.
    """
    try:
        address = parse_address(url)
    except BadValue as error:
        raise ConfigError(str(error)) from None
    try:
        return _account(str(address), address, _given(options))
    except BadValue:
        raise ConfigError("say where the mail goes, as in --to ~/Maildir") from None


def load_accounts(
    path: Path, names: Sequence[str] = (), overrides: argparse.Namespace | None = None
) -> list[Account]:
    """
    Give the accounts of a file; all of them are looked at, whichever are asked for.

    Args:
        path: of the file.
        names: of the accounts, in the order that is wanted; none for all of them.
        overrides: options that `add_settings` has added, which go before the file.

    Raises:
        ConfigError: where the file, or an account, is not as it must be.
    """
    tables = _read(path)
    folder = path.absolute().parent
    common = _settings(path, DEFAULTS, tables.pop(DEFAULTS, {}), folder)
    addresses: dict[str, Address] = {}
    values: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        _check(path, name, table)
        values[name] = common | _settings(path, name, table, folder)
        addresses[name] = _address(path, name, table.get("url"), addresses)
    if not tables:
        raise ConfigError("there is no account in it, as in [work]", path)
    given = _given(overrides)
    accounts = {}
    for name, address in addresses.items():
        try:
            accounts[name] = _account(name, address, values[name] | given)
        except BadValue as error:
            raise ConfigError(str(error), path, name) from None
    for name in names:
        if name not in accounts:
            known = f"there are {', '.join(accounts)}{suggest(name, accounts)}"
            raise ConfigError(f"there is no account {name!r}: {known}", path)
    return [accounts[name] for name in dict.fromkeys(names or accounts)]


def _read(path: Path) -> dict[str, Any]:
    """
    Give what stands in a file that nobody else can have changed: commands are in it.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ConfigError(
                    "others can change it, and it holds commands that are run: "
                    f"chmod go-w {path}",
                    path,
                )
            if found.st_uid not in (0, os.geteuid()):
                raise ConfigError(
                    "it belongs to another user, and holds commands that are run", path
                )
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(
            "there is no such file; without one, say all on the command line: "
            "extretr fetch pop3s://USER@HOST --to ~/Maildir",
            path,
        ) from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8", path) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is not TOML: {error}", path) from None


def _check(path: Path, name: str, table: object) -> None:
    if not isinstance(table, dict):
        raise ConfigError(
            f"it stands before the first table: put it under [{DEFAULTS}] or under the "
            "[NAME] of an account",
            path,
            key=name,
        )
    if not name.isprintable() or not name or "://" in name or name.startswith("-"):
        raise ConfigError(f"{name!r} cannot be the name of an account", path)


def _address(
    path: Path, name: str, url: object, others: Mapping[str, Address]
) -> Address:
    if not isinstance(url, str):
        wanted = 'must be a text, as in url = "pop3s://USER@HOST"'
        raise ConfigError(wanted, path, name, "url")
    try:
        address = parse_address(url)
    except BadValue as error:
        raise ConfigError(str(error), path, name, "url") from None
    for other, taken in others.items():
        if replace(taken, tls=address.tls) == address:
            raise ConfigError(f"[{other}] is the same maildrop", path, name, "url")
    return address


def _settings(path: Path, name: str, table: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError("it must be a table", path, name)
    values = {}
    for key, value in table.items():
        if key == "url" and name != DEFAULTS:
            continue
        if key not in KEYS:
            raise ConfigError(_unknown(key, name), path, name, key)
        try:
            values[key] = KEYS[key].read(value, folder)
        except BadValue as error:
            raise ConfigError(str(error), path, name, key) from None
    return values


def _unknown(key: str, name: str) -> str:
    if key == "url":
        return "each account has its own"
    if key.lower() in _ELSEWHERE:
        return _ELSEWHERE[key.lower()]
    if key.lower().startswith("passw"):
        return _SECRETS
    known = list(KEYS) if name == DEFAULTS else ["url", *KEYS]
    near = suggest(key.replace("-", "_"), known)
    return "there is no such setting" + (near or f"; there are {', '.join(known)}")


def _given(options: argparse.Namespace | None) -> dict[str, Any]:
    given = vars(options) if options is not None else {}
    return {key: value for key, value in given.items() if key in KEYS}


def _account(name: str, address: Address, values: Mapping[str, Any]) -> Account:
    """
    Make an account.

    Raises:
        BadValue: where nothing says where its mail goes.
    """
    if "to" not in values:
        raise BadValue('say where the mail goes, as in to = "~/Maildir"')
    clear = address.tls == "stls" and address.is_loopback
    return Account(
        **{
            **values,
            **vars(address),
            "name": name,
            "plaintext": values.get("plaintext", clear),
        }
    )
