"""
Users by their certificates: which name in a certificate is the user's.
"""

from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from extretr.server.credentials import ICertificate

#: Where the name stands: the common name of the subject, or the e-mail address among
#: the alternative names.
RULES = ("cn", "email")


def names_in(certificate: Any, rule: str) -> list[str]:
    """
    Give the names that a certificate has by one of `RULES`.

    Args:
        certificate: an ``OpenSSL.crypto.X509``.
        rule: one of `RULES`.
    """
    found = certificate.to_cryptography()
    if rule == "cn":
        attributes = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(attribute.value) for attribute in attributes]
    kind = x509.SubjectAlternativeName
    try:
        alternatives = found.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return []
    return list(alternatives.get_values_for_type(x509.RFC822Name))


@implementer(ICredentialsChecker)
class CertificateUsers:
    """
    Lets in whom a verified certificate names.
    """

    credentialInterfaces = (ICertificate,)

    def __init__(self, rule: str, known: Any = None) -> None:
        """
        Args:
            rule: one of `RULES`.
            known: tells whether there is such a user; None for everybody.
        """
        self._rule = rule
        self._known = known

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        Give the name in the certificate.

        Raises:
            UnauthorizedLogin: where it has none or several, where another is asked for,
                or where there is no such user.
        """
        try:
            names = names_in(credentials.certificate, self._rule)
        except ValueError:
            # An extension that cannot be read.
            names = []
        if len(names) != 1:
            raise UnauthorizedLogin
        name = names[0].encode("utf-8")
        if credentials.username not in (b"", name):
            raise UnauthorizedLogin
        if self._known is not None and not self._known(name):
            raise UnauthorizedLogin
        credentials.identity = name
        return name
