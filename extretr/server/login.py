"""
The AUTHORIZATION state: USER, PASS and APOP, and who gets in.
"""

from collections.abc import Callable
from typing import Any

from twisted.cred.error import LoginFailed
from twisted.mail import pop3, protocols
from twisted.python.failure import Failure

from extretr.coroutines import awaited
from extretr.errors import Misconfigured, ServerStops
from extretr.server.peers import is_local
from extretr.server.stls import StartTLSMixin

#: What checks APOP in stock Twisted: it compares text with octets, and never succeeds.
_STOCK_APOP = (
    pop3.POP3.authenticateUserAPOP,
    protocols.VirtualPOP3.authenticateUserAPOP,
)

PASSWORD_IN_CLEAR = b"passwords are taken over TLS only"


class LoginMixin(StartTLSMixin):
    """
    How a session logs in; commands that follow wait until it has.
    """

    #: Whether passwords are refused in clear, but for peers on this host.
    requireTLS = False

    #: Whether a refusal says that it is for the user or the password, not for the state
    #: of the server (RFC 3206).  Off, as stock has it; on in `MaildropFactory`.
    authResponseCodes = False

    #: What limits count the peer by; empty where it is not limited.
    address = ""

    # What a subclass of twisted.mail.pop3.POP3 has.
    authenticateUserPASS: Callable[..., Any]
    authenticateUserAPOP: Callable[..., Any]

    def generateMagic(self) -> Any:
        """
        Give the greeting: with an APOP challenge only where APOP can succeed.

        A client that sees one (curl does) tries APOP, and gives up when it fails.
        """
        if type(self).authenticateUserAPOP in _STOCK_APOP:
            return b"POP3 server ready"
        return super().generateMagic()  # type: ignore[misc]

    def do_USER(self, user: bytes) -> None:
        """
        Take the name of the user.
        """
        if not self._mayLogInInClear():
            self.failResponse(PASSWORD_IN_CLEAR)
            return
        super().do_USER(user)  # type: ignore[misc]

    def do_PASS(self, *words: bytes) -> None:
        """
        Take the password, which may hold spaces, and log in.
        """
        if self._userIs is None:
            self.failResponse(b"USER required before PASS")
            return
        user, self._userIs = self._userIs, None
        password = b" ".join(words)
        self._logIn("PASS", user, lambda: self.authenticateUserPASS(user, password))

    def do_APOP(self, user: bytes, digest: bytes) -> None:
        """
        Log in by APOP, as far as the portal can.
        """
        self._logIn("APOP", user, lambda: self.authenticateUserAPOP(user, digest))

    def _logIn(
        self, mechanism: str, user: bytes, authenticate: Callable[[], Any]
    ) -> None:
        self._run(self._admit(mechanism, user, authenticate))

    async def _admit(
        self, mechanism: str, user: bytes, authenticate: Callable[[], Any]
    ) -> None:
        """
        Let a user in whom *authenticate* knows, or refuse: that is the reply.
        """
        try:
            if self._stopping:
                raise ServerStops
            result = await self._authenticated(user, authenticate)
        except Exception as error:
            reason = Failure()
            self._tellLogin(reason, mechanism)
            # VirtualPOP3 raises POP3Error for a domain that it does not serve: who
            # guesses names learns nothing from it.
            if isinstance(error, LoginFailed | pop3.POP3Error):
                self._notLoggedIn()
            else:
                self._replyTo(reason)
        else:
            self._tellLogin(result, mechanism)
            self._loggedIn(result, user)

    async def _authenticated(self, user: bytes, authenticate: Callable[[], Any]) -> Any:
        """
        Give what *authenticate* gives of a user, or raise what it raises.
        """
        return await awaited(authenticate)

    def _logInAt(self, portal: Any, credentials: Any) -> Any:
        """
        Ask a portal; slow checks have their turn by address.
        """
        credentials.address = self.address
        return portal.login(credentials, self.session, pop3.IMailbox)

    def _loggedIn(self, result: Any, user: bytes) -> None:
        interface, mailbox, logout = result
        if self._over:
            # The peer hung up while it waited: nobody will log out for it.
            self._logOut(logout)
            return
        if interface is not pop3.IMailbox:
            self._logOut(logout)
            self._log.error("the realm gave no IMailboxPOP3 but {it}", it=interface)
            self.failResponse(Misconfigured().reply)
            return
        self.user = user
        self.mbox = mailbox
        self._onLogout = logout
        self.successResponse(b"Authentication succeeded")

    def _notLoggedIn(self) -> None:
        if not self._over:
            code = b"[AUTH] " if self.authResponseCodes else b""
            self.failResponse(code + b"Authentication failed")

    def _mayLogInInClear(self) -> bool:
        return (
            not self.requireTLS
            or self.isUnderTLS()
            or is_local(self.transport.getPeer())
        )
