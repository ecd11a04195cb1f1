"""
A conversation by SASL as its mechanism sees it: octets to and fro, and one reply.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from extretr.errors import NotBase64


class Conversation:
    """
    One conversation of a session by SASL: what a mechanism sees of it.
    """

    def __init__(self, session: Any, name: bytes, said: bytes | None) -> None:
        self.name = name
        self._session = session
        self._said = said

    @property
    def bindings(self) -> Mapping[str, bytes]:
        """
        The channel bindings of the connection, where the peer was offered any.
        """
        plus = b"SCRAM-SHA-256-PLUS"
        if self.name == plus or plus in self._session.saslMechanisms():
            return self._session._bindings()
        return {}

    @property
    def certificate(self) -> Any:
        """
        The certificate of the peer.
        """
        return self._session.peerCertificate()

    def first(self) -> "Deferred[bytes]":
        """
        Give the initial response, where there is none after asking for it.
        """
        return self.ask(b"") if self._said is None else succeed(self._said)

    def ask(self, challenge: bytes) -> "Deferred[bytes]":
        """
        Send a challenge, and give the response.
        """
        return self._session._askPeer(challenge)

    async def logIn(self, user: bytes, authenticate: Callable[[], Any]) -> None:
        """
        Let a user in; that is the reply.
        """
        await self._session._admit(self.name.decode("ascii"), user, authenticate)

    def presents(self, user: bytes, password: bytes) -> None:
        """
        Tell which password is tried, before the login.
        """
        self._session._noteTried(user, password)

    def checkPassword(self, user: bytes, password: bytes) -> Any:
        """
        Authenticate by name and password.
        """
        return self._session.authenticateUserPASS(user, password)

    def check(self, credentials: Any) -> "Deferred[Any]":
        """
        Authenticate by other credentials.
        """

        def note(result: Any) -> Any:
            self._session._identity = getattr(credentials, "identity", None)
            return result

        checked = maybeDeferred(self._session.authenticateUserSASL, credentials)
        return checked.addCallback(note)


def decoded(response: bytes) -> bytes:
    """
    Give what a response says.

    Raises:
        NotBase64: where it is none.
    """
    try:
        return b64decode(response, validate=True)
    except binascii.Error:
        raise NotBase64 from None
