"""
`extretr.sasl.binding`: what ties a conversation to its TLS connection.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from extretr.sasl.binding import END_POINT, EXPORTER, bindings_of
from tests.certificates import for_loopback
from tests.secure import Below12, over_tls, server_options


class BindingTests(SynchronousTestCase):
    """
    Over real TLS.
    """

    def bindings(self, secured=None):
        """
        Connect; give the bindings of the server's end, and of the client's.
        """
        server, client = Protocol(), Protocol()
        over_tls(server, client, secured)
        return (
            bindings_of(server.transport.getHandle(), server=True),
            bindings_of(client.transport.getHandle(), server=False),
        )

    def test_alike(self):
        """
        Both ends have the same, the exporter first.
        """
        server, client = self.bindings()
        self.assertEqual(server, client)
        self.assertEqual(list(server), [EXPORTER, END_POINT])
        self.assertEqual([len(each) for each in server.values()], [32, 32])

    def test_endPoint(self):
        """
        tls-server-end-point is the hash of the certificate (RFC 5929, section 4.1).
        """
        certificate = load_pem_x509_certificate(for_loopback().certificate)
        digest = sha256(certificate.public_bytes(Encoding.DER)).digest()
        self.assertEqual(self.bindings()[0][END_POINT], digest)

    def test_exporter(self):
        """
        tls-exporter is another on each connection, and is what RFC 9266 asks for.
        """
        self.assertNotEqual(self.bindings()[0][EXPORTER], self.bindings()[0][EXPORTER])
        server = Protocol()
        over_tls(server, Protocol())
        connection = server.transport.getHandle()
        exported = connection.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b""
        )
        self.assertEqual(bindings_of(connection, server=True)[EXPORTER], exported)

    def test_before13(self):
        """
        Before TLS 1.3 there is no exporter that binds for sure.
        """
        server, client = self.bindings(Below12(server_options()))
        self.assertEqual(list(server), [END_POINT])
        self.assertEqual(server, client)

    def test_noHash(self):
        """
        A signature without a hash function of its own has no such binding; a weak
        one's is SHA-256.
        """

        class Connection:
            def get_protocol_version_name(self):
                return "TLSv1.2"

            def get_certificate(self):
                return self

            to_cryptography = get_certificate
            signature_hash_algorithm = None

            def digest(self, name):
                return name.encode().hex().encode()

        connection = Connection()
        self.assertEqual(bindings_of(connection, server=True), {})
        for name, used in [("md5", b"sha256"), ("sha1", b"sha256"), ("sha384",) * 2]:
            connection.signature_hash_algorithm = Connection()
            connection.signature_hash_algorithm.name = name
            found = bindings_of(connection, server=True)[END_POINT]
            self.assertEqual(found, used if isinstance(used, bytes) else used.encode())
