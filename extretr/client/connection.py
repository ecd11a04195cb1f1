"""
From an account to a client that is logged in.
"""

import re
from pathlib import Path
from typing import Any

from OpenSSL.crypto import Error as NoCertificate
from OpenSSL.SSL import Error as TLSFailure
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.ssl import (
    Certificate,
    platformTrust,
    trustRootFromCertificates,
)

from extretr.client.config import ConfigError
from extretr.client.protocol import ResumingPOP3Client
from extretr.client.refusals import (
    InUse,
    LoginDelay,
    NotAuthenticated,
    NotTrusted,
    ServerRefusal,
)
from extretr.client.verified import VerifiedTLS
from extretr.client.wording import describe

#: How servers without response codes say that the maildrop is locked, which is not
#: that the password is wrong.
_LOCKED = re.compile(rb"\b(?:lock(?:ed)?|busy|in use|another)\b", re.IGNORECASE)

_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


class Connector:
    """
    Connects to the server of one account, and logs in.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        user: bytes,
        secret: Any,
        *,
        implicit_tls: bool = False,
        plaintext: bool = False,
        trust_root: Any = None,
        authentication: str = "auto",
        timeout: float = 60.0,
        rate_limit: float | None = None,
        endpoint: Any = None,
    ) -> None:
        """
        Args:
            reactor: makes connections, and tells the time.
            host: name or address of the server; its certificate must be for it.
            port: of the server.
            user: who logs in.
            secret: gives the password, or the token, as octets; asked at each login.
            implicit_tls: whether TLS comes first (RFC 8314), not by STLS.
            plaintext: whether a password may be sent in clear where TLS is not offered.
            trust_root: what certificates are verified by; None for the platform's.
            authentication: see `extretr.client.authentication`.
            timeout: seconds for which the server may be silent.
            rate_limit: octets a second that are taken at most.
            endpoint: connects in the place of host and port, for tests.
        """
        self.host = host
        self._reactor = reactor
        self._user = user
        self._secret = secret
        self._timeout = timeout
        self._rate_limit = rate_limit
        self._plaintext = plaintext
        self._trust_root = trust_root
        self._authentication = authentication
        if endpoint is None:
            endpoint = HostnameEndpoint(reactor, host.encode(), port, timeout)
            if implicit_tls:
                options = VerifiedTLS(host, trust_root)
                endpoint = wrapClientTLS(options, endpoint)
        self._endpoint = endpoint

    def _client(self) -> ResumingPOP3Client:
        client = ResumingPOP3Client()
        client.callLater = self._reactor.callLater  # type: ignore[method-assign]
        client.timeout = self._timeout  # type: ignore[assignment]
        client.rateLimit = self._rate_limit
        client.hostname = self.host
        client.trustRoot = self._trust_root
        client.authentication = self._authentication
        client.allowInsecureLogin = self._plaintext
        return client

    async def connect(self, opened: Any) -> tuple[ResumingPOP3Client, dict[bytes, Any]]:
        """
        Give a client that is logged in, and what the server offers it.

        Args:
            opened: gets the client as soon as there is one.

        Raises:
            NotTrusted: where the server's certificate is not as it must be.
            NotAuthenticated: where the server does not want this user.
            InsecureAuthenticationDisallowed: where the server offers no TLS.
            Exception: whatever a connection fails with.
        """
        factory = Factory.forProtocol(self._client)
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        client = await connecting
        opened(client)
        try:
            await client.capabilities()
            secret = self._secret()
            await self._log_in(client, secret)
            return client, await client.capabilities()
        except (CertificateError, VerificationError) as error:
            raise NotTrusted(f"its certificate is not for {self.host}") from error
        except TLSFailure as error:
            if "certificate" in str(error):
                why = "its certificate is not from a trusted authority, or has expired"
                raise NotTrusted(why) from error
            raise

    async def _log_in(self, client: ResumingPOP3Client, secret: bytes) -> None:
        offered = await client.capabilities()
        try:
            await client.login(self._user, secret)
        except LoginDelay as delay:
            words = offered.get(b"LOGIN-DELAY") or [b""]
            delay.seconds = float(words[0]) if words[0].isdigit() else 0.0
            raise
        except ServerRefusal as refusal:
            is_of_tls = b"STLS" in offered and not client.isSecure
            if type(refusal) is not ServerRefusal or is_of_tls or not client.isUsable:
                raise
            # No code: the text is all there is to tell by.
            kind = InUse if _LOCKED.search(refusal.text) else NotAuthenticated
            raise kind(refusal.args[0]) from None


def trust_root_of(path: Path | None) -> Any:
    """
    Give what certificates are verified by: those of a PEM file, or the platform's.

    Raises:
        ConfigError: where the file cannot be read, or holds none.
    """
    if path is None:
        return platformTrust()
    try:
        text = path.read_bytes()
        found = [Certificate.loadPEM(one) for one in _PEM.findall(text)]
    except OSError as error:
        raise ConfigError(f"ca_file: {describe(error)}") from error
    except NoCertificate as error:
        raise ConfigError(f"ca_file: {path} holds what is no certificate") from error
    if not found:
        raise ConfigError(f"ca_file: there is no certificate in {path}")
    return trustRootFromCertificates(found)
