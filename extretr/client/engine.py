"""
What is under the client's methods: commands out, octets in, each to what it answers.

Twisted's client was made for lines, one command at a time.  This engine is fed with
octets, has many commands under way where the server offers PIPELINING (RFC 2449,
section 6.6), and takes what stands behind the answer to STLS for the attack that it is.
"""

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionLost, TimeoutError
from twisted.mail.pop3 import AdvancedPOP3Client
from twisted.python.failure import Failure

from extretr.client.exchange import Exchange, Lines, Refused
from extretr.client.refusals import ProtocolViolation, TextBeforeTLS, refusal

#: Lines of a list of capabilities at most.
_CAPABILITIES = 1000

#: Octets that are kept of what a server says before it hangs up unasked.
_FAREWELL = 512


class Engine(AdvancedPOP3Client):
    """
    The engine of a POP3 client, in the place of Twisted's.
    """

    transport: Any

    #: Octets a second that are taken at most; None for any number.
    rateLimit: float | None = None

    _depth = 1
    # Why nothing more can be asked for: first as we have it, then as all have it.
    _why: Failure | None = None
    _lost: Failure | None = None
    _farewell = b""
    # Whether the server was told that nothing more is wanted.
    _quitting = False
    # What ends a rest, where one was taken.
    _resting: Any = None
    # Whether octets are being taken: what they let be sent is sent after them, at once.
    _taking = False

    # The connection

    def makeConnection(self, transport: Any) -> None:
        """
        Take the transport.

        Subclasses of the stock client have constructors that call no other.
        """
        self._underWay: deque[Exchange] = deque()
        self._queued: deque[Exchange] = deque()
        super().makeConnection(transport)

    def connectionMade(self) -> None:
        """
        Wait for the greeting.
        """
        if self.timeout > 0:
            self.setTimeout(self.timeout)
        greeting = Exchange(None, alone=True)
        greeting.result.addCallbacks(self._greet, self._giveUp)
        self._underWay.append(greeting)

    def _greet(self, text: bytes) -> None:
        found = self._challengeMagicRe.search(text)
        if found is not None:
            self.serverChallenge = found[1]
        self.serverGreeting(text)

    def dataReceived(self, data: bytes) -> None:
        """
        Take octets as they come, and hand them to the commands that they answer.
        """
        if self.timeout > 0:
            self.resetTimeout()
        if self.rateLimit is not None and self.isUsable:
            self._rest(len(data) / self.rateLimit)
        self._taking = True
        try:
            self._take(data)
        finally:
            self._taking = False
        # Many at once: a send takes longer than to put a message away.
        if self.isUsable and self._depth - len(self._underWay) >= self._depth // 2:
            self._sendNext()

    def _take(self, data: bytes) -> None:
        begin = 0
        while begin < len(data) and self.isUsable:
            if not self._underWay:
                self._sendNext()
            if not self._underWay:
                self._unasked(data[begin:])
                return
            exchange = self._underWay[0]
            outcome: Any
            try:
                end = exchange.take(data, begin)
                if end is None:
                    return
                begin, outcome = end, exchange.answer
            except Refused as refused:
                begin = len(data) - len(refused.rest)
                outcome = Failure(refused.reason)
            except Exception:
                self._giveUp(Failure())
                return
            if begin < len(data) and exchange.command == b"STLS":
                self._giveUp(Failure(TextBeforeTLS("text came in clear behind STLS")))
                return
            self._underWay.popleft()
            exchange.result.callback(outcome)

    def _rest(self, seconds: float) -> None:
        """
        Take nothing for some time; the server is not to blame for it.
        """
        self.transport.pauseProducing()
        self.setTimeout(None)
        if self._resting is not None and self._resting.active():
            # TLS gives out all that it has, in pieces, whether it is to pause or not.
            self._resting.delay(seconds)
        else:
            self._resting = self.callLater(seconds, self._goOn)

    def _goOn(self) -> None:
        if self.isUsable:
            self.transport.resumeProducing()
            self.setTimeout(self.timeout or None)

    def _unasked(self, data: bytes) -> None:
        """
        Take what nothing was sent for: servers say why they are about to hang up.
        """
        self._farewell = (self._farewell + data)[:_FAREWELL]
        if not self._farewell.startswith(b"-ERR"[: len(self._farewell)]):
            self._giveUp(Failure(ProtocolViolation("the server speaks unasked")))

    def _giveUp(self, why: Failure) -> None:
        """
        End the connection at once: what was asked for fails with *why*.
        """
        if self._why is None:
            self._why = why
        if self.transport is not None:
            self.transport.abortConnection()

    @property
    def isUsable(self) -> bool:
        """
        Whether commands can still be answered.
        """
        return self._why is None and self._lost is None

    def abort(self) -> None:
        """
        End the connection at once; what was asked for fails.
        """
        if self.isUsable:
            self._giveUp(Failure(ConnectionAborted()))

    def timeoutConnection(self) -> None:
        """
        Give a server up that has sent nothing for *timeout* seconds, though asked to.
        """
        is_over = self._quitting or self.transport.disconnecting
        if not self._underWay and self.isUsable and not is_over:
            # It is we who let it wait.
            self.setTimeout(self.timeout)
            return
        self._timedOut = True
        self._giveUp(Failure(TimeoutError(string="the server has fallen silent")))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        Fail what was asked for and is not answered.
        """
        self.setTimeout(None)
        if self._why is None and self._farewell.startswith(b"-ERR"):
            text = self._farewell[5:].partition(b"\r\n")[0]
            self._why = Failure(refusal(text))
        self._lost = self._why or reason
        for waiting in (self._underWay, self._queued):
            while waiting:
                waiting.popleft().result.errback(self._lost)

    # The engine

    def ask(self, exchange: Exchange) -> "Deferred[Any]":
        """
        Send what an exchange has to say, as soon as it may be sent.
        """
        if self.transport is None:
            return fail(ConnectionLost("there is no connection yet"))
        if not self.isUsable:
            return fail(self._lost or self._why)
        self._queued.append(exchange)
        if not self._taking:
            self._sendNext()
        return exchange.result

    def _sendNext(self) -> None:
        """
        Send what may be sent now.
        """
        lines = []
        while self._queued and len(self._underWay) < self._depth:
            if self._underWay and (self._queued[0].alone or self._underWay[-1].alone):
                break
            exchange = self._queued.popleft()
            if not self._underWay:
                self.resetTimeout()
            self._underWay.append(exchange)
            self._quitting = exchange.command == b"QUIT"
            assert exchange.command is not None
            lines.append(exchange.command + b"\r\n")
        if lines:
            # At once: to write takes longer than to make a line.
            self.transport.write(b"".join(lines))

    def sendLine(self, line: bytes) -> None:
        """
        Send one line, which holds no line end.
        """
        self.transport.write(line + b"\r\n")

    def sendShort(self, cmd: bytes, args: bytes | None) -> "Deferred[Any]":
        """
        Send a command with a response of one line; fires with its text.
        """
        return self.ask(Exchange(_command(cmd, args)))

    def sendLong(
        self, cmd: bytes, args: bytes | None, consumer: Any, xform: Any
    ) -> "Deferred[Any]":
        """
        Send a command with a response of many lines; fires with the consumer.
        """
        if cmd == b"CAPA":
            consumer = _limited(consumer)
        return self.ask(Lines(_command(cmd, args), consumer, xform))

    def limitUnderWay(self, commands: int) -> None:
        """
        Have at most so many commands under way from now on.
        """
        self._depth = commands
        self._sendNext()


def _limited(consumer: Any) -> Any:
    lines = 0

    def take(line: Any) -> None:
        nonlocal lines
        lines += 1
        if lines > _CAPABILITIES:
            raise ProtocolViolation("the server's capabilities do not end")
        consumer(line)

    return take


def _command(name: bytes, arguments: bytes | None) -> bytes:
    return name + b" " + arguments if arguments else name
