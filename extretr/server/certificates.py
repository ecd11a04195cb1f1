"""
Certificates and private keys in PEM files, and what is wrong with them in clear words.
"""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from extretr.errors import ExtRetrError

_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY", re.S
)

#: What a process that may read more has handed over: files by their path.
handed: dict[str, bytes] = {}


class CertificateError(ExtRetrError):
    """
    A certificate or key that cannot be used; its text is for the administrator.
    """


class Pair(NamedTuple):
    """
    A certificate with its chain, and the private key that belongs to it.
    """

    chain: list[x509.Certificate]
    key: Any

    @property
    def ends(self) -> datetime:
        """
        When the certificate expires.
        """
        return self.chain[0].not_valid_after_utc

    def invalidity(self) -> str | None:
        """
        Tell why clients will not take the certificate today, None where they may.
        """
        now, begins = datetime.now(UTC), self.chain[0].not_valid_before_utc
        if now > self.ends:
            return f"has expired on {self.ends:%Y-%m-%d at %H:%M} UTC"
        if now < begins:
            return f"is not valid before {begins:%Y-%m-%d at %H:%M} UTC"
        return None


def read_pair(certificate: str, key: str) -> Pair:
    """
    Read a certificate, the server's own first, and its key.

    Raises:
        CertificateError: where there is none, or they do not belong together.
    """
    chain = read_certificates(certificate)
    private = read_key(key, alone=key != certificate)
    if not _belongs(private, chain[0]):
        if any(_belongs(private, other) for other in chain[1:]):
            raise CertificateError(
                f"{certificate}: the server's own certificate must come first"
            )
        raise CertificateError(
            f"the key in {key} does not belong to the certificate in {certificate}"
        )
    return Pair(chain, private)


def read_certificates(path: str) -> list[x509.Certificate]:
    """
    Read all certificates of a PEM file, in their order.

    Raises:
        CertificateError: where there is none, or one that cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise CertificateError(f"{path} holds no certificate in PEM") from None


def read_key(path: str, alone: bool) -> Any:
    """
    Read the first private key of a PEM file, which may hold more than keys.

    Args:
        path: of the file.
        alone: whether a file of its own was named for the key.

    Raises:
        CertificateError: where there is none, or one that cannot be read.
    """
    found = _KEY.search(_read(path))
    if found is None:
        hint = "" if alone else ": name its file by --key"
        raise CertificateError(f"{path} holds no private key{hint}")
    try:
        return load_pem_private_key(found[0] + b"-----\n", None)
    except TypeError:
        raise CertificateError(
            f"the key in {path} has a passphrase, which a server cannot type:"
            " store it without ('openssl pkey')"
        ) from None
    except Exception:
        raise CertificateError(f"the key in {path} cannot be read") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if isinstance(error, PermissionError) and path in handed:
            return handed[path]
        raise CertificateError(f"{path}: {error.strerror}") from None


def _belongs(key: Any, certificate: x509.Certificate) -> bool:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ours: bytes = key.public_key().public_bytes(*form)
    return ours == certificate.public_key().public_bytes(*form)
