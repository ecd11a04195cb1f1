"""
An authority made for a test, and a certificate of it for this machine's loopback.
"""

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


def _draft(
    name: str, issuer: str, public_key: ec.EllipticCurvePublicKey, is_authority: bool
) -> x509.CertificateBuilder:
    """
    Begin a certificate with what strict verification asks of each (RFC 5280, 4.2).
    """
    subject, issued_by = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        for text in (name, issuer)
    )
    now = datetime.now(UTC)
    constraints = x509.BasicConstraints(is_authority, 0 if is_authority else None)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(constraints, critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(identifier, critical=False)
    )


@cache
def for_loopback() -> Certificate:
    """
    Make a certificate for localhost, 127.0.0.1 and ::1; one a process.
    """
    return for_names(
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    )


def for_names(*names: x509.GeneralName) -> Certificate:
    """
    Make a certificate for these names, or for none, and an authority that signs it.
    """
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = authority_key.public_key()
    authority = _draft("test authority", "test authority", public, True)
    leaf = (
        _draft("localhost", "test authority", key.public_key(), False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False
        )
    )
    if names:
        alternatives = x509.SubjectAlternativeName(names)
        leaf = leaf.add_extension(alternatives, critical=False)
    signed, certificate = (
        each.sign(authority_key, SHA256()).public_bytes(Encoding.PEM)
        for each in (authority, leaf)
    )
    return Certificate(
        signed,
        certificate,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
