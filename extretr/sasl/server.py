"""
The server's side of SASL mechanisms whose client says all that it has to say at once.
"""

import json
import re
from typing import NamedTuple

from extretr.sasl.errors import NotAuthorized, SaslError

_BEARER = re.compile(rb"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(rb"=(?!3D|2C)")


class Token(NamedTuple):
    """
    What a client says by OAUTHBEARER or XOAUTH2.
    """

    #: Who it wants to be; empty where the token has to tell.
    user: bytes
    token: bytes


def parse_plain(message: bytes) -> tuple[bytes, bytes]:
    """
    Give user and password of PLAIN (RFC 4616).

    Raises:
        SaslError: where it is not that.
        NotAuthorized: where somebody wants to act for somebody else.
    """
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise SaslError("it is not user and password as PLAIN has them")
    authorization, user, password = parts
    if not user or not password:
        raise SaslError("the user or the password is empty")
    if authorization not in (b"", user):
        raise NotAuthorized("nobody may act for another user")
    return user, password


def parse_bearer(message: bytes) -> Token:
    """
    Give user and token of OAUTHBEARER (RFC 7628, section 3.1).

    Raises:
        SaslError: where it is not that.
    """
    header, *fields = message.split(b"\x01")
    flag, comma, rest = header.partition(b",")
    user, end, trail = rest.partition(b",")
    if flag not in (b"n", b"y") or not comma or not end or trail:
        raise SaslError("the message does not begin as OAUTHBEARER has it")
    if user and (not user.startswith(b"a=") or _ESCAPE.search(user[2:])):
        raise SaslError("the user's name is not written as OAUTHBEARER has it")
    user = user[2:].replace(b"=2C", b",").replace(b"=3D", b"=")
    return Token(_name(user), _token_of(_pairs(fields)))


def parse_xoauth2(message: bytes) -> Token:
    """
    Give user and token of XOAUTH2.

    Raises:
        SaslError: where it is not that.
    """
    pairs = _pairs(message.split(b"\x01"))
    user = pairs.get(b"user", b"")
    if not user:
        raise SaslError("the message names no user")
    return Token(_name(user), _token_of(pairs))


def parse_external(message: bytes) -> bytes:
    """
    Give the name that a client of EXTERNAL wants to have; empty for its own.

    Raises:
        SaslError: where it is no name.
    """
    return _name(message)


def token_refused(mechanism: bytes) -> bytes:
    """
    Give the challenge that tells why a token was refused, before the refusal itself.
    """
    if mechanism == b"OAUTHBEARER":
        return json.dumps({"status": "invalid_token"}).encode("ascii")
    reasons = {"status": "400", "schemes": "bearer", "scope": "mail"}
    return json.dumps(reasons).encode("ascii")


def _pairs(fields: list[bytes]) -> dict[bytes, bytes]:
    """
    Read ``key=value`` fields, which two empty ones close.
    """
    if len(fields) < 2 or fields[-2:] != [b"", b""]:
        raise SaslError("the message has no end")
    pairs: dict[bytes, bytes] = {}
    for field in fields[:-2]:
        key, equals, value = field.partition(b"=")
        if not key or not equals or key in pairs:
            raise SaslError("the message has a field that is none, or one twice")
        pairs[key] = value
    return pairs


def _token_of(pairs: dict[bytes, bytes]) -> bytes:
    found = _BEARER.fullmatch(pairs.get(b"auth", b""))
    if found is None:
        raise SaslError("the message holds no bearer token")
    return found[1]


def _name(user: bytes) -> bytes:
    if _CONTROL.search(user):
        raise SaslError("the user's name holds a control character")
    try:
        user.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError("the user's name is not UTF-8") from None
    return user
