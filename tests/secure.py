"""
Real TLS between two protocols in memory.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import connectedServerAndClient

from tests.certificates import for_loopback


def server_options(**more):
    """
    Give the server's side of TLS, with a certificate for localhost.
    """
    made = for_loopback()
    own = PrivateCertificate.loadPEM(made.certificate + made.key)
    return CertificateOptions(
        privateKey=own.privateKey.original, certificate=own.original, **more
    )


def client_options(own=None):
    """
    Give the client's side of TLS, which verifies; *own* is a certificate in PEM.
    """
    trusted = trustRootFromCertificates([Certificate.loadPEM(for_loopback().authority)])
    certificate = own and PrivateCertificate.loadPEM(own)
    return optionsForClientTLS("localhost", trusted, certificate)


class Below12:
    """
    A connection of TLS 1.2, where the other side would have 1.3.
    """

    def __init__(self, options):
        self._context = options.getContext()
        self._context.set_options(SSL.OP_NO_TLSv1_3)

    def getContext(self):
        return self._context


class Pump:
    """
    Carries what both sides write, also what TLS gathers first.
    """

    def __init__(self, pump, clock):
        self._pump = pump
        self._clock = clock

    def flush(self):
        """
        Carry octets until none are left.
        """
        moved = True
        while moved:
            waiting = self._clock.getDelayedCalls()
            self._clock.advance(0)
            moved = self._pump.pump() or bool(waiting)


def over_tls(server, client, secured=None, securing=None):
    """
    Connect two protocols by TLS; give the pump, the handshake done.
    """
    clock = Clock()

    def wrap(protocol, options, is_client):
        factory = Factory.forProtocol(lambda: protocol)
        factory.noisy = False
        wrapper = TLSMemoryBIOFactory(options, is_client, factory, clock)
        return wrapper.buildProtocol(None)

    _, _, pump = connectedServerAndClient(
        lambda: wrap(server, secured or server_options(), False),
        lambda: wrap(client, securing or client_options(), True),
    )
    pump = Pump(pump, clock)
    pump.flush()
    return pump


def user_certificate(name, *addresses):
    """
    Make a certificate for a user, signed by its own key; give it and the key in PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, each)
        for each in name.split("/")
        if each
    ]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if addresses:
        alternatives = [x509.RFC822Name(address) for address in addresses]
        builder = builder.add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
