"""
The certificate of a server: read from PEM files, and again when it was renewed.

New handshakes use what was read last; sessions that run keep what they began with.
A pair is taken up whole or not at all, since certificate and key are replaced one
after the other.
"""

import os
from typing import Any
from weakref import WeakSet

from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as OpenSSLError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

from extretr.server.certificates import (
    CertificateError,
    Pair,
    read_certificates,
    read_pair,
)

#: Those with forward secrecy, and the authenticated ones first; TLS 1.3 has no others.
_CIPHERS = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!AESCCM"
)

#: Seconds between two looks at the files, at least.
LOOK_AGAIN_AFTER = 5.0


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """
    Makes the server's side of TLS connections, with the certificate as it is on disk.

    TLS 1.2 and up.
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
        self.pair, self._context = self._load()

    @property
    def invalidity(self) -> str | None:
        """
        Why clients will not take the certificate today; None where they may.
        """
        why = self.pair.invalidity()
        return why and f"the certificate in {self._certificate} {why}"

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """
        Make the connection of one handshake (IOpenSSLServerConnectionCreator).
        """
        now = self._clock.seconds()
        if now - self._looked >= LOOK_AGAIN_AFTER:
            self._looked = now
            if self._versions() != self._tried:
                self._reloadChanged()
        return Connection(self._context, None)

    def reload(self) -> str:
        """
        Read the files again, and tell until when the certificate is valid.

        Raises:
            CertificateError: where they cannot be used; what was read before stays.
        """
        self._tried = self._versions()
        pair, context = self._load()
        why = pair.invalidity()
        if why is not None:
            raise CertificateError(f"the certificate in {self._certificate} {why}")
        self.pair, self._context = pair, context
        return f"valid until {pair.ends:%Y-%m-%d}"

    def _reloadChanged(self) -> None:
        try:
            found = self.reload()
        except CertificateError as error:
            self._log.error(
                "{error}: the certificate that is in use stays", error=error
            )
        else:
            self._log.info(
                "the certificate in {path} was renewed, {found}",
                path=self._certificate,
                found=found,
            )

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

    def _load(self) -> tuple[Pair, Context]:
        pair = read_pair(self._certificate, self._key)
        authorities = None
        if self._authorities:
            authorities = [
                X509.from_cryptography(each)
                for each in read_certificates(self._authorities)
            ]
        own, *others = map(X509.from_cryptography, pair.chain)
        try:
            context = CertificateOptions(
                privateKey=PKey.from_cryptography_key(pair.key),
                certificate=own,
                extraCertChain=others,
                verify=authorities is not None,
                caCerts=authorities,
                requireCertificate=False,
                acceptableCiphers=_CIPHERS,
                insecurelyLowerMinimumTo=TLSVersion.TLSv1_2,
            ).getContext()
        except (OpenSSLError, ValueError, TypeError) as error:
            raise CertificateError(
                f"OpenSSL does not take {self._certificate}: {_reason(error)}"
            ) from None
        if authorities is not None:
            self._verifying.add(context)
        return pair, context


def _version(path: str) -> Any:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    """
    Give the words of OpenSSL's error, which comes as lists of tuples.
    """
    first = error.args[0] if error.args else ""
    if isinstance(first, list) and first:
        return str(first[-1][-1])
    return str(first) or type(error).__name__
