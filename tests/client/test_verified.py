"""
Handshakes in memory: with whom TLS comes about, and with whom it does not.
"""

from ipaddress import ip_address

from cryptography.x509 import DNSName, IPAddress
from OpenSSL.SSL import Error as TLSFailure
from service_identity import CertificateError, VerificationError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import connectedServerAndClient
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.verified import VerifiedTLS
from tests.certificates import for_loopback, for_names


class Speaker(Protocol):
    """
    Says something at once, and notes what it hears, and how it ends.
    """

    def __init__(self):
        self.heard = b""
        self.reason = None

    def connectionMade(self):
        self.transport.write(b"secret")

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, reason):
        self.reason = reason


class VerifiedTests(SynchronousTestCase):
    """
    Whose certificate is taken.
    """

    def connect(self, made, hostname, authority=None):
        """
        Shake hands; give what the server heard, and what the client's end was.
        """
        own = PrivateCertificate.loadPEM(made.certificate + made.key)
        trusted = Certificate.loadPEM(authority or made.authority)
        creator = VerifiedTLS(hostname, trustRootFromCertificates([trusted]))
        server, client, clock = Speaker(), Speaker(), Clock()

        def end(context, is_client, speaker):
            factory = Factory.forProtocol(lambda: speaker)
            tls = TLSMemoryBIOFactory(context, is_client, factory, clock)
            return tls.buildProtocol(None)

        _, _, pump = connectedServerAndClient(
            lambda: end(own.options(), False, server),
            lambda: end(creator, True, client),
            clock=clock,
        )
        pump.flush()
        return server.heard, client.reason

    def refuse(self, kind, made, hostname, authority=None):
        heard, reason = self.connect(made, hostname, authority)
        self.assertEqual(heard, b"")
        reason.trap(kind)

    def test_right(self):
        """
        One that is for the name, or the address, is taken.
        """
        for hostname in ("localhost", "127.0.0.1", "::1"):
            heard, reason = self.connect(for_loopback(), hostname)
            self.assertEqual((heard, reason), (b"secret", None))

    def test_other(self):
        """
        One that is for others is not, and the server hears nothing.
        """
        self.refuse(VerificationError, for_loopback(), "mail.example")
        self.refuse(VerificationError, for_loopback(), "127.0.0.2")

    def test_noNames(self):
        """
        One that is for nobody, or whose names make no sense, is for nobody.
        """
        address = IPAddress(ip_address("127.0.0.1"))
        for names in ([], [DNSName("*.com")], [DNSName("127.0.0.1"), address]):
            for hostname in ("localhost", "127.0.0.1", "mail.com"):
                self.refuse(CertificateError, for_names(*names), hostname)

    def test_otherAuthority(self):
        """
        One that another authority has signed is not taken.
        """
        other = for_names().authority
        self.refuse(TLSFailure, for_loopback(), "localhost", other)
