"""
What a peer shows to prove who it is, beyond name and password.

A checker of cred says which of these it checks; a session offers no other.
"""

import hmac
from collections.abc import Callable
from hashlib import md5
from typing import Any

from twisted.cred.credentials import ICredentials, IUsernameHashedPassword
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from extretr.errors import BadExchange
from extretr.sasl.errors import SaslError
from extretr.sasl.scram import ScramKeys, ScramServer, WrongProof


class IScram(ICredentials):
    """
    A conversation by SCRAM-SHA-256, of which only the user is known yet.
    """

    username: bytes = Attribute("Who the peer says it is.")

    def prove(keys: ScramKeys) -> Any:
        """
        Go on with the keys of the user; the Deferred tells whether the peer knows them.

        For a user that is not known use keys that nobody has, always the same for a
        name: then names cannot be guessed.
        """


class IBearerToken(ICredentials):
    """
    An OAuth token.
    """

    username: bytes = Attribute("Who the peer wants to be; may be empty.")
    token: bytes = Attribute("The token, as it came.")
    mechanism: bytes = Attribute("OAUTHBEARER or XOAUTH2.")
    identity: "bytes | None" = Attribute("Who it is: set by whoever has checked it.")


class ICertificate(ICredentials):
    """
    A client's certificate, verified by TLS.
    """

    username: bytes = Attribute("Who the peer wants to be; may be empty.")
    certificate: Any = Attribute("An OpenSSL.crypto.X509.")
    identity: "bytes | None" = Attribute("Who it is: set by whoever has checked it.")


class IChangingChecker(Interface):
    """
    A checker that cannot always check all that it is registered for.
    """

    def checks(interface: Any) -> bool:
        """
        Tell whether these credentials could be right, for every user, at present.
        """


@implementer(IScram)
class ScramCredentials:
    """
    A conversation by SCRAM, whose messages *ask* carries.
    """

    def __init__(
        self,
        username: bytes,
        server: ScramServer,
        ask: "Callable[[bytes], Deferred[bytes]]",
    ) -> None:
        self.username = username
        self._server = server
        self._ask = ask

    def prove(self, keys: ScramKeys) -> "Deferred[bool]":
        """
        Go on with the keys of the user: see `IScram`.
        """
        return Deferred.fromCoroutine(self._prove(keys))

    async def _prove(self, keys: ScramKeys) -> bool:
        response = await self._ask(self._server.challenge(keys))
        try:
            proof = self._server.finish(response)
        except WrongProof:
            return False
        except SaslError:
            raise BadExchange from None
        if await self._ask(proof):
            raise BadExchange
        return True


@implementer(IBearerToken)
class BearerToken:
    """
    An OAuth token.
    """

    identity: bytes | None = None

    def __init__(self, username: bytes, token: bytes, mechanism: bytes) -> None:
        self.username = username
        self.token = token
        self.mechanism = mechanism


@implementer(ICertificate)
class CertificateCredentials:
    """
    A client's certificate.
    """

    identity: bytes | None = None

    def __init__(self, username: bytes, certificate: Any) -> None:
        self.username = username
        self.certificate = certificate


@implementer(IUsernameHashedPassword)
class ApopCredentials:
    """
    A digest of the challenge in our greeting and a password (RFC 1939, section 7).

    Stock's compares text with octets, and never succeeds.
    """

    def __init__(self, challenge: bytes, username: bytes, digest: bytes) -> None:
        self.username = username
        self._challenge = challenge
        self._digest = digest

    def checkPassword(self, password: bytes) -> bool:
        """
        Tell whether the digest is of this password, in a time that tells nothing.
        """
        right = md5(self._challenge + password, usedforsecurity=False).hexdigest()
        return hmac.compare_digest(right.encode("ascii"), self._digest)
