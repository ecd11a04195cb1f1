"""
`extretr.server.idling`: sessions share the timer that ends the idle ones.
"""

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from extretr.server import idling
from extretr.server.protocol import ExtendedPOP3
from tests.server.dialogue import ListMailbox
from tests.server.test_session import TimeoutTests


class SharedTimerTests(TimeoutTests):
    """
    All that is true of a session with timers of its own.
    """

    def makeSession(self):
        session = super().makeSession()
        del session.callLater
        return session


class SessionsTests(SynchronousTestCase):
    """
    Many sessions, one timer.
    """

    def setUp(self):
        self.clock = Clock()

    def sessions(self, count, **attributes):
        made = []
        for _ in range(count):
            session = ExtendedPOP3()
            session.clock = self.clock
            session.magic = b"<magic@host>"
            for name, value in attributes.items():
                setattr(session, name, value)
            session.mbox = ListMailbox([b"x\n"])
            session.makeConnection(StringTransport())
            made.append(session)
        return made

    def ended(self, sessions):
        return [session.transport.disconnected for session in sessions]

    def nothingIsLeft(self):
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(idling._timers.waitsAnybody(self.clock))

    def test_one(self):
        """
        However many there are, the reactor has one timer; it goes with the last.
        """
        sessions = self.sessions(100)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for session in sessions:
            session.connectionLost()
        self.nothingIsLeft()

    def test_each(self):
        """
        Each is ended when it was idle for so long itself, not before and not later.
        """
        first, _, third = sessions = self.sessions(3)
        self.clock.advance(300)
        first.dataReceived(b"NOOP\r\n")
        self.clock.advance(200)
        third.dataReceived(b"NOOP\r\n")
        self.clock.advance(99)
        self.assertEqual(self.ended(sessions), [False, False, False])
        self.clock.advance(1)
        self.assertEqual(self.ended(sessions), [False, True, False])
        self.clock.advance(299)
        self.assertEqual(self.ended(sessions), [False, True, False])
        self.clock.advance(1)
        self.assertEqual(self.ended(sessions), [True, True, False])
        self.clock.advance(200)
        self.assertEqual(self.ended(sessions), [True, True, True])
        for session in sessions:
            session.connectionLost()
        self.nothingIsLeft()

    def test_thousands(self):
        """
        Thousands that are idle at once are ended some a turn, with others in between.
        """
        sessions = self.sessions(2000)
        self.clock.advance(600)
        turns = 1
        while not all(self.ended(sessions)):
            self.assertEqual(sum(self.ended(sessions)), turns * idling.AT_A_TIME)
            turns += 1
            self.clock.advance(idling.PAUSE)
        self.assertEqual(turns, 2000 / idling.AT_A_TIME)
        for session in sessions:
            session.connectionLost()
        self.nothingIsLeft()

    def test_none(self):
        """
        Without a time-out no session waits; to begin anew is then no beginning.
        """
        (session,) = self.sessions(1, timeOut=None)
        session.resetTimeout()
        self.nothingIsLeft()
        self.assertIsNone(session.setTimeout(60))
        self.assertEqual(session.setTimeout(None), 60)
        session.resetTimeout()
        self.nothingIsLeft()

    def test_setByItself(self):
        """
        A subclass that sets another timeOut by itself has it from the next command on.
        """
        (session,) = self.sessions(1)
        session.timeOut = 60
        session.dataReceived(b"NOOP\r\n")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(59)
        self.assertFalse(session.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(session.transport.disconnected)

    def test_itsOwn(self):
        """
        A session that has a callLater of its own has its timers there.
        """
        own = Clock()

        class Session(ExtendedPOP3):
            def callLater(self, period, func):
                return own.callLater(period, func)

        session = Session()
        session.clock = self.clock
        session.makeConnection(StringTransport())
        self.assertEqual([call.getTime() for call in own.getDelayedCalls()], [600])
        self.nothingIsLeft()
        own.advance(600)
        self.assertTrue(session.transport.disconnected)
