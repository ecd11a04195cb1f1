"""
The client's side of the mechanisms that carry an OAuth token.
"""

import json

from extretr.sasl.errors import SaslError

#: Characters of a server's status that are kept.
_STATUS_LIMIT = 200


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
        name = visible(user).replace(b"=", b"=3D").replace(b",", b"=2C")
        parts = [b"n,a=%b," % name]
        if host:
            parts.append(b"host=%b" % visible(host.encode()))
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
            b"user=%b\x01auth=Bearer %b\x01\x01" % (visible(user), _token(token))
        )


def visible(user: bytes) -> bytes:
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
