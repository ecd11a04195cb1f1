"""
Password schemes, under the names that Dovecot has for them.

Each is verified and made by passlib, or scramp; this module only tells which name is
which.
"""

import hmac
from collections.abc import Callable
from typing import NamedTuple

from passlib.context import CryptContext
from passlib.hash import (
    argon2,
    bcrypt,
    des_crypt,
    ldap_salted_sha1,
    md5_crypt,
    sha256_crypt,
    sha512_crypt,
)

from extretr.sasl.scram import ScramKeys

#: bcrypt reads no more of a password; crypt(3) and Dovecot cut it off there.
BCRYPT_OCTETS = 72

# The backends load lazily, and not safely from two threads at once, nor where the
# privileges are gone by which they can be read.
for _handler in (argon2, bcrypt, des_crypt, md5_crypt, sha256_crypt, sha512_crypt):
    _handler.set_backend()

#: What crypt(3) knows by the look of the hash alone.
_CRYPT = CryptContext(
    ["sha512_crypt", "sha256_crypt", "bcrypt", "md5_crypt", "des_crypt"]
)


class Account(NamedTuple):
    """
    What the file says of a user.
    """

    scheme: str
    hash: str

    @property
    def octets(self) -> bytes:
        """
        The hash as it stands in the file: of those in clear, the password.
        """
        return self.hash.encode("utf-8", "surrogateescape")


class Scheme(NamedTuple):
    """
    How one scheme verifies and makes.
    """

    #: Whether a hash is that of a password.
    verify: Callable[[bytes, str], bool]
    #: Makes the hash of a password.
    make: Callable[[bytes], str]
    #: Whether it takes so long that other sessions would notice.
    slow: bool


def _plain(password: bytes, stored: str) -> bool:
    return hmac.compare_digest(password, stored.encode("utf-8", "surrogateescape"))


def _crypt(password: bytes, stored: str) -> bool:
    if stored.startswith("$2"):
        password = password[:BCRYPT_OCTETS]
    return bool(_CRYPT.verify(password, stored))


def _bcrypt(password: bytes, stored: str) -> bool:
    return bool(bcrypt.verify(password[:BCRYPT_OCTETS], stored))


def _ssha(password: bytes, stored: str) -> bool:
    return bool(ldap_salted_sha1.verify(password, "{SSHA}" + stored))


def _scram(password: bytes, stored: str) -> bool:
    return ScramKeys.parse(stored).matches(password)


def _make_scram(password: bytes) -> str:
    return str(ScramKeys.of_password(password))


def _make_plain(password: bytes) -> str:
    return password.decode("utf-8", "surrogateescape")


def _make_ssha(password: bytes) -> str:
    return str(ldap_salted_sha1.hash(password)).removeprefix("{SSHA}")


_IN_CLEAR = Scheme(_plain, _make_plain, False)

SCHEMES = {
    "PLAIN": _IN_CLEAR,
    "CLEARTEXT": _IN_CLEAR,
    "CRYPT": Scheme(_crypt, sha512_crypt.hash, True),
    "SHA256-CRYPT": Scheme(sha256_crypt.verify, sha256_crypt.hash, True),
    "SHA512-CRYPT": Scheme(sha512_crypt.verify, sha512_crypt.hash, True),
    "BLF-CRYPT": Scheme(_bcrypt, bcrypt.hash, True),
    "ARGON2ID": Scheme(argon2.verify, argon2.hash, True),
    "SSHA": Scheme(_ssha, _make_ssha, False),
    "SCRAM-SHA-256": Scheme(_scram, _make_scram, True),
}

#: Those by which the password itself is known.
IN_CLEAR = frozenset({"PLAIN", "CLEARTEXT"})

#: Those by which SCRAM-SHA-256 can be served.
FOR_SCRAM = IN_CLEAR | {"SCRAM-SHA-256"}

#: What `extretr password` makes unless told otherwise.
DEFAULT_SCHEME = "ARGON2ID"
