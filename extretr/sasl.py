"""
SASL mechanisms (RFC 4422): what is said after ``AUTH``, as raw octets.

A mechanism knows nothing of POP3 nor of base64; who has the connection carries
challenges to it and responses from it.  Here is the client's side: `Plain` (RFC
4616), `ScramSha256` (RFC 5802, RFC 7677), `OAuthBearer` (RFC 7628) and `XOAuth2`.
"""

import json
from typing import Protocol

from scramp import ScramClient, ScramException

from extretr.errors import ExtRetrError

#: Characters of a server's status that are kept.
_STATUS_LIMIT = 200


class SaslError(ExtRetrError):
    """
    A user or secret that the mechanism cannot carry, or a peer that breaks its rules.
    """


class Mechanism(Protocol):
    """
    One conversation by a mechanism, on the client's side.
    """

    @property
    def name(self) -> bytes:
        """
        What it is called in ``AUTH`` and in the capabilities.
        """

    def initial(self) -> bytes | None:
        """
        Give the initial response, None where the server speaks first.
        """

    def respond(self, challenge: bytes) -> bytes:
        """
        Give the response to a challenge.

        Raises:
            SaslError: where the challenge makes no sense.
        """

    def complete(self) -> None:
        """
        Take note that the server has let us in.

        Raises:
            SaslError: where it has not proved itself, as the mechanism demands.
        """


class Plain:
    """
    User and password as they are (RFC 4616).
    """

    name = b"PLAIN"

    def __init__(self, user: bytes, password: bytes) -> None:
        """
        Take user and password.

        Raises:
            SaslError: where one of them is empty or holds NUL.
        """
        for what, octets in (("user name", user), ("password", password)):
            if not octets:
                raise SaslError(f"PLAIN cannot carry an empty {what}")
            if b"\0" in octets:
                raise SaslError(f"PLAIN cannot carry a {what} that holds NUL")
        self._initial = b"\0%b\0%b" % (user, password)

    def initial(self) -> bytes:
        """
        Give all that there is to say.
        """
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        """
        Refuse: a challenge has no place in PLAIN.

        Raises:
            SaslError: always.
        """
        raise SaslError("the server sent a challenge, which PLAIN does not have")

    def complete(self) -> None:
        """
        Take note of success; the server has nothing to prove.
        """


class ScramSha256:
    """
    Proofs of knowing the password, to and fro (RFC 5802, RFC 7677).

    The server learns nothing that would let it log in elsewhere, and is believed only
    after it has proved that it knows the user.
    """

    def __init__(
        self,
        user: bytes,
        password: bytes,
        channel_binding: tuple[str, bytes] | None = None,
        *,
        plus: bool = True,
        nonce: str | None = None,
    ) -> None:
        """
        Take user and password.

        Args:
            user: in UTF-8, as is the password.
            password: of the user.
            channel_binding: the binding's type ("tls-unique" or
                "tls-server-end-point") and its data, where TLS gives one.
            plus: whether the server offers SCRAM-SHA-256-PLUS.  Where it does not, the
                server is told that we could have used it, so that an offer which was
                taken out on the way does not go unnoticed (RFC 5802, section 6).
            nonce: what to use in the place of a random one, for tests.

        Raises:
            SaslError: where SCRAM cannot carry one of these.
        """
        binds = channel_binding is not None and plus
        name = "SCRAM-SHA-256-PLUS" if binds else "SCRAM-SHA-256"
        self.name = name.encode("ascii")
        try:
            self._client = ScramClient(
                [name],
                _text(user, "user name"),
                _text(password, "password"),
                channel_binding=channel_binding,
                c_nonce=nonce,
            )
            self._initial: bytes = self._client.get_client_first().encode()
        except ScramException as error:
            raise SaslError(f"SCRAM cannot be used: {_reason(error)}") from error
        self._steps = [self._prove, self._verify]
        self._verified = False

    def initial(self) -> bytes:
        """
        Give the client's first message: who wants to log in.
        """
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        """
        Give the proof for the server's first message, nothing for its final one.

        Raises:
            SaslError: for any other message, and where a message is not of a server
                that knows the password.
        """
        if not self._steps:
            raise SaslError("the server sent more challenges than SCRAM has")
        step = self._steps.pop(0)
        try:
            return step(challenge.decode("utf-8"))
        except UnicodeDecodeError:
            raise SaslError("the server's SCRAM message is no text") from None
        except ScramException as error:
            raise SaslError(f"SCRAM has failed: {_reason(error)}") from error

    def complete(self) -> None:
        """
        Take note of success.

        Raises:
            SaslError: where the server has not proved that it knows the user.
        """
        if not self._verified:
            raise SaslError("the server has not proved that it knows the password")

    def _prove(self, message: str) -> bytes:
        self._client.set_server_first(message)
        final: str = self._client.get_client_final()
        return final.encode()

    def _verify(self, message: str) -> bytes:
        self._client.set_server_final(message)
        self._verified = True
        return b""


class _Bearer:
    """
    A token in the place of a password; where it is refused the server says why.
    """

    #: What is said after the server has told its reasons: it waits for something.
    _acknowledgement: bytes

    def __init__(self, initial: bytes) -> None:
        self._initial = initial
        #: Why the token was refused, as the server has it ("invalid_token", "400").
        self.status: str | None = None

    def initial(self) -> bytes:
        """
        Give all that there is to say.
        """
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        """
        Take the server's reasons for a refusal, which follows.

        Raises:
            SaslError: where they are no JSON object, or came before.
        """
        if self.status is not None:
            raise SaslError("the server sent a challenge after its refusal")
        try:
            reasons = json.loads(challenge)
        except (ValueError, RecursionError):
            reasons = None
        if not isinstance(reasons, dict):
            raise SaslError("the server's challenge is no JSON object")
        status = str(reasons.get("status", "unknown"))[:_STATUS_LIMIT]
        self.status = status if status.isprintable() else ascii(status)
        return self._acknowledgement

    def complete(self) -> None:
        """
        Take note of success; the server has nothing to prove.
        """


class OAuthBearer(_Bearer):
    """
    An OAuth token (RFC 7628).
    """

    name = b"OAUTHBEARER"
    _acknowledgement = b"\x01"

    def __init__(
        self, user: bytes, token: bytes, host: str = "", port: int = 0
    ) -> None:
        """
        Take user and token, and the server that was connected to where it is known.

        Raises:
            SaslError: where one of them cannot be carried.
        """
        name = _visible(user).replace(b"=", b"=3D").replace(b",", b"=2C")
        parts = [b"n,a=%b," % name]
        if host:
            parts.append(b"host=%b" % _visible(host.encode()))
        if port:
            parts.append(b"port=%d" % port)
        parts.append(b"auth=Bearer " + _token(token))
        super().__init__(b"\x01".join([*parts, b"", b""]))


class XOAuth2(_Bearer):
    """
    An OAuth token, in the form that was there before RFC 7628.
    """

    name = b"XOAUTH2"
    _acknowledgement = b""

    def __init__(self, user: bytes, token: bytes) -> None:
        """
        Take user and token.

        Raises:
            SaslError: where one of them cannot be carried.
        """
        super().__init__(
            b"user=%b\x01auth=Bearer %b\x01\x01" % (_visible(user), _token(token))
        )


def _reason(error: ScramException) -> str:
    text = str(error.args[0]).rstrip(".")
    code = error.server_error.value if error.server_error else "other-error"
    return text if code == "other-error" else f"{text} ({code})"


def _text(octets: bytes, what: str) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        # The error holds the octets: it must not be seen.
        pass
    raise SaslError(f"SCRAM cannot carry a {what} that is not UTF-8")


def _visible(user: bytes) -> bytes:
    """
    Give what holds no control octet: these end the fields of the OAuth mechanisms.
    """
    if not user or any(octet < 0x20 or octet == 0x7F for octet in user):
        raise SaslError("the user name is empty or holds a control character")
    return user


def _token(token: bytes) -> bytes:
    if not token or any(not 0x21 <= octet <= 0x7E for octet in token):
        raise SaslError("the token is empty, or holds what no token holds")
    return token
