"""
`extretr.server.certificate_users`: which name in a certificate is the user's.
"""

from OpenSSL.crypto import FILETYPE_PEM, load_certificate
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.certificate_users import RULES, CertificateUsers
from extretr.server.credentials import CertificateCredentials, ICertificate
from tests.secure import user_certificate


class CertificateTests(SynchronousTestCase):
    """
    One rule, one name.
    """

    def ask(self, rule, pem, user=b"", known=None):
        certificate = load_certificate(FILETYPE_PEM, pem)
        self.credentials = CertificateCredentials(user, certificate)
        verifyObject(ICertificate, self.credentials)
        checker = CertificateUsers(rule, known)
        verifyObject(ICredentialsChecker, checker)
        return checker.requestAvatarId(self.credentials)

    def test_rules(self):
        """
        The name is the common name, or the e-mail address, as the rule has it.
        """
        pem = user_certificate("bob", "bob@example.org")
        for rule, name in zip(RULES, (b"bob", b"bob@example.org"), strict=True):
            self.assertEqual(self.ask(rule, pem), name)
            self.assertEqual(self.credentials.identity, name)
            self.assertEqual(self.ask(rule, pem, name), name)
            self.assertEqual(self.ask(rule, pem, known={name}.__contains__), name)
            for refused in ({"user": b"eve"}, {"known": set().__contains__}):
                self.assertRaises(
                    UnauthorizedLogin, self.ask, rule, pem, **refused
                )  # fmt: skip
                self.assertIsNone(self.credentials.identity)

    def test_notOne(self):
        """
        A certificate with no such name, or several, is nobody's.
        """
        for rule, pem in [
            ("cn", user_certificate("")),
            ("cn", user_certificate("bob/eve")),
            ("email", user_certificate("bob")),
            ("email", user_certificate("bob", "bob@x.org", "eve@x.org")),
        ]:
            self.assertRaises(UnauthorizedLogin, self.ask, rule, pem)
