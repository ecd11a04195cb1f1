"""
`extretr.server.metered`: what sessions tell their meter, and the log.
"""

from time import perf_counter

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.mail.interfaces import IMailboxPOP3
from twisted.mail.pop3 import POP3Error

from extretr.errors import InUse, LoginTooSoon, StoreUnavailable, TooManyLogins
from extretr.server.meter import Meter
from extretr.server.metered import TURNED_AWAY
from tests.server.dialogue import DialogueTestCase


class Recording(Meter):
    """
    Remembers what it is told.
    """

    def __init__(self):
        self.told = []

    def sessionBegan(self):
        self.told.append("began")

    def sessionEnded(self, ending, cut):
        self.told.append((ending, cut))

    def loggedIn(self, mechanism, outcome):
        self.told.append((mechanism, outcome))

    def tookOver(self):
        self.told.append("took over")

    def retrieved(self, held, firstOctet):
        self.told.append((held, firstOctet))

    def sent(self, octets):
        self.told.append(octets)


class MeteredTestCase(DialogueTestCase):
    """
    A session with a meter that remembers.
    """

    def makeSession(self):
        session = super().makeSession()
        self.meter = session.meter = Recording()
        return session

    def told(self):
        """
        Give what the meter was told since it was last asked.
        """
        told, self.meter.told = self.meter.told, []
        return told


class SessionTests(MeteredTestCase):
    """
    A session begins and ends, once.
    """

    def test_whole(self):
        """
        It is told when it begins; then what was written; then how it ended.
        """
        self.assertEqual(self.told(), ["began"])
        self.send(b"NOOP\r\nQUIT\r\n")
        self.lose()
        self.session.connectionLost(None)
        octets = len(b"+OK <magic@host>\r\n+OK \r\n+OK \r\n")
        self.assertEqual(self.told(), [octets, ("QUIT", False)])

    def test_cut(self):
        """
        A session that is over in the middle of a response was cut, whatever the cause.
        """
        causes = {
            "connection lost during a transfer": lambda: None,
            "timed out": lambda: self.clock.advance(601),
            "another session took the maildrop over": self.evict,
        }
        for ending, end in causes.items():
            self.setUp()
            self.mailbox.messages[0] = b"x\n" * 1000000
            self.session.dataReceived(b"RETR 1\r\n")
            end()
            self.lose()
            self.assertEqual(self.told()[-1], (ending, True))

    def evict(self):
        self.session.session.evict()

    def test_unreadable(self):
        """
        A message that cannot be read on is a cut of its own.
        """
        self.mailbox.messages[0] = b"x\n" * 1000000
        self.session.dataReceived(b"RETR 1\r\n")

        def breaks():
            raise OSError("the disk")

        self.session._transfer._blocks._opened.unchanged = breaks
        self.transport.abortConnection = lambda: None
        while self.transport.producer is not None:
            self.transport.producer.resumeProducing()
        self.session.connectionLost(None)
        self.assertEqual(self.told()[-1], ("the message could not be read", True))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_asItGoes(self):
        """
        What a long transfer sends is told while it runs, and nothing twice.
        """
        self.mailbox.messages[0] = b"x\n" * 1000000
        self.session.dataReceived(b"RETR 1\r\n")
        for _ in range(3):
            self.transport.producer.resumeProducing()
        told = [octets for octets in self.told() if isinstance(octets, int)]
        self.assertGreater(len(told), 1)
        self.lose()
        told += [octets for octets in self.told() if isinstance(octets, int)]
        greeting = len(b"+OK <magic@host>\r\n")
        self.assertEqual(sum(told), len(self.transport.value()) + greeting)

    def test_turnedAway(self):
        """
        Who was turned away is counted, and logged elsewhere.
        """
        with capturedLogs() as events:
            self.session._turnAway(b"too many")
            self.lose()
        self.assertEqual(self.told()[-1], (TURNED_AWAY, False))
        self.assertEqual(events, [])

    def test_takeover(self):
        """
        A store that has taken the maildrop over for the session says so.
        """
        self.told()
        self.session.session.tookOver()
        self.assertEqual(self.told(), ["took over"])

    def test_log(self):
        """
        The line of the log has the particulars as fields.
        """
        with capturedLogs() as events:
            self.send(b"RETR 1\r\nRETR 1 18\r\n")
            self.clock.advance(2.5)
            self.send(b"QUIT\r\n")
            self.lose()
        (event,) = [event for event in events if "ending" in event]
        fields = ("retrieved", "resumed", "seconds", "cut", "mechanism")
        self.assertEqual([event[name] for name in fields], [2, 1, 2.5, False, None])


class RetrievalTests(MeteredTestCase):
    """
    Messages that are asked for.
    """

    def test_wholeAndResumed(self):
        """
        A retrieval is told with the octets that need not be sent again.
        """
        self.told()
        self.send(b"RETR 1\r\nRETR 2 0\r\nRETR 1 18\r\n")
        self.assertEqual([held for held, _ in self.told()], [0, 0, 18])

    def test_refused(self):
        """
        One that is refused is none, nor is TOP.
        """
        self.told()
        self.send(b"RETR 9\r\nRETR 1 99999\r\nRETR x\r\nTOP 1 0\r\n")
        self.assertEqual(self.told(), [])

    def test_firstOctet(self):
        """
        It is timed, with what the mailbox takes to open the message.
        """
        opened = Deferred()
        message = self.successResultOf(self.session.mbox.openMessage(0))
        self.session.mbox.openMessage = lambda index: opened
        self.told()
        self.send(b"RETR 1\r\n")
        begun = perf_counter()
        while perf_counter() < begun + 0.002:
            pass
        opened.callback(message)
        ((_, seconds),) = self.told()
        self.assertGreater(seconds, 0.002)


class LoginTests(MeteredTestCase):
    """
    Each login has one outcome.
    """

    mailbox = None

    def makeMailbox(self):
        return None

    def outcome(self, result):
        self.setUp()
        self.session.authenticateUserPASS = lambda user, password: result
        self.told()
        self.send(b"USER alice\r\nPASS secret\r\n")
        return self.told()

    def test_outcomes(self):
        """
        It tells what a login came to, by the mechanism.
        """
        avatar = (IMailboxPOP3, object(), lambda: None)
        for result, outcome in (
            (avatar, "accepted"),
            (fail(UnauthorizedLogin()), "refused"),
            (fail(POP3Error(b"no such domain")), "refused"),
            (fail(InUse()), "in use"),
            (fail(TooManyLogins()), "limited"),
            (fail(LoginTooSoon()), "limited"),
            (fail(StoreUnavailable()), "unavailable"),
            (fail(ZeroDivisionError()), "unavailable"),
            ((None, None, lambda: None), "unavailable"),
        ):
            self.assertEqual(self.outcome(result), [("PASS", outcome)])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_abandoned(self):
        """
        A peer that is gone before its login is decided has abandoned it.
        """
        waiting = Deferred()
        self.outcome(waiting)
        self.lose()
        self.assertIn(("PASS", "abandoned"), self.told())

    def test_stopping(self):
        """
        While the server stops, logins are unavailable.
        """
        self.outcome(Deferred())
        self.session.stopSoon()
        self.assertEqual(self.told(), [("PASS", "unavailable")])

    def test_mechanism(self):
        """
        The log knows the mechanism of a login that was accepted.
        """
        self.outcome((IMailboxPOP3, object(), lambda: None))
        with capturedLogs() as events:
            self.lose()
        (event,) = [event for event in events if "ending" in event]
        self.assertEqual((event["user"], event["mechanism"]), ("alice", "PASS"))


class StrangerTests(DialogueTestCase):
    """
    A session without a meter of its own.
    """

    def test_nothing(self):
        """
        It counts nothing, and works.
        """
        session = self.makeSession()
        session.makeConnection(StringTransport())
        session.connectionLost(None)
        self.assertIs(type(session.meter), Meter)
