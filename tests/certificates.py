"""
Authorities made for a test, and certificates of theirs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: What a certificate is for, unless it is for others.
LOOPBACK = (
    x509.DNSName("localhost"),
    x509.IPAddress(ip_address("127.0.0.1")),
    x509.IPAddress(ip_address("::1")),
)


class Certificate(NamedTuple):
    """
    What a server and its clients need, each as PEM.
    """

    authority: bytes
    certificate: bytes
    key: bytes


def _usage(signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """
    Signs certificates that strict verification takes (RFC 5280, section 4.2).
    """

    def __init__(
        self, name: str = "test authority", parent: "Authority | None" = None
    ) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        signer = self if parent is None else parent
        draft = self._draft(name, signer, self._key.public_key(), (-1, 7), True)
        if parent is not None:
            draft = signer._identified(draft)
        #: As PEM.
        self.certificate = signer._sign(draft)

    def issue(
        self,
        name: str = "localhost",
        days: tuple[float, float] = (-1, 7),
        client: bool = False,
        names: Sequence[x509.GeneralName] = LOOPBACK,
    ) -> Certificate:
        """
        Make a certificate for this machine's loopback, or for a client.

        Args:
            name: the common name.
            days: from when to when it is valid, in days from now.
            client: whether it is for a client.
            names: of the server; it may have none.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = (
            ExtendedKeyUsageOID.CLIENT_AUTH
            if client
            else ExtendedKeyUsageOID.SERVER_AUTH
        )
        draft = self._draft(name, self, key.public_key(), days, False)
        draft = draft.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if client:
            names = [x509.DNSName(name)]
        if names:
            alternatives = x509.SubjectAlternativeName(names)
            draft = draft.add_extension(alternatives, critical=False)
        return Certificate(
            self.certificate,
            self._sign(self._identified(draft)),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    @staticmethod
    def _draft(
        name: str,
        issuer: "Authority",
        public_key: ec.EllipticCurvePublicKey,
        days: tuple[float, float],
        is_authority: bool,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        # An authority may have one more below it.
        constraints = x509.BasicConstraints(is_authority, 1 if is_authority else None)
        identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer.name))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(constraints, critical=True)
            .add_extension(_usage(is_authority), critical=True)
            .add_extension(identifier, critical=False)
        )

    def _identified(self, draft: x509.CertificateBuilder) -> x509.CertificateBuilder:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        return draft.add_extension(identifier, critical=False)

    def _sign(self, draft: x509.CertificateBuilder) -> bytes:
        return draft.sign(self._key, SHA256()).public_bytes(Encoding.PEM)


def for_names(*names: x509.GeneralName) -> Certificate:
    """
    Make a certificate for these names, or for none.
    """
    return Authority().issue(names=names)


@cache
def for_loopback() -> Certificate:
    """
    Make a certificate for localhost, 127.0.0.1 and ::1; one a process.
    """
    return Authority().issue()
