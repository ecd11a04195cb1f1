"""
SCRAM-SHA-256 on the server's side (RFC 5802, RFC 7677), and the keys that it knows.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from secrets import token_bytes
from typing import Any, NamedTuple, Self

from scramp import ScramException, ScramMechanism

from extretr.sasl.binding import END_POINT, EXPORTER, ExporterHeader
from extretr.sasl.errors import SaslError

#: Iterations for keys that are made here (RFC 7677, section 4, recommends as many).
ITERATIONS = 15_000

#: What scramp takes: fewer are weak, and more would keep a client busy for long.
_LEAST_ITERATIONS = 4096
_MOST_ITERATIONS = 10_000_000

#: Octets in salts that are made here, as in those that Dovecot makes.
SALT_OCTETS = 16

_LEAST_SALT_OCTETS = 12
_KEY_OCTETS = 32


class WrongProof(SaslError):
    """
    The client does not know the password, or is not at the other end of our TLS.
    """


class ScramKeys(NamedTuple):
    """
    What a server has of a password, by which it can neither be known nor used.
    """

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read the form that Dovecot has: ``iterations,salt,stored key,server key``.

        Raises:
            ValueError: where it is not that; the text holds no key.
        """
        try:
            count, *words = text.split(",")
            salt, stored_key, server_key = (
                b64decode(word, validate=True) for word in words
            )
            iterations = int(count)
        except ValueError:
            raise ValueError("it is not iterations,salt,key,key") from None
        if not _LEAST_ITERATIONS <= iterations <= _MOST_ITERATIONS:
            raise ValueError(
                f"the iterations are not {_LEAST_ITERATIONS} to {_MOST_ITERATIONS}"
            )
        if len(salt) < _LEAST_SALT_OCTETS:
            raise ValueError(f"the salt is shorter than {_LEAST_SALT_OCTETS} octets")
        if len(stored_key) != _KEY_OCTETS or len(server_key) != _KEY_OCTETS:
            raise ValueError("a key is not as long as SHA-256 has it")
        return cls(iterations, salt, stored_key, server_key)

    @classmethod
    def of_password(
        cls, password: bytes, salt: bytes | None = None, iterations: int = ITERATIONS
    ) -> Self:
        """
        Derive the keys of a password; salt is random where it is None.

        Raises:
            ValueError: where the password is none that SCRAM takes (RFC 4013).
        """
        mechanism = ScramMechanism("SCRAM-SHA-256")
        salt = token_bytes(SALT_OCTETS) if salt is None else salt
        try:
            text = password.decode("utf-8")
            made = mechanism.make_auth_info(text, iterations, salt)
        except (UnicodeDecodeError, ScramException):
            # The error holds the octets: it must not be seen.
            made = None
        if made is None:
            raise ValueError("SCRAM takes only passwords in UTF-8 without controls")
        _, stored_key, server_key, _ = made
        return cls(iterations, salt, stored_key, server_key)

    def matches(self, password: bytes) -> bool:
        """
        Tell whether these are the keys of a password.
        """
        try:
            others = type(self).of_password(password, self.salt, self.iterations)
        except ValueError:
            return False
        return hmac.compare_digest(others.stored_key, self.stored_key)

    def __str__(self) -> str:
        words = (self.salt, self.stored_key, self.server_key)
        encoded = (b64encode(word).decode("ascii") for word in words)
        return ",".join([str(self.iterations), *encoded])


class ScramServer:
    """
    One conversation: `begin`, `challenge`, `finish`.
    """

    def __init__(
        self,
        bindings: Mapping[str, bytes],
        *,
        plus: bool,
        nonce: str | None = None,
    ) -> None:
        """
        Args:
            bindings: the channel bindings that the client may use, by their types.
                Where there are any, it must know that it might.
            plus: whether it has to use one: SCRAM-SHA-256-PLUS.
            nonce: what to use in the place of a random one, for tests.

        Raises:
            SaslError: where it has to, and there is none.
        """
        if plus and not bindings:
            raise SaslError("there is no channel that could be bound to")
        self._bindings = bindings
        self._mechanism = ScramMechanism(
            "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        )
        self._plus = plus
        self._nonce = nonce
        self._message = ""

    def begin(self, message: bytes) -> bytes:
        """
        Take the client's first message; give the user that it names.

        Raises:
            SaslError: where it makes no sense, or the offer that the client has seen
                is not ours.
        """
        try:
            self._message = message.decode("utf-8")
        except UnicodeDecodeError:
            raise SaslError("the SCRAM message is no text") from None
        users: list[str] = []

        def note(user: str) -> None:
            users.append(user)

        # scramp wants the keys along with the message, and who has them may take time:
        # a first conversation tells only whose keys they are.
        try:
            self._take(note)
        except ScramException as error:
            if not users:
                raise SaslError(_reason(error)) from None
        return users[0].encode("utf-8")

    def challenge(self, keys: ScramKeys) -> bytes:
        """
        Give the server's first message.
        """
        known = (keys.salt, keys.stored_key, keys.server_key, keys.iterations)
        self._server = self._take(lambda user: known)
        message: str = self._server.get_server_first()
        return message.encode("utf-8")

    def finish(self, message: bytes) -> bytes:
        """
        Take the client's proof; give the server's own.

        Raises:
            WrongProof: where it is wrong.
            SaslError: where the message makes no sense.
        """
        try:
            self._server.set_client_final(message.decode("utf-8"))
            proof: str = self._server.get_server_final()
        except UnicodeDecodeError:
            raise SaslError("the SCRAM message is no text") from None
        except ScramException as error:
            code = "" if error.server_error is None else error.server_error.value
            if code in ("invalid-proof", "channel-bindings-dont-match"):
                raise WrongProof(_reason(error)) from None
            raise SaslError(_reason(error)) from None
        return proof.encode("utf-8")

    def _take(self, keys_of: Callable[[str], Any]) -> Any:
        flag, comma, rest = self._message.partition(",")
        kind = flag.removeprefix("p=") if flag.startswith("p=") else ""
        if kind and not self._plus:
            raise ScramException("channel binding is for SCRAM-SHA-256-PLUS")
        message, header = self._message, None
        if kind:
            binding = kind, self._bindings.get(kind, b"")
            if not binding[1]:
                raise ScramException("a channel binding of that type is not offered")
            if kind == EXPORTER:
                header = ExporterHeader(binding[1])
                binding = END_POINT, binding[1]
                message = f"p={END_POINT}{comma}{rest}"
        else:
            # Any will do: scramp refuses a client that believes we have none.
            binding = next(iter(self._bindings.items()), None)  # type: ignore[assignment]
            if binding is not None and binding[0] == EXPORTER:
                binding = END_POINT, binding[1]
        server = self._mechanism.make_server(keys_of, binding, self._nonce)
        server.set_client_first(message)
        if header is not None:
            server.gs2_header = header
        # The same in both conversations.
        self._nonce = str(server.s_nonce)
        return server


def _reason(error: ScramException) -> str:
    return str(error.args[0]).rstrip(".")
