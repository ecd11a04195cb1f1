"""
What is shown of users that are not known, so that they look like those that are.
"""

import hmac

from extretr.sasl.scram import ITERATIONS, SALT_OCTETS, ScramKeys


class StandIns:
    """
    Salts, passwords and keys, always the same for a name, that tell nothing of it.
    """

    def __init__(self, key: bytes) -> None:
        """
        Args:
            key: what they are derived from; secret, or everybody could tell them.
        """
        self._key = key

    def salt(self, user: bytes, octets: int = SALT_OCTETS) -> bytes:
        """
        Give the salt of a user, known or not, who has none in the users file.
        """
        salt = b""
        while len(salt) < octets:
            salt += self._derive(b"salt %d" % len(salt), user)
        return salt[:octets]

    def password(self, user: bytes) -> bytes:
        """
        Give a password that nobody has.
        """
        return self._derive(b"password", user).hex().encode("ascii")

    def keys(
        self,
        user: bytes,
        iterations: int = ITERATIONS,
        salt_octets: int = SALT_OCTETS,
    ) -> ScramKeys:
        """
        Give keys that nobody has.
        """
        stored_key, server_key = (
            self._derive(what, user) for what in (b"stored", b"server")
        )
        return ScramKeys(
            iterations, self.salt(user, salt_octets), stored_key, server_key
        )

    def choose(self, user: bytes, count: int) -> int:
        """
        Give an index below *count*.
        """
        return int.from_bytes(self._derive(b"model", user)) % count

    def _derive(self, what: bytes, user: bytes) -> bytes:
        return hmac.digest(self._key, b"%b\0%b" % (what, user), "sha256")
