"""
An account to fetch: which server, whose mail, where to, and how.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import idna

from extretr.client.values import BadValue, parse_path

#: What a URL of ours is, as far as its parts can be told; the last @ ends the user.
_URL = re.compile(r"(?i:(pop3s?)://)(?:(.*)@)?(\[[^\]]*\]|[^\[\]:]*)(?::(.*))?/?")

_PORTS = {"pop3": 110, "pop3s": 995}

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")

#: Where a message goes, or what looks as if it said so.
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):(.*)", re.DOTALL)

_FORM = "pop3s://USER@HOST or pop3://USER@HOST, with :PORT where it is another"


@dataclass(frozen=True)
class Target:
    """
    Where the mail of an account goes.
    """

    kind: Literal["maildir", "mbox", "mda", "stdout"]
    #: Of the Maildir or mbox: absolute.
    path: Path | None = None
    #: For the shell: it is given each message.
    command: str | None = None

    def __str__(self) -> str:
        if self.kind == "stdout":
            return "-"
        return f"{self.kind}:{self.path or self.command}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """
    A server, and who is to log in there.
    """

    #: "implicit" is TLS from the first octet on (RFC 8314), "stls" is by command.
    tls: Literal["implicit", "stls"]
    #: In lower case and ASCII: an international name in its A-labels.
    host: str
    port: int
    user: str

    @property
    def is_loopback(self) -> bool:
        """
        Whether what is sent there does not leave this machine.
        """
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        scheme = "pop3s" if self.tls == "implicit" else "pop3"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{quote(self.user, safe='@+')}@{host}{port}"


@dataclass(frozen=True, kw_only=True)
class Account:
    """
    All that is known of an account to fetch, but its password.
    """

    #: That of its table in the file, or its URL.
    name: str
    tls: Literal["implicit", "stls"]
    host: str
    port: int
    user: str
    to: Target
    auth: str = "auto"
    passwordeval: str | None = None
    netrc: Path | None = None
    #: Whether user and password may go over a connection without TLS: true by itself
    #: where that does not leave this machine.
    plaintext: bool = False
    #: Certificates to verify the server's by, in PEM; None for the system's.
    ca_file: Path | None = None
    line_ends: str = "lf"
    #: Days after which a delivered message is deleted on the server; 0 for at once,
    #: None for never.
    delete_after: float | None = None
    #: Octets above which a message is not fetched, and what is done with it then.
    max_size: int | None = None
    oversize: str = "skip"
    filter: str | None = None
    resume: bool = True
    #: Seconds for which the server may be silent.
    timeout: float = 60.0
    #: Octets a second that are taken at most.
    limit_rate: int | None = None
    #: Connections that bring nothing, one after another, before it gives up; 0 for any.
    attempts: int = 10
    #: Days for which what is held of a message that is gone is kept.
    partial_days: int = 30


def parse_address(url: str) -> Address:
    """
    Give what a URL says.

    Raises:
        BadValue: whose text shows no part of the URL, since that may be a password.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise BadValue(f"the URL must be {_FORM}")
    scheme, user, host, port = found.groups()
    if user and ":" in user:
        raise BadValue(
            "a password must not stand in the URL, where others can see it: "
            "use passwordeval, ~/.netrc or the keyring (a colon in a user name is %3A)"
        )
    scheme = scheme.lower()
    return Address(
        tls="implicit" if scheme == "pop3s" else "stls",
        host=_parse_host(host),
        port=_PORTS[scheme] if port is None else _parse_port(port.removesuffix("/")),
        user=_parse_user(user),
    )


def _parse_user(quoted: str | None) -> str:
    if not quoted:
        raise BadValue(f"the URL must say who logs in: {_FORM}")
    try:
        user = unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        user = ""
    if not user.isprintable() or not user:
        raise BadValue("the user name in the URL holds what no user name holds")
    return user


def _parse_port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise BadValue("the port in the URL must be a number from 1 to 65535")
    return int(text)


def _parse_host(text: str) -> str:
    host = unquote(text.rstrip("/")).lower()
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise BadValue("what stands in [] in the URL is no IPv6 address") from None
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            host = ""
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise BadValue(f"the URL must name a host: {_FORM}")
    return host


def parse_target(text: str, base: Path) -> Target:
    """
    Give where mail goes: a kind and what it needs, ``-``, or a path alone.

    A path alone is an mbox where a file is there, else a Maildir.

    Args:
        text: what is written.
        base: the folder at which relative paths begin.

    Raises:
        BadValue: for what says neither.
    """
    if text == "-":
        return Target("stdout")
    found = _KIND.fullmatch(text)
    kind, rest = (found[1].lower(), found[2]) if found else ("", text)
    if kind == "mda":
        if not rest.strip() or "\0" in rest:
            raise BadValue("mda: needs a command, as in mda:procmail")
        return Target("mda", command=rest)
    if kind == "maildir":
        return Target("maildir", parse_path(rest, base))
    if kind == "mbox":
        return Target("mbox", parse_path(rest, base))
    if kind:
        raise BadValue(
            "must be maildir:PATH, mbox:PATH, mda:COMMAND, - or a path "
            "(./ before one that has a colon)"
        )
    path = parse_path(text, base)
    try:
        if text.endswith("/") or path.is_dir() or not path.exists():
            return Target("maildir", path)
        if path.is_file():
            return Target("mbox", path)
    except OSError as error:
        raise BadValue(f"{path} cannot be looked at: {error.strerror}") from None
    raise BadValue(f"{path} is neither a folder nor a file")
