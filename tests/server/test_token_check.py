"""
`extretr.server.token_check`: a command that knows tokens.
"""

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import LoginUnavailable, Misconfigured
from extretr.server.credentials import BearerToken, IBearerToken
from extretr.server.token_check import MOST_WAITING, TIME_OUT, TokenCommand


class Process:
    """
    A command that was begun.
    """

    def __init__(self, protocol, arguments):
        self.protocol = protocol
        self.arguments = arguments
        self.input = b""
        self.over = False
        self.signal = None
        #: Whether what the command began has its pipes open still.
        self.held = False
        protocol.makeConnection(self)

    def write(self, octets):
        self.input += octets

    def closeStdin(self):
        self.input += b"<end>"

    def signalProcess(self, name):
        if self.over:
            raise ProcessExitedAlready
        self.over = True
        self.signal = name
        if not self.held:
            self.end(None, name)

    def loseConnection(self):
        """
        Close the pipes: nothing more is waited for.
        """
        if self.held:
            self.end(None, self.signal)

    def end(self, status, signal=None, output=b""):
        self.over = True
        for start in range(0, len(output), 100):
            self.protocol.outReceived(output[start : start + 100])
        self.protocol.errReceived(b"beside")
        ended = ProcessTerminated(status, signal) if status != 0 else ProcessDone(0)
        self.protocol.processEnded(Failure(ended))


class Reactor(Clock):
    """
    A clock that begins processes.
    """

    def __init__(self):
        super().__init__()
        self.processes = []

    def spawnProcess(self, protocol, executable, arguments, env):
        self.processes.append(Process(protocol, arguments))


class TokenCommandTests(SynchronousTestCase):
    """
    The command, and what becomes of it.
    """

    def setUp(self):
        self.reactor = Reactor()
        self.checker = TokenCommand(self.reactor, "check --it", atOnce=2)

    def ask(self, user=b"bob", token=b"t0k"):
        self.credentials = BearerToken(user, token, b"XOAUTH2")
        return self.checker.requestAvatarId(self.credentials)

    def test_asked(self):
        """
        User and token go to its standard input, and nothing of them elsewhere.
        """
        verifyObject(ICredentialsChecker, self.checker)
        asked = self.ask()
        verifyObject(IBearerToken, self.credentials)
        (process,) = self.reactor.processes
        self.assertEqual(process.arguments, ["/bin/sh", "-c", "check --it"])
        self.assertEqual(process.input, b"bob\nt0k\n<end>")
        process.end(0, output=b"robert\n")
        self.assertEqual(self.successResultOf(asked), b"robert")
        self.assertEqual(self.credentials.identity, b"robert")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_statuses(self):
        """
        1 is a refusal; what else goes wrong is logged, without what was said.
        """
        for status, output, error in [
            (1, b"bob", UnauthorizedLogin),
            (2, b"bob", LoginUnavailable),
            (75, b"", LoginUnavailable),
            (None, b"", LoginUnavailable),
            (126, b"", Misconfigured),
            (127, b"", Misconfigured),
            (0, b"", LoginUnavailable),
            (0, b"\n", LoginUnavailable),
            (0, b"bob\neve\n", LoginUnavailable),
            (0, b"b" * 5000, LoginUnavailable),
        ]:
            with capturedLogs() as logs:
                asked = self.ask()
                self.reactor.processes[-1].end(status, output=output)
                self.failureResultOf(asked, error)
            self.assertIsNone(self.credentials.identity)
            self.assertEqual(bool(logs), error is not UnauthorizedLogin)
            for event in logs:
                self.assertNotIn("t0k", formatEvent(event))
                self.assertNotIn("bob", formatEvent(event))

    def test_known(self):
        """
        Whom the users file does not know, no token lets in.
        """
        self.checker = TokenCommand(
            self.reactor, "check", known={b"bob"}.__contains__
        )  # fmt: skip
        for name, is_known in ((b"bob", True), (b"eve", False)):
            asked = self.ask()
            self.reactor.processes[-1].end(0, output=name)
            if is_known:
                self.assertEqual(self.successResultOf(asked), name)
            else:
                self.failureResultOf(asked, UnauthorizedLogin)

    def test_timeOut(self):
        """
        One that takes too long is ended.
        """
        asked = self.ask()
        self.reactor.advance(TIME_OUT - 1)
        self.assertNoResult(asked)
        self.reactor.advance(1)
        self.assertTrue(self.reactor.processes[0].over)
        self.failureResultOf(asked, LoginUnavailable)
        self.flushLoggedErrors()

    def test_timeOutOfOthers(self):
        """
        What such a one has begun, and what lives on after it, keeps nobody waiting.
        """
        for over in (False, True):
            asked = self.ask()
            process = self.reactor.processes[-1]
            process.held, process.over = True, over
            self.reactor.advance(TIME_OUT)
            self.failureResultOf(asked, LoginUnavailable)
        self.flushLoggedErrors()

    def test_hungUp(self):
        """
        A peer that hangs up ends it too, and it may have ended by then.
        """
        for early in (False, True):
            asked = self.ask()
            process = self.reactor.processes[-1]
            process.over = early
            asked.addErrback(lambda _: None)
            asked.cancel()
            self.assertTrue(process.over)
            self.successResultOf(asked)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_atOnce(self):
        """
        Only so many run at once, the others wait, and too many are told to come later.
        """
        asked = [self.ask() for _ in range(2 + MOST_WAITING)]
        self.assertEqual(len(self.reactor.processes), 2)
        self.failureResultOf(self.ask(), LoginUnavailable)
        for each in asked:
            self.assertNoResult(each)
        for number, each in enumerate(asked):
            self.reactor.processes[number].end(0, output=b"bob")
            self.assertEqual(self.successResultOf(each), b"bob")
        self.assertEqual(len(self.reactor.processes), len(asked))
