"""
The client's side of SASL mechanisms.
"""

from typing import Protocol

from scramp import ScramClient, ScramException

from extretr.sasl.bearer import visible
from extretr.sasl.binding import END_POINT, EXPORTER, ExporterHeader
from extretr.sasl.errors import SaslError


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
            channel_binding: the binding's type ("tls-exporter", "tls-unique" or
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
        header = None
        if channel_binding is not None and channel_binding[0] == EXPORTER:
            if binds:
                header = ExporterHeader(channel_binding[1])
            channel_binding = END_POINT, channel_binding[1]
        try:
            self._client = ScramClient(
                [name],
                _text(user, "user name"),
                _text(password, "password"),
                channel_binding=channel_binding,
                c_nonce=nonce,
            )
            if header is not None:
                self._client.gs2_header = header
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


class External:
    """
    What TLS has proved already: the client's certificate (RFC 4422, appendix A).
    """

    name = b"EXTERNAL"

    def __init__(self, user: bytes = b"") -> None:
        """
        Take the name to have, which may be empty: then it is the certificate's.

        Raises:
            SaslError: where it cannot be carried.
        """
        self._initial = visible(user) if user else user

    def initial(self) -> bytes:
        """
        Give the name.
        """
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        """
        Refuse: a challenge has no place in EXTERNAL.

        Raises:
            SaslError: always.
        """
        raise SaslError("the server sent a challenge, which EXTERNAL does not have")

    def complete(self) -> None:
        """
        Take note of success; the server has nothing to prove.
        """


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
