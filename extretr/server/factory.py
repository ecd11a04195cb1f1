"""
What makes the protocols: a factory, a mail service, and the realm of a store.
"""

from types import FunctionType
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.mail import mail, protocols
from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import implementer

from extretr.coroutines import awaited, started
from extretr.errors import UnsafeUser
from extretr.interfaces import IMaildrop, IStore
from extretr.server.protocol import ExtendedPOP3, ExtendedVirtualPOP3

#: What sessions that have logged in have of their own.  Python keeps the attributes of
#: an instance in 0.2 KiB where their names are known early, but no more than 30: each
#: instance that is made before a name is known takes one of these away, and then it is
#: 0.8 KiB, or 1.5.
_OWN = (
    *("session", "_began", "connected", "transport", "_due", "address"),
    *("_isConnected", "magic", "timeOut", "_waits"),
    *("_octetsOfStranger", "_buffer", "_working", "_taken", "_userIs"),
    *("_allowance", "_allowedAt", "_tried", "mechanism", "user", "_mailbox"),
    *("_onLogout", "_enteredAt", "blocked", "_queued", "_pending", "_handshake"),
)


class ExtendedPOP3Factory(protocols.POP3Factory):
    """
    `twisted.mail.protocols.POP3Factory` whose downloads can be resumed.
    """

    protocol = ExtendedVirtualPOP3


class ExtendedMailService(mail.MailService):
    """
    `twisted.mail.mail.MailService` whose POP3 downloads can be resumed.
    """

    def addDomain(self, name: bytes, domain: Any) -> None:
        """
        Add a domain for which mail is served.
        """
        super().addDomain(name, domain)
        # Older releases of Twisted mean to do it, and let the checkers go.
        for checker in domain.getCredentialsCheckers():
            self.portals[name].registerChecker(checker)

    def getPOP3Factory(self) -> ExtendedPOP3Factory:
        """
        Give a factory of resumable POP3 sessions for this service.
        """
        return ExtendedPOP3Factory(self)


class MaildropFactory(ServerFactory):
    """
    Makes a session for each connection, logged in at one portal.
    """

    protocol = ExtendedPOP3
    noisy = False

    def __init__(self, portal: Portal, **attributes: Any) -> None:
        """
        Args:
            portal: where sessions log in.
            attributes: what each session has in the place of its class's: requireTLS,
                timeOut and the like.
        """
        self.portal = portal
        #: The sessions that live: those connected, and those that end UPDATE still.
        self.sessions: set[Any] = set()
        self._attributes = {"authResponseCodes": True, **attributes}
        self._made: type[Any] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        """
        Make the session for a connection.
        """
        if self._made is None or self.protocol not in self._made.__bases__:
            self._made = self._class()
        return self._made()

    def _class(self) -> type[Any]:
        """
        Give the class of the sessions: what they have in common costs each nothing.
        """
        common = {
            "factory": self,
            "portal": self.portal,
            "sessions": self.sessions,
            **self._attributes,
        }
        namespace: dict[str, Any] = {
            name: staticmethod(value) if isinstance(value, FunctionType) else value
            for name, value in common.items()
        }
        protocol = self.protocol
        for name in ("__module__", "__qualname__", "__doc__"):
            namespace[name] = getattr(protocol, name)
        made = type(protocol.__name__, (protocol,), namespace)
        known: Any = object.__new__(made)
        for name in _OWN:
            vars(known)[name] = None
        return made


@implementer(IRealm)
class MaildropRealm:
    """
    Gives each user the maildrop that a store has for the name.
    """

    def __init__(self, store: IStore) -> None:
        self._store = store

    def requestAvatar(
        self, avatarId: Any, mind: Any, *interfaces: Any
    ) -> "Deferred[Any]":
        """
        Open the maildrop of a user for the session *mind*.

        Raises:
            NotImplementedError: where no IMailboxPOP3 is asked for.
        """
        if IMailboxPOP3 not in interfaces:
            raise NotImplementedError("this realm has maildrops only")
        return started(self._open(avatarId, mind))

    async def _open(self, user: Any, session: Any) -> tuple[Any, IMaildrop, Any]:
        try:
            maildrop = await awaited(self._store.openMaildrop, user, session)
        except UnsafeUser:
            raise UnauthorizedLogin from None
        return IMailboxPOP3, maildrop, maildrop.close
