"""
The certificate of a server: read from PEM files, and again when it was renewed.

New handshakes use what was read last; sessions that run keep what they began with.
A pair is taken up whole or not at all, since certificate and key are replaced one
after the other.
"""

import os
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakSet

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as OpenSSLError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

from extretr.errors import ExtRetrError

#: Seconds between two looks at the files, at least.
LOOK_AGAIN_AFTER = 5.0

_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY", re.S
)


class CertificateError(ExtRetrError):
    """
    A certificate or key that cannot be used; its text is for the administrator.
    """


class _Pair(NamedTuple):
    """
    What handshakes use, and from when to when it is valid.
    """

    context: Context
    begins: datetime
    ends: datetime

    def invalidity(self) -> str | None:
        """
        Tell why clients will not take the certificate today, None where they may.
        """
        now = datetime.now(UTC)
        if now > self.ends:
            return f"has expired on {self.ends:%Y-%m-%d at %H:%M} UTC"
        if now < self.begins:
            return f"is not valid before {self.begins:%Y-%m-%d at %H:%M} UTC"
        return None


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """
    Makes the server's side of TLS connections, with the certificate as it is on disk.

    TLS 1.2 and up, with the ciphers that Twisted takes by default.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        certificate: str,
        key: str | None = None,
        clientAuthorities: str | None = None,
    ) -> None:
        """
        Read the files, with the privileges that the process has now.

        Args:
            clock: an IReactorTime.
            certificate: path of a PEM file: the certificate, then its chain.
            key: path of a PEM file; where it is None the key is in that one too.
            clientAuthorities: path of a PEM file with authorities; a client is asked
                for a certificate of one of them, and may have none.

        Raises:
            CertificateError: where they cannot be used.
        """
        self._clock = clock
        self._certificate = os.path.abspath(certificate)
        self._key = self._certificate if key is None else os.path.abspath(key)
        self._authorities = clientAuthorities and os.path.abspath(clientAuthorities)
        #: Contexts whose connections verify what the client shows.
        self._verifying: WeakSet[Context] = WeakSet()
        self._looked = clock.seconds()
        # What the files were before they were read: a change meanwhile is one.
        self._tried = self._versions()
        self._pair = self._load()

    @property
    def ends(self) -> datetime:
        """
        When the certificate that is in use expires.
        """
        return self._pair.ends

    @property
    def invalidity(self) -> str | None:
        """
        Why clients will not take the certificate today; None where they may.
        """
        why = self._pair.invalidity()
        return why and f"the certificate in {self._certificate} {why}"

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """
        Make the connection of one handshake (IOpenSSLServerConnectionCreator).
        """
        now = self._clock.seconds()
        if now - self._looked >= LOOK_AGAIN_AFTER:
            self._looked = now
            if self._versions() != self._tried:
                self.reload()
        return Connection(self._pair.context, None)

    def reload(self) -> bool:
        """
        Read the files again; keep what is in use, and log it, where that fails.

        Returns:
            Whether what they hold is in use now.
        """
        self._tried = self._versions()
        try:
            pair = self._load()
            why = pair.invalidity()
            if why is not None:
                raise CertificateError(f"the certificate in {self._certificate} {why}")
        except CertificateError as error:
            self._log.error(
                "{error}: the certificate that is in use stays", error=error
            )
            return False
        self._pair = pair
        self._log.info(
            "the certificate in {path} is in use, valid until {ends}",
            path=self._certificate,
            ends=pair.ends.isoformat(),
        )
        return True

    def verifiedCertificate(self, connection: Any) -> X509 | None:
        """
        Give the client's certificate, where an authority that was given vouches for it.

        A handshake with one that none vouches for has failed.
        """
        if not isinstance(connection, Connection):
            return None
        if connection.get_context() not in self._verifying:
            return None
        return connection.get_peer_certificate()

    def _versions(self) -> list[Any]:
        return [
            _version(path)
            for path in (self._certificate, self._key, self._authorities)
            if path
        ]

    def _load(self) -> _Pair:
        chain = _certificates(self._certificate, _read(self._certificate))
        key = self._readKey()
        if not _belongs(key, chain[0]):
            if any(_belongs(key, other) for other in chain[1:]):
                raise CertificateError(
                    f"{self._certificate}: the server's own certificate must come first"
                )
            raise CertificateError(
                f"the key in {self._key} does not belong to the certificate in"
                f" {self._certificate}"
            )
        authorities = None
        if self._authorities:
            authorities = [
                X509.from_cryptography(each)
                for each in _certificates(self._authorities, _read(self._authorities))
            ]
        own, *others = map(X509.from_cryptography, chain)
        try:
            context = CertificateOptions(
                privateKey=PKey.from_cryptography_key(key),
                certificate=own,
                extraCertChain=others,
                verify=authorities is not None,
                caCerts=authorities,
                requireCertificate=False,
                insecurelyLowerMinimumTo=TLSVersion.TLSv1_2,
            ).getContext()
        except (OpenSSLError, ValueError, TypeError) as error:
            raise CertificateError(
                f"OpenSSL does not take {self._certificate}: {_reason(error)}"
            ) from None
        if authorities is not None:
            self._verifying.add(context)
        return _Pair(
            context, chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
        )

    def _readKey(self) -> Any:
        found = _KEY.search(_read(self._key))
        if found is None:
            hint = ": name its file by --key" if self._key == self._certificate else ""
            raise CertificateError(f"{self._key} holds no private key{hint}")
        try:
            return load_pem_private_key(found[0] + b"-----\n", None)
        except TypeError:
            raise CertificateError(
                f"the key in {self._key} has a passphrase, which a server cannot type:"
                " store it without ('openssl pkey')"
            ) from None
        except Exception:
            raise CertificateError(f"the key in {self._key} cannot be read") from None


def _version(path: str) -> Any:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None


def _certificates(path: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateError(f"{path} holds no certificate in PEM") from None


def _belongs(key: Any, certificate: x509.Certificate) -> bool:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ours: bytes = key.public_key().public_bytes(*form)
    return ours == certificate.public_key().public_bytes(*form)


def _reason(error: Exception) -> str:
    """
    Give the words of OpenSSL's error, which comes as lists of tuples.
    """
    first = error.args[0] if error.args else ""
    if isinstance(first, list) and first:
        return str(first[-1][-1])
    return str(first) or type(error).__name__
