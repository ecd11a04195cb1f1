"""
The POP3 server protocol with the extended RETR: its commands.

`ExtendedRETRMixin` goes over any subclass of `twisted.mail.pop3.POP3`; the two
ready-made classes go where `POP3` and `VirtualPOP3` went.
"""

from time import perf_counter
from typing import Any

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.mail import pop3, protocols
from twisted.python.failure import Failure

from extretr.coroutines import awaited
from extretr.errors import BadSyntax, NoSuchMessage
from extretr.interfaces import ISeekableMessage
from extretr.server.listings import BAD_NUMBER, ListingMixin
from extretr.server.short import ShortMixin, retrieved
from extretr.server.transfer import MessageBlocks
from extretr.syntax import parse_index, parse_number, success
from extretr.wire import LineCounter

#: What stock Twisted announces that RFC 2449 does not know, or spells otherwise.
_NOT_ANNOUNCED = frozenset({b"PIPELINE", b"CELERITY", b"AUSPEX", b"POTENCE"})

BAD_NUMBER_OR_OFFSET = b"Bad message number or offset argument"


class ExtendedRETRMixin(ListingMixin):
    """
    RETR with an offset, and RFC 1939 as it is written, for any POP3 server class.

    To come first among the bases: ``class Mine(ExtendedRETRMixin, TheirPOP3)``.
    """

    _highest: int

    def __init_subclass__(cls, **arguments: Any) -> None:
        """
        Look whether a subclass changes what becomes of a line.
        """
        super().__init_subclass__(**arguments)
        cls._isUnchanged = all(
            getattr(cls, name, None) is getattr(origin, name)
            for name, origin in _ORIGINS.items()
        )

    # Capabilities (RFC 2449; draft, section 4)

    def listCapabilities(self) -> list[bytes]:
        """
        Give the capabilities that this server really has.
        """
        stock = super().listCapabilities()
        capabilities = [tag for tag in stock if tag not in _NOT_ANNOUNCED]
        if not self._mayLogInInClear():
            capabilities = [tag for tag in capabilities if tag != b"USER"]
        for tag in (b"PIPELINING", b"RESP-CODES", b"EXT-RETR"):
            if tag not in capabilities:
                capabilities.append(tag)
        return capabilities

    def do_CAPA(self) -> None:
        """
        Answer CAPA, in both states alike.
        """
        lines = [b"%b\r\n" % tag for tag in self.listCapabilities()]
        self.transport.write(
            b"".join([success(b"I can do the following:"), *lines, b".\r\n"])
        )

    # TRANSACTION

    def do_RETR(self, number: bytes, offset: bytes | None = None) -> Any:
        """
        Send a message, from an offset on where one is given (draft, section 2.2).
        """
        begun = perf_counter()
        try:
            held = 0 if offset is None else parse_number(offset)
            index = parse_index(number)
        except BadSyntax:
            self.failResponse(BAD_NUMBER if offset is None else BAD_NUMBER_OR_OFFSET)
            return None
        if offset is None and self._sendShort(index, begun):
            return None
        message = self.mbox.openMessage(index)
        if isinstance(message, Deferred):
            return self._run(self._retrieveLater(index, message, held, begun))
        sending = self._retrieve(index, message, held, begun)
        return None if sending is None else self._hold(sending)

    async def _retrieveLater(
        self, index: int, message: Any, held: int, begun: float
    ) -> None:
        sending = self._retrieve(index, await message, held, begun)
        if sending is not None:
            await sending

    def _retrieve(
        self, index: int, message: ISeekableMessage, held: int, begun: float
    ) -> "Deferred[None] | None":
        opened = self._openAt(message, held)
        greeting = retrieved(message.size, held)
        sent = self._send(index, MessageBlocks(greeting, opened))
        self._tellRetrieved(held, perf_counter() - begun)
        return sent

    def _send(self, index: int, blocks: MessageBlocks) -> "Deferred[None] | None":
        """
        Begin to send; None tells that it was one block, and is sent.
        """
        # Until the first block is made every failure is an -ERR.
        first = next(blocks)
        self._highest = max(self._highest, index + 1)
        self.transport.write(first)
        return None if blocks.finished else self._carry(blocks)

    def do_TOP(self, number: bytes, lines: bytes) -> Any:
        """
        Send the header of a message and some lines of its body (RFC 1939, section 7).
        """
        try:
            counter = LineCounter(parse_number(lines))
        except BadSyntax:
            self.failResponse(b"Bad line count argument")
            return None
        return self._run(self._top(number, counter))

    async def _top(self, number: bytes, counter: LineCounter) -> None:
        try:
            index = parse_index(number)
            message = await awaited(self.mbox.openMessage, index)
        except (BadSyntax, NoSuchMessage):
            self.failResponse(BAD_NUMBER)
            return
        greeting = success(b"Top of message follows")
        blocks = MessageBlocks(greeting, self._openAt(message, 0), counter)
        sending = self._send(index, blocks)
        if sending is not None:
            await sending

    def do_DELE(self, number: bytes) -> "Deferred[None] | None":
        """
        Mark a message as deleted; QUIT removes it.
        """
        return self._run(self._delete(number))

    async def _delete(self, number: bytes) -> None:
        try:
            index = parse_index(number)
        except BadSyntax:
            self.failResponse(BAD_NUMBER)
            return
        try:
            if self.mbox.isDeleted(index):
                raise NoSuchMessage
            await awaited(self.mbox.deleteMessage, index)
        except (ValueError, IndexError):
            raise NoSuchMessage from None
        self.successResponse()

    def do_RSET(self) -> "Deferred[None] | None":
        """
        Take all marks of deletion back.
        """
        return self._run(self._reset())

    async def _reset(self) -> None:
        await awaited(self.mbox.undeleteMessages)
        self._highest = 0
        self.successResponse()

    def do_RPOP(self, user: bytes) -> None:
        """
        Refuse RPOP, which left POP3 in RFC 1460.
        """
        self.failResponse(b"RPOP is not supported")

    # UPDATE

    def do_QUIT(self) -> "Deferred[None] | None":
        """
        Remove what is marked as deleted, and end the session (RFC 1939, section 6).
        """
        return self._run(self._quit())

    async def _quit(self) -> None:
        self._updating = True
        try:
            if self.mbox is not None:
                await awaited(self.mbox.sync)
        except Exception:
            self._replyTo(Failure())
            self._finish("QUIT, but deletions failed")
        else:
            self.successResponse()
            self._finish("QUIT")
        finally:
            self._updating = False
            # UPDATE releases the lock, however long the peer leaves its end open
            # (RFC 1939, section 6).
            logout, self._onLogout = self._onLogout, None
            self._logOut(logout)
        self.transport.loseConnection()


#: What RETR passes on its way from the line to its answer, and whose it is.
_ORIGINS: dict[str, type[Any]] = {
    "lineReceived": pop3.POP3,
    "state_COMMAND": pop3.POP3,
    "processCommand": ShortMixin,
    "_handlerOf": ShortMixin,
    "do_RETR": ExtendedRETRMixin,
}


class ExtendedPOP3(ExtendedRETRMixin, pop3.POP3):
    """
    `twisted.mail.pop3.POP3` with the extended RETR.

    The portal's realm gets the session (`extretr.interfaces.ISession`) as the mind.
    """

    def authenticateUserPASS(self, user: bytes, password: bytes) -> Any:
        """
        Log in at the portal by name and password.
        """
        if self.portal is None:
            raise UnauthorizedLogin
        return self._logInAt(self.portal, UsernamePassword(user, password))


class ExtendedVirtualPOP3(ExtendedRETRMixin, protocols.VirtualPOP3):
    """
    `twisted.mail.protocols.VirtualPOP3` with the extended RETR.
    """

    #: Older releases of Twisted have it as text, which no user name can be split at.
    domainSpecifier = b"@"

    def saslPortals(self) -> list[Any]:
        """
        Give the portals of all domains.
        """
        return [] if self.service is None else list(self.service.portals.values())

    def authenticateUserSASL(self, credentials: Any) -> Any:
        """
        Log in at the portal of the domain in the name.
        """
        credentials.username, domain = self.lookupDomain(credentials.username)
        service: Any = self.service
        return self._logInAt(service.lookupPortal(domain), credentials)
