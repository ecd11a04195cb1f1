"""
The client's engine, over a transport in memory.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import interfaces
from twisted.internet.error import ConnectionDone, TimeoutError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.mail.pop3 import (
    InsecureAuthenticationDisallowed,
    LineTooLong,
    ServerErrorResponse,
    TLSError,
    TLSNotSupportedError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr import ResumingPOP3Client
from extretr.client import refusals
from extretr.client.refusals import NotOffered, ProtocolViolation, TextBeforeTLS


@implementer(interfaces.ITLSTransport)
class Transport(StringTransport):
    """
    A transport that can do TLS, and says when it did.
    """

    secured = None

    def startTLS(self, context, normal=True):
        self.secured = context


class ClientCase(SynchronousTestCase):
    """
    A client that has been greeted.
    """

    greeting = b"+OK hello\r\n"
    offered = b""

    def setUp(self):
        self.clock = Clock()
        self.client = ResumingPOP3Client()
        self.client.callLater = self.clock.callLater
        self.client.timeout = 60
        self.client.hostname = "mail.example"
        self.transport = Transport()
        self.client.makeConnection(self.transport)
        self.client.dataReceived(self.greeting)
        if self.offered:
            self.client.capabilities()
            self.say(b"+OK\r\n" + self.offered + b".\r\n")

    def say(self, octets):
        """
        Have the server say something; give what the client sends then.
        """
        self.transport.clear()
        self.client.dataReceived(octets)
        return self.transport.value()

    def sent(self):
        value = self.transport.value()
        self.transport.clear()
        return value

    def lose(self, reason=ConnectionDone):
        self.client.connectionLost(Failure(reason()))


class EngineTests(ClientCase):
    """
    One command at a time, or many.
    """

    def test_waitsForGreeting(self):
        """
        Nothing is sent before the server has greeted.
        """
        client, transport = ResumingPOP3Client(), StringTransport()
        client.makeConnection(transport)
        client.noop()
        self.assertEqual(transport.value(), b"")
        client.dataReceived(b"+OK hello")
        self.assertEqual(transport.value(), b"")
        client.dataReceived(b"\r\n")
        self.assertEqual(transport.value(), b"NOOP\r\n")

    def test_negativeGreeting(self):
        """
        Where the greeting is -ERR, all that was asked for fails with it.
        """
        client, transport = ResumingPOP3Client(), StringTransport()
        client.makeConnection(transport)
        asked = client.noop()
        client.dataReceived(b"-ERR [SYS/TEMP] too many of you\r\n")
        self.assertTrue(transport.disconnecting)
        client.connectionLost(Failure(ConnectionDone()))
        failure = self.failureResultOf(asked, refusals.TemporaryFailure)
        self.assertEqual(str(failure.value), "too many of you")

    def test_oneAtATime(self):
        """
        A server that does not offer PIPELINING gets a command when it has answered
        the one before.
        """
        first, second = self.client.noop(), self.client.stat()
        self.assertEqual(self.sent(), b"NOOP\r\n")
        self.assertEqual(self.say(b"+OK\r\n"), b"STAT\r\n")
        self.assertEqual(self.successResultOf(first), b"")
        self.say(b"+OK 2 300\r\n")
        self.assertEqual(self.successResultOf(second), (2, 300))

    def test_responsesInPieces(self):
        """
        Responses may come octet by octet.
        """
        sizes, names = self.client.listSize(), self.client.listUID()
        for octet in b"+OK 2\r\n1 10\r\n2 200\r\n.\r\n+OK\r\n1 a\r\n2 .b\r\n.\r\n":
            self.client.dataReceived(bytes([octet]))
        self.assertEqual(self.successResultOf(sizes), [10, 200])
        self.assertEqual(self.successResultOf(names), [b"a", b".b"])

    def test_codes(self):
        """
        A response code makes the exception, which is Twisted's own too.
        """
        for line, kind, text in [
            (b"[IN-USE] locked", refusals.InUse, "locked"),
            (b"[in-use] locked", refusals.InUse, "locked"),
            (b"[LOGIN-DELAY] wait", refusals.LoginDelay, "wait"),
            (b"[SYS/TEMP] later", refusals.TemporaryFailure, "later"),
            (b"[SYS/PERM] never", refusals.PermanentFailure, "never"),
            (b"[AUTH] who?", refusals.NotAuthenticated, "who?"),
            (b"[NON-EXISTENT] no such message", refusals.NonExistent, None),
            (b"[OFFSET-OVERRUN] message exists", refusals.OffsetOverrun, None),
            (b"[XYZZY] hm", refusals.ServerRefusal, "hm"),
            (b"no [AUTH] here", refusals.ServerRefusal, None),
            (b"", refusals.ServerRefusal, ""),
        ]:
            asked = self.client.noop()
            self.say(b"-ERR " + line + b"\r\n")
            error = self.failureResultOf(asked, ServerErrorResponse).value
            self.assertIs(type(error), kind)
            self.assertEqual(error.args, (line,))
            if text is not None:
                self.assertEqual(str(error), text)

    def test_noResponse(self):
        """
        What is neither +OK nor -ERR ends the connection.
        """
        asked = self.client.noop()
        self.say(b"HTTP/1.1 400 Bad Request\r\n")
        self.lose()
        self.failureResultOf(asked, ProtocolViolation)

    def test_endlessLine(self):
        """
        A response line without end, or one in a list, is given up.
        """
        for begin in (b"", b"+OK\r\n"):
            self.setUp()
            asked = self.client.listUID()
            self.say(begin)
            for _ in range(20):
                self.client.dataReceived(b"x" * 1024)
            self.assertTrue(self.transport.disconnecting)
            self.lose()
            self.failureResultOf(asked, LineTooLong)

    def test_endlessLineOfList(self):
        """
        A line of a list without end is given up, whatever it is made of.
        """
        for octets in (b"x" * 1000, b"1 2\n" * 250, b"\r" * 1000):
            self.setUp()
            asked = self.client.listSize()
            self.say(b"+OK\r\n1 2")
            for _ in range(30):
                self.say(octets)
            self.assertTrue(self.transport.disconnecting, octets[:4])
            self.lose()
            self.failureResultOf(asked, LineTooLong)

    def test_endlessCapabilities(self):
        """
        A server whose capabilities do not end is given up.
        """
        asked = self.client.capabilities()
        self.say(b"+OK\r\n" + b"".join(b"X%d\r\n" % each for each in range(2000)))
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, ProtocolViolation)

    def test_unasked(self):
        """
        What a server says before it hangs up is why commands fail.
        """
        self.say(b"-ERR [SYS/TEMP] going ")
        self.assertFalse(self.transport.disconnecting)
        self.say(b"down\r\n")
        self.lose()
        failure = self.failureResultOf(self.client.noop(), refusals.TemporaryFailure)
        self.assertEqual(str(failure.value), "going down")

    def test_unaskedOther(self):
        """
        A server that says anything else unasked is given up.
        """
        self.say(b"+OK\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.failureResultOf(self.client.noop(), ProtocolViolation)

    def test_silence(self):
        """
        A server that is silent for the time-out is given up; each octet counts.
        """
        asked = self.client.stat()
        self.clock.advance(59)
        self.say(b"+")
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, TimeoutError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self):
        """
        A server that was asked for nothing is not silent, and has all the time for the
        next answer; one that is to hang up has to.
        """
        self.clock.pump([59, 59, 59])
        asked = self.client.noop()
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, TimeoutError)
        self.setUp()
        self.client.quit()
        self.say(b"+OK\r\n")
        self.clock.pump([59, 1])
        self.assertTrue(self.transport.disconnecting)
        self.setUp()
        self.transport.loseConnection()
        aborted = []
        self.transport.abortConnection = lambda: aborted.append(self.clock.seconds())
        self.clock.pump([59, 1])
        self.assertEqual(aborted, [60])

    def test_lost(self):
        """
        All that is not answered fails when the connection is lost, and so does what is
        asked for later.
        """
        asked = [self.client.noop(), self.client.stat()]
        self.lose()
        for one in [*asked, self.client.noop()]:
            self.failureResultOf(one, ConnectionDone)

    def test_abort(self):
        """
        To abort fails what is under way, once.
        """
        asked = self.client.noop()
        self.client.abort()
        self.client.abort()
        self.assertFalse(self.client.isUsable)
        self.say(b"+OK\r\n")
        self.assertNoResult(asked)
        self.lose()
        self.failureResultOf(asked)


class PipelinedTests(ClientCase):
    """
    A server that offers PIPELINING.
    """

    offered = b"PIPELINING\r\nUIDL\r\nSTLS\r\nEXT-RETR\r\n"

    def test_many(self):
        """
        Commands go out at once, as many as `pipelined` says, and then one for each
        that is answered.
        """
        self.client.pipelined = 3
        self.client.capabilities()
        self.transport.clear()
        asked = [self.client.delete(index) for index in range(5)]
        self.assertEqual(self.sent(), b"DELE 1\r\nDELE 2\r\nDELE 3\r\n")
        more = self.say(b"+OK a\r\n-ERR b\r\n")
        self.assertEqual(more, b"DELE 4\r\nDELE 5\r\n")
        self.assertEqual(self.successResultOf(asked[0]), b"a")
        self.failureResultOf(asked[1], ServerErrorResponse)
        self.assertNoResult(asked[2])

    def test_together(self):
        """
        Responses that come together are told apart, bodies too.
        """
        body, lines = [], []
        asked = [
            self.client.retrieveOctets(0, body.append),
            self.client.noop(),
            self.client.retrieveOctets(1, body.append),
            self.client.listUID(lines.append),
            self.client.noop(),
        ]
        self.say(b"+OK\r\none\r\n.\r\n+OK x\r\n-ERR no\r\n+OK\r\n1 a\r\n.\r\n+OK y\r\n")
        self.assertEqual(self.successResultOf(asked[0]), 5)
        self.assertEqual(body, [b"one\r\n"])
        self.assertEqual(self.successResultOf(asked[1]), b"x")
        self.failureResultOf(asked[2], ServerErrorResponse)
        self.assertEqual(lines, [(0, b"a")])
        self.assertEqual(self.successResultOf(asked[4]), b"y")

    @settings(derandomize=True, max_examples=300, deadline=None)
    @given(
        st.lists(
            st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r", b"\n.", b".\r\n"]))
            | st.none(),
            max_size=6,
        ),
        st.lists(st.integers(1, 40), min_size=1),
    )
    def test_anyChunks(self, messages, lengths):
        """
        However messages and refusals are cut up on their way, each gets its own octets.
        """
        self.setUp()
        bodies, asked, responses = [], [], b""
        for index, pieces in enumerate(messages):
            body = []
            bodies.append(body)
            asked.append(self.client.retrieveOctets(index, body.append))
            asked[-1].addErrback(lambda _: None)
            if pieces is None:
                responses += b"-ERR no\r\n"
            else:
                stuffed = (b"\r\n" + b"".join(pieces)).replace(b"\r\n.", b"\r\n..")
                responses += b"+OK" + stuffed + b"\r\n.\r\n"
        at = step = 0
        while at < len(responses):
            length = lengths[step % len(lengths)]
            self.client.dataReceived(responses[at : at + length])
            at, step = at + length, step + 1
        for pieces, body, one in zip(messages, bodies, asked, strict=True):
            expected = b"" if pieces is None else b"".join(pieces) + b"\r\n"
            self.assertEqual(b"".join(body), expected)
            answer = None if pieces is None else len(expected)
            self.assertEqual(self.successResultOf(one), answer)
        self.assertTrue(self.client.isUsable)

    def test_stlsAlone(self):
        """
        STLS is sent when all else is answered, and nothing behind it.
        """
        before = self.client.noop()
        self.client.startTLS(object())
        after = self.client.noop()
        self.assertEqual(self.sent(), b"NOOP\r\n")
        self.assertEqual(self.say(b"+OK\r\n"), b"STLS\r\n")
        self.successResultOf(before)
        sent = self.say(b"+OK go on\r\n")
        self.assertIsNotNone(self.transport.secured)
        self.assertEqual(sorted(sent.splitlines()), [b"CAPA", b"NOOP"])
        self.assertNoResult(after)


class RetrieveTests(ClientCase):
    """
    Messages.
    """

    offered = b"EXT-RETR\r\n"

    def test_octets(self):
        """
        A body comes as canonical octets, its first line to who wants it.
        """
        body, texts = [], []
        asked = self.client.retrieveOctets(0, body.append, started=texts.append)
        self.assertEqual(self.sent(), b"RETR 1\r\n")
        self.say(b"+OK 14 octets\r\n")
        self.assertEqual(texts, [b"14 octets"])
        self.say(b"a\r\n..b\r\n...\r\n.")
        self.assertNoResult(asked)
        self.say(b"\r\n")
        self.assertEqual(b"".join(body), b"a\r\n.b\r\n..\r\n")
        self.assertEqual(self.successResultOf(asked), 11)

    def test_offset(self):
        """
        An offset is the second argument; its first octet may be a stuffed dot.
        """
        body = []
        asked = self.client.retrieveOctets(6, body.append, 345628)
        self.assertEqual(self.sent(), b"RETR 7 345628\r\n")
        self.say(b"+OK\r\n..rest\r\n.\r\n")
        self.assertEqual(b"".join(body), b".rest\r\n")
        self.assertEqual(self.successResultOf(asked), 7)

    def test_offsetNotOffered(self):
        """
        No offset is sent where the capabilities do not list EXT-RETR, nor where they
        were not asked for since the login.
        """
        self.client.allowInsecureLogin = True
        self.client.login(b"user", b"secret")
        self.say(b"+OK\r\n")
        self.say(b"+OK\r\n")
        self.transport.clear()
        self.failureResultOf(
            self.client.retrieveOctets(0, lambda _: None, 1), NotOffered
        )
        self.client.capabilities()
        self.say(b"+OK\r\nUIDL\r\nRESP-CODES EXT-RETR\r\n.\r\n")
        self.failureResultOf(
            self.client.retrieveOctets(0, lambda _: None, 1), NotOffered
        )
        self.client.retrieveOctets(0, lambda _: None)
        self.assertEqual(self.sent(), b"RETR 1\r\n")

    def test_consumerFails(self):
        """
        What a consumer raises ends the connection, and is what the caller gets.
        """

        def full(octets):
            raise OSError("disk full")

        asked = self.client.retrieveOctets(0, full)
        self.say(b"+OK\r\nbody")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, OSError)

    @settings(derandomize=True, max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r", b"\n", b"\0"])),
        st.lists(st.integers(1, 5), min_size=1),
    )
    def test_anyChunks(self, pieces, lengths):
        """
        However the octets are cut up on their way, the same ones come out.
        """
        self.setUp()
        message = b"".join(pieces) + b"\r\n"
        stuffed = b"\r\n".join(
            b"." + line if line.startswith(b".") else line
            for line in message.split(b"\r\n")
        )
        response = b"+OK\r\n" + stuffed + b".\r\n"
        body = []
        asked = self.client.retrieveOctets(0, body.append)
        at = step = 0
        while at < len(response):
            length = lengths[step % len(lengths)]
            self.client.dataReceived(response[at : at + length])
            at, step = at + length, step + 1
        self.assertEqual(b"".join(body), message)
        self.assertEqual(self.successResultOf(asked), len(message))

    def test_lines(self):
        """
        Lines, as stock gives them, may be of any length, and lose the dot that was put
        before them, whatever follows it.
        """
        asked = self.client.retrieve(0)
        long = b"x" * 1_000_000
        self.say(b"+OK\r\n")
        for begin in range(0, len(long), 65536):
            self.say(long[begin : begin + 65536])
        self.say(b"\r\n.y\r\n..z\r\n\r\n.\r\n")
        self.assertEqual(self.successResultOf(asked), [long, b"y", b".z", b""])

    def test_linesToConsumer(self):
        """
        A consumer of lines gets them as they come, TOP's too.
        """
        lines = []
        asked = self.client.retrieve(0, lines.append, lines=2)
        self.assertEqual(self.sent(), b"TOP 1 2\r\n")
        self.say(b"+OK\r\na\r\n.")
        self.assertEqual(lines, [b"a"])
        self.say(b".b\r\n.\r\n")
        self.assertEqual(lines, [b"a", b".b"])
        self.successResultOf(asked)

    def test_top(self):
        """
        TOP in octets.
        """
        body = []
        asked = self.client.retrieveTop(1, 0, body.append)
        self.assertEqual(self.sent(), b"TOP 2 0\r\n")
        self.say(b"+OK\r\nA: b\r\n\r\n.\r\n")
        self.assertEqual(b"".join(body), b"A: b\r\n\r\n")
        self.assertEqual(self.successResultOf(asked), 8)

    def test_one(self):
        """
        UIDL and LIST of one message; an answer for another one is none.
        """
        asked = self.client.uniqueIdOf(4)
        self.assertEqual(self.sent(), b"UIDL 5\r\n")
        self.say(b"+OK 5 a:b\r\n")
        self.assertEqual(self.successResultOf(asked), b"a:b")
        asked = self.client.sizeOf(4)
        self.assertEqual(self.sent(), b"LIST 5\r\n")
        self.say(b"+OK 5 1200 and more\r\n")
        self.assertEqual(self.successResultOf(asked), 1200)
        for answer in (b"6 1200", b"5", b"", b"1200", b"5 many"):
            asked = self.client.sizeOf(4)
            self.say(b"+OK " + answer + b"\r\n")
            self.failureResultOf(asked, ProtocolViolation)


class SecurityTests(ClientCase):
    """
    STLS, and what goes out in clear.
    """

    offered = b"STLS\r\nSASL PLAIN\r\n"

    def test_login(self):
        """
        Where STLS is offered, nothing of the login goes out before it; what the server
        said in clear is forgotten.
        """
        asked = self.client.login(b"user", b"secret")
        self.assertEqual(self.sent(), b"STLS\r\n")
        self.assertEqual(self.say(b"+OK\r\n"), b"CAPA\r\n")
        self.assertTrue(self.client.isSecure)
        self.assertEqual(self.say(b"+OK\r\nUSER\r\n.\r\n"), b"USER user\r\n")
        self.assertEqual(self.say(b"+OK\r\n"), b"PASS secret\r\n")
        self.say(b"+OK in\r\n")
        self.assertEqual(self.successResultOf(asked), b"in")

    def test_injected(self):
        """
        Text that comes in clear behind the answer to STLS ends the connection before
        TLS begins: it must not count as said inside it.
        """
        asked = self.client.login(b"user", b"secret")
        self.sent()
        self.assertEqual(self.say(b"+OK\r\n+OK\r\nUSER\r\n.\r\n"), b"")
        self.assertIsNone(self.transport.secured)
        self.lose()
        self.failureResultOf(asked, TextBeforeTLS)

    def test_refused(self):
        """
        Where the server refuses STLS after all, nothing goes out in clear.
        """
        self.client.allowInsecureLogin = True
        asked = self.client.login(b"user", b"secret")
        self.sent()
        self.assertEqual(self.say(b"-ERR not today\r\n"), b"")
        self.failureResultOf(asked, ServerErrorResponse)

    def test_stripped(self):
        """
        Without STLS a password is not sent, unless that is allowed.
        """
        self.client._capCache = {}
        asked = self.client.login(b"user", b"secret")
        self.failureResultOf(asked, InsecureAuthenticationDisallowed)
        self.assertEqual(self.sent(), b"")
        self.client.allowInsecureLogin = True
        self.client.login(b"user", b"secret")
        self.assertEqual(self.sent(), b"USER user\r\n")

    def test_notOffered(self):
        """
        To start TLS fails where STLS is not offered, where TLS is there already, and
        where no name is known that the certificate should be for.
        """
        self.client.hostname = None
        self.failureResultOf(self.client.startTLS(), TLSError)
        self.client._capCache = {}
        self.failureResultOf(self.client.startTLS(object()), TLSNotSupportedError)
        self.client.startedTLS = True
        self.failureResultOf(self.client.startTLS(object()), TLSError)
        self.assertEqual(self.sent(), b"")


class SubclassTests(SynchronousTestCase):
    """
    Somebody's subclass of the stock client, put on ours.
    """

    def test_ownConstructor(self):
        """
        Its constructor need not call that of a base, which stock does not have.
        """

        class Theirs(ResumingPOP3Client):
            def __init__(self, name):
                self.name = name

        client, transport = Theirs("x"), StringTransport()
        self.failureResultOf(client.noop())
        client.makeConnection(transport)
        client.dataReceived(b"+OK\r\n")
        client.noop()
        self.assertEqual(transport.value(), b"NOOP\r\n")


class RateTests(ClientCase):
    """
    A link that is to be left to others too.
    """

    def test_limit(self):
        """
        After so many octets nothing is taken until their time is over, and that is no
        silence of the server's.
        """
        self.client.rateLimit = 100
        asked = self.client.noop()
        self.say(b"+")
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(0.01)
        self.assertEqual(self.transport.producerState, "producing")
        self.client.retrieveOctets(0, lambda _: None)
        self.say(b"OK\r\n+OK\r\n" + b"x" * 9990)
        self.successResultOf(asked)
        self.clock.advance(99.9)
        self.assertEqual(self.transport.producerState, "paused")
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(0.2)
        self.assertEqual(self.transport.producerState, "producing")
        self.clock.advance(60)
        self.assertTrue(self.transport.disconnecting)

    def test_pieces(self):
        """
        What comes all the same while nothing is to be taken, as TLS does it, counts.
        """
        self.client.rateLimit = 100
        self.client.retrieveOctets(0, lambda _: None)
        for octets in (b"+OK\r\n" + b"x" * 995, b"x" * 1000, b"x" * 1000):
            self.say(octets)
        self.clock.pump([1] * 29)
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(1.1)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_lost(self):
        """
        A connection that is lost meanwhile stays so.
        """
        self.client.rateLimit = 1
        asked = self.client.noop()
        self.say(b"+")
        self.lose()
        self.failureResultOf(asked, ConnectionDone)
        self.clock.advance(2)
        self.assertEqual(self.transport.producerState, "paused")
