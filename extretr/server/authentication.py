"""
The AUTH command (RFC 5034), and which mechanisms a session offers.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from extretr.errors import BadExchange, ExchangeCancelled, NotBase64, ResponseTooLong
from extretr.sasl.binding import bindings_of
from extretr.sasl.errors import SaslError
from extretr.server.conversation import Conversation, decoded
from extretr.server.credentials import ApopCredentials, IChangingChecker
from extretr.server.login import PASSWORD_IN_CLEAR, LoginMixin
from extretr.server.mechanisms import MECHANISMS, Mechanism, challenged
from extretr.syntax import success

NO_SUCH_MECHANISM = b"no such mechanism is offered"


class AuthMixin(LoginMixin):
    """
    How a session logs in by SASL.
    """

    #: Whether the greeting has an APOP challenge, and APOP is checked by the portal.
    apop = False

    magic: bytes | None
    _response: "Deferred[bytes] | None" = None
    _identity: bytes | None = None

    # What is offered

    def listCapabilities(self) -> list[bytes]:
        """
        Give the capabilities, with the mechanisms that can be used here and now.
        """
        stock = super().listCapabilities()
        capabilities = [tag for tag in stock if not tag.startswith(b"SASL")]
        names = self.saslMechanisms()
        if names:
            capabilities.append(b"SASL " + b" ".join(names))
        if self.authResponseCodes:
            capabilities.append(b"AUTH-RESP-CODE")
        return capabilities

    def saslMechanisms(self) -> list[bytes]:
        """
        Give the names of the mechanisms that can be used here and now.
        """
        names = [name.upper() for name in self._challengers()]
        for name, mechanism in MECHANISMS.items():
            if mechanism.open and not self._mayLogInInClear():
                continue
            if self._knows(name, mechanism) and self._checks(mechanism.credentials):
                names.append(name)
        return names

    def saslPortals(self) -> list[Any]:
        """
        Give the portals that one may log in at: what all can check is offered.
        """
        return [] if self.portal is None else [self.portal]

    def authenticateUserSASL(self, credentials: Any) -> Any:
        """
        Log in at the portal by other credentials than name and password.
        """
        return self._logInAt(self.portal, credentials)

    def _challengers(self) -> Mapping[bytes, Callable[[], Any]]:
        """
        Give what stock's factories may have in the way of mechanisms.
        """
        return getattr(self.factory, "challengers", None) or {}

    def _knows(self, name: bytes, mechanism: Mechanism) -> bool:
        """
        Tell whether a mechanism could be used on this connection, by some user.
        """
        if name == b"EXTERNAL" and self.peerCertificate() is None:
            return False
        if name.endswith(b"-PLUS") and not self._bindings():
            return False
        portals = self.saslPortals()
        return bool(portals) and all(
            mechanism.credentials in portal.listCredentialsInterfaces()
            for portal in portals
        )

    def _checks(self, interface: Any) -> bool:
        """
        Tell whether the portals can check such credentials at present.
        """
        checkers = (portal.checkers.get(interface) for portal in self.saslPortals())
        return all(
            checker.checks(interface)
            for checker in checkers
            if IChangingChecker.providedBy(checker)
        )

    # The connection

    def _bindings(self) -> Mapping[str, bytes]:
        connection = self._connection() if self.isUnderTLS() else None
        if not hasattr(connection, "export_keying_material"):
            return {}
        if not self._isHandshaken():
            # Who speaks in clear behind STLS is told what there was before.
            return {}
        return bindings_of(connection, server=True)

    # AUTH

    def do_AUTH(self, name: bytes | None = None, initial: bytes | None = None) -> Any:
        """
        Log in by a SASL mechanism; without one, list them.
        """
        self._userIs = None
        if name is None:
            self._listMechanisms()
            return None
        name = name.upper()
        mechanism = self._mechanismOf(name)
        if mechanism is None:
            self.failResponse(NO_SUCH_MECHANISM)
            return None
        if mechanism.open and not self._mayLogInInClear():
            self.failResponse(PASSWORD_IN_CLEAR)
            return None
        if initial is not None and mechanism.credentials is None:
            self.failResponse(b"this mechanism has no initial response")
            return None
        said = None if initial is None else decoded(b"" if initial == b"=" else initial)
        return self._run(self._converse(Conversation(self, name, said), mechanism))

    def _listMechanisms(self) -> None:
        names = self.saslMechanisms()
        if not names:
            self.failResponse(b"AUTH extension unsupported")
            return
        lines = [b"%b\r\n" % name for name in names]
        greeting = success(b"Supported authentication methods:")
        self.transport.write(b"".join([greeting, *lines, b".\r\n"]))

    def _mechanismOf(self, name: bytes) -> Mechanism | None:
        """
        Give a mechanism by its name.

        One that only some users can use is not offered, but they may use it.
        """
        for each, factory in self._challengers().items():
            if each.upper() == name and factory is not None and self.portal is not None:
                return challenged(factory)
        mechanism = MECHANISMS.get(name)
        if mechanism is not None and self._knows(name, mechanism):
            return mechanism
        return None

    async def _converse(self, talk: Conversation, mechanism: Mechanism) -> None:
        try:
            await mechanism.converse(talk)
        except SaslError:
            # Its text may hold what the peer has said.
            raise BadExchange from None

    def _askPeer(self, challenge: bytes) -> "Deferred[bytes]":
        response: Deferred[bytes] = Deferred(self._forgetResponse)
        self._response = response
        self.state = "AUTH"
        self.transport.write(b"+ %b\r\n" % b64encode(challenge))
        if self.blocked is not None:
            # What was pipelined may be the response.
            self._work()
        return response

    def _takeResponse(self) -> "Deferred[bytes] | None":
        response, self._response = self._response, None
        self.state = "COMMAND"
        return response

    def _forgetResponse(self, _: object) -> None:
        self._takeResponse()

    def state_AUTH(self, line: bytes) -> None:
        """
        Take a response.
        """
        response = self._takeResponse()
        if response is None:
            return
        if line == b"*":
            response.errback(ExchangeCancelled())
            return
        try:
            said = decoded(line)
        except NotBase64 as error:
            response.errback(error)
        else:
            response.callback(said)

    def _longLineReceived(self) -> None:
        response = self._takeResponse()
        if response is None:
            super()._longLineReceived()
        else:
            response.errback(ResponseTooLong())

    def _loggedIn(self, result: Any, user: bytes) -> None:
        # Who it is may be known by the token or the certificate only.
        super()._loggedIn(result, self._identity or user)

    # APOP

    def generateMagic(self) -> Any:
        """
        Give the greeting, with an APOP challenge where that is wanted.
        """
        if self.apop:
            return super(LoginMixin, self).generateMagic()  # type: ignore[misc]
        return super().generateMagic()

    def do_APOP(self, user: bytes, digest: bytes) -> None:
        """
        Log in by APOP (RFC 1939, section 7).
        """
        if not self.apop:
            super().do_APOP(user, digest)
            return
        self._userIs = None
        assert self.magic is not None
        credentials = ApopCredentials(self.magic, user, digest)
        self._logIn("APOP", user, lambda: self.authenticateUserSASL(credentials))
