"""
The POP3 client that resumes: Twisted's own, on an engine that counts octets.

The public methods of `twisted.mail.pop3.AdvancedPOP3Client` stay as they are.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.mail.pop3 import (
    InsecureAuthenticationDisallowed,
    TLSError,
    TLSNotSupportedError,
)

from extretr.client.authentication import Authentication, mechanism_for
from extretr.client.engine import Engine
from extretr.client.exchange import Body, Exchange, Lines
from extretr.client.refusals import NotOffered, ProtocolViolation
from extretr.client.verified import VerifiedTLS
from extretr.errors import Refusal
from extretr.sasl import Mechanism
from extretr.syntax import parse_number

#: Commands under way at most, where the server offers PIPELINING: so many small
#: messages come in the time that one takes to be asked for and sent over a long link.
PIPELINED = 256


class ResumingPOP3Client(Engine):
    """
    A POP3 client that can go on with a message where it stopped.

    Certificates are verified, for *hostname*; a password is sent in clear only where
    allowInsecureLogin says so; APOP is used only where *authentication* says so.
    """

    #: The name by which the server is to be known, for STLS.
    hostname: str | None = None
    #: Verifies certificates; those of the platform do where it is None.
    trustRoot: Any = None
    #: How `login` logs in: see `extretr.client.authentication`.
    authentication: str = "auto"
    #: Most commands under way.
    pipelined: int = PIPELINED

    # Capabilities, TLS and login

    def capabilities(self, useCache: bool = True) -> "Deferred[dict[bytes, Any]]":
        """
        Ask what the server offers (RFC 2449, section 5): none where it has no CAPA.
        """
        asked: Deferred[Any] = super().capabilities(useCache)
        return asked.addCallback(self._offered)

    def _offered(self, offered: dict[bytes, Any]) -> dict[bytes, Any]:
        self.limitUnderWay(self.pipelined if b"PIPELINING" in offered else 1)
        return offered

    @property
    def isSecure(self) -> bool:
        """
        Whether TLS is between us and the server.
        """
        return self.startedTLS or ISSLTransport.providedBy(self.transport)

    def startTLS(self, contextFactory: Any = None) -> "Deferred[dict[bytes, Any]]":
        """
        Change to TLS (RFC 2595, section 4); fires with the capabilities anew.

        Raises:
            TLSNotSupportedError: where the server does not offer it.
            TLSError: where the transport cannot, or no name is known to verify.
        """
        return Deferred.fromCoroutine(self._secure(contextFactory))

    async def _secure(self, contextFactory: Any) -> dict[bytes, Any]:
        transport = ITLSTransport(self.transport, None)
        if transport is None:
            raise TLSError("this transport has no TLS")
        if self.startedTLS:
            raise TLSError("TLS is there already")
        context = contextFactory or self._getContextFactory()
        if b"STLS" not in await self.capabilities():
            raise TLSNotSupportedError("the server does not offer STLS")
        await self.ask(Exchange(b"STLS", alone=True))
        self.transport = transport
        transport.startTLS(context)
        self.startedTLS = True
        # What was said before could have been anybody's (RFC 2595, section 4).
        self._capCache = None
        return await self.capabilities()

    def _getContextFactory(self) -> Any:
        if self.hostname is None:
            raise TLSError("no host name is known that the certificate has to be for")
        return VerifiedTLS(self.hostname, self.trustRoot)

    def login(self, username: bytes, password: bytes) -> "Deferred[Any]":
        """
        Log in, over TLS where the server offers it; fires with the server's text.

        Raises:
            InsecureAuthenticationDisallowed: where a password would go in clear.
            NotOffered: where the server lacks the *authentication* that is wanted.
            NotAuthenticated, InUse, ServerRefusal: where it refuses.
        """
        return Deferred.fromCoroutine(self._logIn(username, password))

    async def _logIn(self, username: bytes, password: bytes) -> bytes:
        offered = await self.capabilities()
        has_tls = ITLSTransport(self.transport, None) is not None
        if not self.isSecure and b"STLS" in offered and has_tls:
            offered = await self.startTLS()
        if not self.isSecure and not self.allowInsecureLogin:
            raise InsecureAuthenticationDisallowed
        if self.authentication == "apop":
            if self.serverChallenge is None:
                raise NotOffered("the server does not offer APOP")
            text = await self._apop(username, password, self.serverChallenge)
        else:
            mechanism = mechanism_for(self, offered, username, password)
            if mechanism is None:
                text = await self._plaintext(username, password)
            else:
                text = await self.authenticate(mechanism)
        # A server may offer more, or less, to those that it knows.
        self._capCache = None
        return text

    def authenticate(self, mechanism: Mechanism) -> "Deferred[bytes]":
        """
        Log in by a SASL mechanism (RFC 5034); fires with the server's text.

        Raises:
            SaslError: where the server's side of it is wrong.
            NotAuthenticated, InUse, ServerRefusal: where it refuses.
        """
        return self.ask(Authentication(mechanism, self.sendLine))

    # Messages

    def retrieve(
        self, index: int, consumer: Any = None, lines: int | None = None
    ) -> "Deferred[Any]":
        """
        Get a message, or its top of some *lines*, line by line.

        Fires with the lines, or with the consumer; lines may be of any length.
        """
        command = b"RETR %d" % (index + 1)
        if lines is not None:
            command = b"TOP %d %d" % (index + 1, lines)
        collected: list[bytes] = []
        exchange = Lines(command, consumer or collected.append, _unstuffed, None)
        asked = self.ask(exchange)
        return asked if consumer else asked.addCallback(lambda _: collected)

    def retrieveOctets(
        self,
        index: int,
        consumer: Callable[[bytes], object],
        offset: int = 0,
        started: Callable[[bytes], object] | None = None,
    ) -> "Deferred[int]":
        """
        Get a message from an offset on, as canonical octets; fires with their number.

        Args:
            index: the message, counted from 0.
            consumer: gets the octets as they come.  What it raises ends the connection,
                and the Deferred fails with it.
            offset: canonical octets not to be sent.
            started: gets the text of the ``+OK`` line.

        Raises:
            NotOffered: for an offset where `capabilities`, asked since the login, did
                not list EXT-RETR: who ignores an offset sends all of the message.
            OffsetOverrun, NonExistent, ServerRefusal: where the server refuses.
        """
        command = b"RETR %d" % (index + 1)
        if offset:
            if b"EXT-RETR" not in (self._capCache or {}):
                return fail(NotOffered("the server does not offer EXT-RETR"))
            command += b" %d" % offset
        return self.ask(Body(command, consumer, started))

    def retrieveTop(
        self, index: int, lines: int, consumer: Callable[[bytes], object]
    ) -> "Deferred[int]":
        """
        Get the header and some lines of a message as canonical octets (RFC 1939, TOP).
        """
        return self.ask(Body(b"TOP %d %d" % (index + 1, lines), consumer))

    def uniqueIdOf(self, index: int) -> "Deferred[bytes]":
        """
        Ask for the unique-id of one message (RFC 1939, ``UIDL n``).
        """
        return self._one(b"UIDL", index, lambda word: word)

    def sizeOf(self, index: int) -> "Deferred[int]":
        """
        Ask for the octets of one message (RFC 1939, ``LIST n``).
        """
        return self._one(b"LIST", index, parse_number)

    def _one(
        self, command: bytes, index: int, parse: Callable[[bytes], Any]
    ) -> "Deferred[Any]":
        def answered(text: bytes) -> Any:
            words = text.split()
            if len(words) < 2 or words[0] != b"%d" % (index + 1):
                raise ProtocolViolation("the server answers for another message")
            try:
                return parse(words[1])
            except Refusal:
                raise ProtocolViolation("the server's answer makes no sense") from None

        return self.sendShort(command, b"%d" % (index + 1)).addCallback(answered)


def _unstuffed(line: bytes) -> bytes:
    return line[1:] if line.startswith(b".") else line
