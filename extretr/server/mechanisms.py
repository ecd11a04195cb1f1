"""
The SASL mechanisms that a session may offer, each as the conversation that it is.
"""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.mail.pop3 import POP3Error

from extretr.coroutines import awaited
from extretr.errors import BadExchange, Refusal
from extretr.sasl.errors import NotAuthorized
from extretr.sasl.scram import ScramServer
from extretr.sasl.server import (
    parse_bearer,
    parse_external,
    parse_plain,
    parse_xoauth2,
    token_refused,
)
from extretr.server.conversation import Conversation
from extretr.server.credentials import (
    BearerToken,
    CertificateCredentials,
    IBearerToken,
    ICertificate,
    IScram,
    ScramCredentials,
)


class Mechanism(NamedTuple):
    """
    What a session has to know of a mechanism.
    """

    #: What a portal must be able to check.
    credentials: Any
    #: Whether who listens on the way can use what goes over it.
    open: bool
    converse: Callable[[Conversation], Coroutine[Any, Any, None]]


async def _plain(talk: Conversation) -> None:
    message = await talk.first()
    try:
        user, password = parse_plain(message)
    except NotAuthorized:
        await talk.logIn(b"", _nobody)
    else:
        talk.presents(user, password)
        await talk.logIn(user, lambda: talk.checkPassword(user, password))


def _nobody() -> None:
    raise UnauthorizedLogin


async def _scram(talk: Conversation) -> None:
    server = ScramServer(talk.bindings, plus=talk.name.endswith(b"-PLUS"))
    credentials = ScramCredentials(server.begin(await talk.first()), server, talk.ask)
    await talk.logIn(credentials.username, lambda: talk.check(credentials))


async def _bearer(talk: Conversation) -> None:
    message = await talk.first()
    parse = parse_bearer if talk.name == b"OAUTHBEARER" else parse_xoauth2
    user, token = parse(message)
    credentials = BearerToken(user, token, talk.name)

    async def check() -> Any:
        try:
            return await awaited(talk.check, credentials)
        except (LoginFailed, POP3Error) as refused:
            # The client has to answer before it may be refused, whatever it says
            # (RFC 7628, section 3.2.3).  Nor does hanging up undo the refusal.
            with suppress(Refusal, CancelledError):
                await talk.ask(token_refused(talk.name))
            raise refused

    await talk.logIn(user, lambda: Deferred.fromCoroutine(check()))


async def _external(talk: Conversation) -> None:
    user = parse_external(await talk.first())
    credentials = CertificateCredentials(user, talk.certificate)
    await talk.logIn(user, lambda: talk.check(credentials))


def challenged(factory: Callable[[], Any]) -> Mechanism:
    """
    Give a mechanism of stock's ``challengers``: one challenge, name and response.

    Args:
        factory: makes credentials like `twisted.cred.credentials.CramMD5Credentials`.
    """

    async def converse(talk: Conversation) -> None:
        credentials = factory()
        response = await talk.ask(credentials.getChallenge())
        parts = response.split(None, 1)
        if len(parts) != 2:
            raise BadExchange
        credentials.username, credentials.response = parts
        await talk.logIn(parts[0], lambda: talk.check(credentials))

    return Mechanism(None, False, converse)


#: By name; those that a client should take first come first.
MECHANISMS = {
    b"SCRAM-SHA-256-PLUS": Mechanism(IScram, False, _scram),
    b"SCRAM-SHA-256": Mechanism(IScram, False, _scram),
    b"EXTERNAL": Mechanism(ICertificate, False, _external),
    b"OAUTHBEARER": Mechanism(IBearerToken, True, _bearer),
    b"XOAUTH2": Mechanism(IBearerToken, True, _bearer),
    b"PLAIN": Mechanism(IUsernamePassword, True, _plain),
}
