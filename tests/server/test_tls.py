"""
`extretr.server.tls`: a certificate, and how a renewed one is taken up.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_PEM, dump_certificate
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server import certificates
from extretr.server.certificates import CertificateError
from extretr.server.tls import LOOK_AGAIN_AFTER, ServerTLS
from tests.certificates import Authority
from tests.server.memory_tls import client_context


class CertificateCase(SynchronousTestCase):
    """
    A certificate and its key, in two files.
    """

    def setUp(self):
        self.clock = Clock()
        self.authority = Authority()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.first = self.authority.issue()
        self.write(self.first)
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def write(self, pair):
        self.replace(self.certificate, pair.certificate)
        self.replace(self.key, pair.key)

    def replace(self, path, octets):
        """
        Replace a file as those who renew certificates do.
        """
        draft = path.with_suffix(".new")
        draft.write_bytes(octets)
        draft.replace(path)

    def open(self, *more):
        return ServerTLS(self.clock, str(self.certificate), str(self.key), *more)

    def served(self, tls):
        """
        Do a handshake; give the certificates that the server shows, as PEM.
        """
        server = tls.serverConnectionForTLS(None)
        server.set_accept_state()
        client = SSL.Connection(client_context(), None)
        client.set_connect_state()
        ends = [(client, server), (server, client)]
        for _ in range(6):
            for ours, theirs in ends:
                try:
                    ours.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    theirs.bio_write(ours.bio_read(65536))
                except SSL.WantReadError:
                    pass
        return [
            dump_certificate(FILETYPE_PEM, each)
            for each in client.get_peer_cert_chain()
        ]

    def errors(self):
        """
        Give how many errors were logged, and forget them.
        """
        found = [each for each in self.events if each["log_level"] is LogLevel.error]
        self.events.clear()
        return len(found)


class ReadingTests(CertificateCase):
    """
    What is read at start.
    """

    def test_interface(self):
        """
        It is what Twisted takes for the server's side of TLS.
        """
        verifyObject(IOpenSSLServerConnectionCreator, self.open())

    def test_chain(self):
        """
        The chain in the file is shown with the certificate, in its order.
        """
        between = Authority("between", self.authority)
        pair = between.issue()
        self.replace(self.certificate, pair.certificate + between.certificate)
        self.replace(self.key, pair.key)
        self.assertEqual(
            self.served(self.open()), [pair.certificate, between.certificate]
        )

    def test_oneFile(self):
        """
        Certificate and key may be in one file, in any order, with text around.
        """
        for octets in (
            self.first.certificate + self.first.key,
            b"a text\n" + self.first.key + self.first.certificate,
        ):
            self.certificate.write_bytes(octets)
            tls = ServerTLS(self.clock, str(self.certificate))
            self.assertEqual(self.served(tls), [self.first.certificate])

    def test_keys(self):
        """
        Keys are taken as openssl writes them, those of elliptic curves too, which may
        have parameters before them.
        """
        made = load_pem_private_key(self.first.key, None)
        traditional = made.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        self.key.write_bytes(
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
            b"-----END EC PARAMETERS-----\n" + traditional
        )
        self.assertEqual(self.served(self.open()), [self.first.certificate])

    def test_ciphers(self):
        """
        All ciphers have forward secrecy, and the authenticated ones come first.
        """
        names = self.open().serverConnectionForTLS(None).get_cipher_list()
        self.assertIn("TLS_AES_256_GCM_SHA384", names)
        older = [name for name in names if not name.startswith("TLS_")]
        self.assertTrue(all(name.startswith("ECDHE-") for name in older), older)
        sealed = ["GCM" in name or "POLY1305" in name for name in older]
        self.assertEqual(sealed, sorted(sealed, reverse=True))
        self.assertIn(True, sealed)

    def refused(self, *more):
        """
        Give the one line with which the files are refused.
        """
        text = str(self.assertRaises(CertificateError, self.open, *more))
        self.assertNotIn("\n", text)
        return text

    def test_refused(self):
        """
        Whatever is wrong is one clear line, with the file that it is about.
        """
        other = self.authority.issue()
        secret = load_pem_private_key(self.first.key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        good, key = self.first.certificate, self.first.key
        for certificate, private, words in (
            (b"", key, "holds no certificate"),
            (good[:-60], key, "holds no certificate"),
            (good.replace(b"M", b"N", 3), key, "holds no certificate"),
            (good, b"", "holds no private key"),
            (good, key[:-40], "holds no private key"),
            (good, key[:60] + key[70:], "cannot be read"),
            (good, secret, "has a passphrase"),
            (good, other.key, "does not belong to the certificate"),
            (self.authority.certificate + good, key, "must come first"),
        ):
            self.certificate.write_bytes(certificate)
            self.key.write_bytes(private)
            text = self.refused()
            self.assertIn(words, text)
            self.assertIn(str(self.certificate.parent), text)
        self.key.unlink()
        self.assertIn("No such file", self.refused())
        self.write(self.first)
        self.assertIn("/nowhere", self.refused("/nowhere"))
        self.assertIn("holds no certificate", self.refused(str(self.key)))

    def test_weakKey(self):
        """
        So is a key that OpenSSL finds too weak.
        """
        weak = rsa.generate_private_key(65537, 1024)
        self.key.write_bytes(
            weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, weak.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(weak, SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        self.assertIn("OpenSSL does not take", self.refused())

    def test_invalid(self):
        """
        One that has expired, or is not valid yet, is used at start, and says so.
        """
        for days, words in (((-3, -1), "has expired on"), ((1, 3), "not valid before")):
            self.write(self.authority.issue(days=days))
            tls = self.open()
            self.assertIn(words, tls.invalidity)
            self.assertEqual(len(self.served(tls)), 1)
        self.write(self.first)
        self.assertIsNone(self.open().invalidity)


class RenewalTests(CertificateCase):
    """
    What was renewed on disk.
    """

    def setUp(self):
        super().setUp()
        self.tls = self.open()
        self.second = self.authority.issue(days=(-1, 30))

    def later(self):
        self.clock.advance(LOOK_AGAIN_AFTER)
        return self.served(self.tls)

    def test_taken(self):
        """
        New handshakes show a renewed certificate, after some seconds at the latest.
        """
        ended = self.tls.pair.ends
        self.write(self.second)
        self.assertEqual(self.served(self.tls), [self.first.certificate])
        self.assertEqual(self.later(), [self.second.certificate])
        self.assertGreater(self.tls.pair.ends, ended)
        self.assertEqual(self.errors(), 0)

    def test_reload(self):
        """
        Or at once, on request.
        """
        self.write(self.second)
        self.assertRegex(self.tls.reload(), r"^valid until \d{4}-\d\d-\d\d$")
        self.assertEqual(self.served(self.tls), [self.second.certificate])

    def test_looks(self):
        """
        The files are looked at some seconds apart, however many handshakes there are,
        and read only where they have changed.
        """
        looks = []
        versions = self.tls._versions
        self.patch(self.tls, "_versions", lambda: looks.append(0) or versions())
        self.patch(self.tls, "reload", lambda: self.fail("nothing has changed"))
        for _ in range(100):
            self.clock.advance(LOOK_AGAIN_AFTER / 20)
            self.tls.serverConnectionForTLS(None)
        self.assertEqual(len(looks), 5)

    def test_oneAfterTheOther(self):
        """
        While only one of the two is replaced, in either order, the old pair stays;
        that is logged once.  With the other the new pair is whole.
        """
        for first, second in (
            (self.certificate, self.key),
            (self.key, self.certificate),
        ):
            old = self.served(self.tls)
            new = self.authority.issue()
            octets = {self.certificate: new.certificate, self.key: new.key}
            self.replace(first, octets[first])
            for _ in range(3):
                self.assertEqual(self.later(), old)
            self.assertEqual(self.errors(), 1)
            self.replace(second, octets[second])
            self.assertEqual(self.later(), [new.certificate])
            self.assertEqual(self.errors(), 0)

    def test_replacedWhileRead(self):
        """
        So is one that is replaced between the reading of the one and of the other.
        """
        read = certificates.read_key

        def meanwhile(path, alone):
            self.write(self.second)
            return read(path, alone)

        self.replace(self.certificate, self.first.certificate)
        self.patch(certificates, "read_key", meanwhile)
        self.assertEqual(self.later(), [self.first.certificate])
        self.patch(certificates, "read_key", read)
        self.assertEqual(self.later(), [self.second.certificate])

    def test_broken(self):
        """
        What is broken, gone or has expired is not taken up: the old pair stays, and
        an error is logged once; a good one is taken afterwards.
        """
        expired = self.authority.issue(days=(-3, -1))
        self.write(expired)
        self.assertEqual(self.later(), [self.first.certificate])
        self.assertEqual(self.errors(), 1)
        self.certificate.write_bytes(self.second.certificate[:300])
        self.assertEqual(self.later(), [self.first.certificate])
        self.assertEqual(self.errors(), 1)
        self.assertRaises(CertificateError, self.tls.reload)
        self.assertEqual(self.served(self.tls), [self.first.certificate])
        os.unlink(self.certificate)
        for _ in range(3):
            self.assertEqual(self.later(), [self.first.certificate])
        self.assertEqual(self.errors(), 1)
        self.write(self.second)
        self.assertEqual(self.later(), [self.second.certificate])
        self.assertEqual(self.errors(), 0)

    def test_authorities(self):
        """
        Authorities for clients are read again with it.
        """
        path = self.certificate.with_name("clients.pem")
        path.write_bytes(self.authority.certificate)
        self.tls = self.open(str(path))
        old = self.tls.serverConnectionForTLS(None).get_context()
        self.replace(path, Authority("others").certificate)
        self.later()
        self.assertIsNot(self.tls.serverConnectionForTLS(None).get_context(), old)
        self.assertEqual(self.errors(), 0)
