"""
How the client proves who its user is: the mechanism, and its conversation.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.mail.pop3 import LineTooLong
from twisted.python.failure import Failure

from extretr.client.exchange import Exchange, Refused, status_of
from extretr.client.refusals import NotOffered, ProtocolViolation
from extretr.sasl import Mechanism, OAuthBearer, Plain, SaslError, ScramSha256, XOAuth2
from extretr.sasl.binding import bindings_of

#: What `mechanism_for` knows.  "auto" takes the best that is offered and takes a
#: password; "user" is USER and PASS; "apop" is for the caller.
METHODS = ("auto", "scram-sha-256", "plain", "user", "oauthbearer", "xoauth2", "apop")

#: Octets of an AUTH command with its initial response and CRLF (RFC 5034, section 4);
#: what does not fit is sent when the server asks for it.
_COMMAND_LIMIT = 255

#: Octets of a challenge (RFC 5034, section 4).
_CHALLENGE_LIMIT = 12288


def mechanism_for(
    client: Any, offered: dict[bytes, Any], user: bytes, secret: bytes
) -> Mechanism | None:
    """
    Choose the mechanism to log in by; None for USER and PASS.

    Args:
        client: its *authentication* is what is wanted, its *hostname* the server's.
        offered: the server's capabilities.
        user: who logs in.
        secret: the password, or the token of OAuth.

    Raises:
        NotOffered: where the server lacks what is wanted.
        SaslError: where the mechanism cannot take this user or secret.
    """
    wanted = client.authentication
    listed = offered.get(b"SASL") or b""
    # Twisted's own tests have a line that is not split.
    words = listed.split() if isinstance(listed, bytes) else listed
    names = {word.upper() for word in words}
    binding = _binding_of(client)
    plus = b"SCRAM-SHA-256-PLUS" in names
    scram = b"SCRAM-SHA-256" in names or (plus and binding is not None)
    if wanted == "auto":
        if scram:
            wanted = "scram-sha-256"
        elif b"PLAIN" in names:
            wanted = "plain"
        else:
            wanted = "user"
    if wanted == "user":
        # Servers without CAPA do not list USER, and nearly all have it.
        return None
    if wanted == "scram-sha-256" and scram:
        return ScramSha256(user, secret, binding, plus=plus)
    if wanted == "scram-sha-256" or wanted.upper().encode() not in names:
        raise NotOffered(f"the server does not offer to log in by {wanted.upper()}")
    if wanted == "plain":
        return Plain(user, secret)
    if wanted == "xoauth2":
        return XOAuth2(user, secret)
    peer = client.transport.getPeer()
    host = client.hostname or getattr(peer, "host", "")
    return OAuthBearer(user, secret, host, getattr(peer, "port", 0))


def _binding_of(client: Any) -> tuple[str, bytes] | None:
    """
    Give the best channel binding of a client's connection, None without TLS.
    """
    if not client.isSecure or not ISSLTransport.providedBy(client.transport):
        return None
    handle = getattr(client.transport, "getHandle", None)
    connection = None if handle is None else handle()
    if not hasattr(connection, "export_keying_material"):
        return None
    return next(iter(bindings_of(connection, server=False).items()), None)


class Authentication(Exchange):
    """
    The AUTH command with the challenges and responses that follow (RFC 5034).
    """

    def __init__(self, mechanism: Mechanism, send: Callable[[bytes], object]) -> None:
        self._mechanism = mechanism
        self._send = send
        self._initial = mechanism.initial()
        self._failed: SaslError | None = None
        command = b"AUTH " + mechanism.name
        if self._initial is not None:
            whole = command + b" " + (b64encode(self._initial) or b"=")
            if len(whole) + 2 <= _COMMAND_LIMIT:
                command, self._initial = whole, None
        super().__init__(command, alone=True)
        self.result: Deferred[Any]

    def feed(self, octets: bytes) -> bytes | None:
        """
        Take octets, answer challenges: see `Exchange`.
        """
        while (split := self.takeLine(octets)) is not None:
            line, octets = split
            if line != b"+" and not line.startswith(b"+ "):
                return self._conclude(line, octets)
            if self._failed is not None:
                # It was told to stop.  Nobody goes on so for ever.
                raise ProtocolViolation("the server does not end the login")
            if len(line) > _CHALLENGE_LIMIT:
                raise LineTooLong("the server sent a line that is far too long")
            self._respond(line[2:])
        return None

    def _respond(self, challenge: bytes) -> None:
        try:
            raw = b64decode(challenge, validate=True)
            if self._initial is not None:
                response, self._initial = self._initial, None
            else:
                response = self._mechanism.respond(raw)
        except (SaslError, binascii.Error) as error:
            if not isinstance(error, SaslError):
                error = SaslError("the server's challenge is no base64")
            self._failed = error
            self._send(b"*")
        else:
            self._send(b64encode(response))

    def _conclude(self, line: bytes, rest: bytes) -> bytes:
        try:
            self.answer = status_of(line, rest)
            if self._failed is None:
                self._mechanism.complete()
        except SaslError as error:
            self._failed = error
        except Refused:
            if self._failed is None:
                raise
        if self._failed is not None:
            # Whoever that is at the other end, it is not who it should be.
            self.answer = Failure(self._failed)
        return rest
