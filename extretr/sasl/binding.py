"""
Channel bindings: what ties a SCRAM exchange to the TLS connection that it runs in.

Whoever sits in the middle has a connection to each side, and their bindings differ.
"""

from typing import Any

#: RFC 5929, section 4: the hash of the server's certificate.
END_POINT = "tls-server-end-point"

#: RFC 9266: key material that only the two ends of this connection have.
EXPORTER = "tls-exporter"

_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTED_OCTETS = 32

#: Hash functions in a certificate's signature that SHA-256 stands in for.
_WEAK = frozenset({"md5", "sha1"})


def bindings_of(connection: Any, *, server: bool) -> dict[str, bytes]:
    """
    Give the bindings of a TLS connection by their types, the best first.

    Args:
        connection: an ``OpenSSL.SSL.Connection`` whose handshake is done.
        server: whether this is the server's end.
    """
    found = {}
    # What TLS before 1.3 exports is bound to the connection only where both ends have
    # the extended master secret (RFC 9266, section 4), and OpenSSL does not tell us.
    if connection.get_protocol_version_name() == "TLSv1.3":
        found[EXPORTER] = connection.export_keying_material(
            _LABEL, _EXPORTED_OCTETS, b""
        )
    if server:
        certificate = connection.get_certificate()
    else:
        certificate = connection.get_peer_certificate()
    if certificate is not None:
        # None for signatures without a hash function of their own (Ed25519), for
        # which the binding is not defined.
        algorithm = certificate.to_cryptography().signature_hash_algorithm
        if algorithm is not None:
            name = "sha256" if algorithm.name in _WEAK else algorithm.name
            digest = certificate.digest(name)
            found[END_POINT] = bytes.fromhex(digest.replace(b":", b"").decode())
    return found


class ExporterHeader:
    """
    The head of a SCRAM message that is bound by `EXPORTER`, in the form scramp has it.

    scramp carries any binding but knows no such type, since Python's own ssl module
    cannot give one.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __str__(self) -> str:
        return f"p={EXPORTER},,"

    def make_cbind_input(self, _: object) -> bytes:
        """
        Give what both sides must have alike (RFC 5802, section 7).
        """
        return str(self).encode("ascii") + self._data
