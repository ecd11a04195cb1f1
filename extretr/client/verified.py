"""
TLS with a server whose certificate is for the name that it is wanted by.
"""

from typing import Any

from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IOpenSSLClientConnectionCreator)
class VerifiedTLS:
    """
    Twisted's TLS for clients, but closed to certificates whose names cannot be read.

    Twisted 26.10 logs that one has no names, or one that makes no sense, and takes it
    for whatever server is wanted.
    """

    def __init__(self, hostname: str, trust_root: Any = None) -> None:
        """
        Args:
            hostname: name or address that the certificate has to be for.
            trust_root: what certificates are verified by; None for the platform's.
        """
        self._options: Any = optionsForClientTLS(hostname, trust_root)
        is_address = isIPAddress(hostname) or isIPv6Address(hostname)
        self._wanted = IPAddress_ID(hostname) if is_address else DNS_ID(hostname)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """
        Give a connection whose handshake fails where the certificate is not right.
        """
        connection = self._options.clientConnectionForTLS(tlsProtocol)

        def verify(_: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
            if depth != 0 or not ok:
                return bool(ok)
            try:
                names = extract_patterns(certificate)
                verify_service_identity(names, [self._wanted], [])
            except BaseException:
                # What is raised in a callback of OpenSSL is lost.
                tlsProtocol.failVerification(Failure())
                return False
            return True

        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection
