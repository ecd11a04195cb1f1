"""
TLS in a session: STLS (RFC 2595, section 4), and handshakes and sessions that end.

Nothing that a client, or somebody on its way, sent in clear outlives the command:
what stands in the buffer behind it is no more than noise.
"""

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.mail import pop3

from extretr.server.output import handling
from extretr.server.session import SessionMixin


class StartTLSMixin(SessionMixin):
    """
    How a session goes over to TLS, or was begun in it.
    """

    #: What makes the server's side of TLS connections, and verifies clients
    #: (`extretr.server.tls.ServerTLS`); without it there is no STLS.
    tls: Any = None

    #: Seconds that a TLS handshake may take.
    handshakeTimeOut: float = 30

    #: Seconds without an acknowledgement in which a peer has to close its own end,
    #: which TLS waits for.
    closeTimeOut: float = 60

    _anyState = SessionMixin._anyState | {b"STLS"}

    _startedTLS = False
    _handshake: Any = None

    def isUnderTLS(self) -> bool:
        """
        Tell whether all that is sent and received goes through TLS.
        """
        # What wraps a transport does not tell that it has changed below.
        return self._startedTLS or bool(ISSLTransport.providedBy(self.transport))

    def peerCertificate(self) -> Any:
        """
        Give the client's verified certificate (OpenSSL.crypto.X509), None without one.
        """
        if self.tls is None or not self.isUnderTLS() or not self._isHandshaken():
            return None
        return self.tls.verifiedCertificate(self._connection())

    def listCapabilities(self) -> list[bytes]:
        """
        Give the capabilities, with STLS where it would be done.
        """
        capabilities: list[bytes] = super().listCapabilities()  # type: ignore[misc]
        if self.mbox is None and self._canStartTLS() and not self.isUnderTLS():
            capabilities.append(b"STLS")
        return capabilities

    def do_STLS(self) -> None:
        """
        Go over to TLS, and know nothing of what came before.
        """
        if self.mbox is not None:
            self.failResponse(b"STLS comes before the login")
            return
        if self.isUnderTLS():
            self.failResponse(b"TLS is on already")
            return
        if not self._canStartTLS():
            raise pop3.POP3Error(b"Unknown protocol command: STLS")
        self._forgetClear()
        self.successResponse(b"begin TLS now")
        self._startedTLS = True
        try:
            self.transport.startTLS(self.tls)
        except Exception:
            # After +OK the client speaks TLS: no reply would be understood.
            self._log.failure("TLS cannot be started")
            self._abort("TLS could not be started")
            return
        self._awaitHandshake()

    def _canStartTLS(self) -> bool:
        transport = getattr(self.transport, "original", self.transport)
        return self.tls is not None and hasattr(transport, "startTLS")

    def _forgetClear(self) -> None:
        """
        Forget all that the client said so far (RFC 2595, section 4).
        """
        self._forget()
        self._userIs = None

    # Beginning and end

    def makeConnection(self, transport: Any) -> None:
        """
        Take the transport, which may be one of TLS.
        """
        super().makeConnection(transport)
        if self.isUnderTLS() and not self._over:
            self._awaitHandshake()

    def connectionLost(self, reason: Any = None) -> None:
        """
        Let go of everything.
        """
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
            if not self._isHandshaken():
                self._finish("the TLS handshake failed")
        super().connectionLost(reason)

    def timeoutConnection(self) -> None:
        """
        Cut off a peer that is silent for too long, also one that was told goodbye.
        """
        if not self._over:
            super().timeoutConnection()
            return
        before, self._acknowledged = self._acknowledged, self._acknowledgedNow()
        if self._acknowledged == before:
            self._abort(self.ending)
        else:
            self.setTimeout(self.closeTimeOut)

    def _finish(self, ending: str) -> None:
        if not self._over:
            if getattr(self.transport, "isHandled", False):
                # Most are closed once what they were read for is done.
                handling.stays = self._awaitEnd
            else:
                self._awaitEnd()
        super()._finish(ending)

    def _awaitEnd(self) -> None:
        self._acknowledged = self._acknowledgedNow()
        self.setTimeout(self.closeTimeOut)

    def _awaitHandshake(self) -> None:
        self._handshake = self.callLater(  # type: ignore[attr-defined]
            self.handshakeTimeOut, self._handshakeDue
        )

    def _handshakeDue(self) -> None:
        self._handshake = None
        if not self._over and not self._isHandshaken():
            self._abort("the TLS handshake took too long")

    def _connection(self) -> Any:
        handle = getattr(self.transport, "getHandle", None)
        return None if handle is None else handle()

    def _isHandshaken(self) -> bool:
        # A transport that does not tell counts as one that is done.
        finished = getattr(self._connection(), "get_peer_finished", None)
        return finished is None or finished() is not None
