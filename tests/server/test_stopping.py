"""
`extretr.server.stopping` and `extretr.server.graceful`: how sessions end when their
server does.
"""

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.graceful import LOOK, GracefulStop
from extretr.server.stopping import LAST_WORDS
from tests.server.dialogue import DialogueTestCase

STOPS = b"-ERR [SYS/TEMP] the server is being stopped, try again later\r\n"


class StoppingSessionTests(DialogueTestCase):
    """
    One session.
    """

    messages = (b"X" * 200_000, b"short\n")

    def makeSession(self):
        session = super().makeSession()
        self.sessions = session.sessions = set()
        return session

    def idle(self, seconds=LAST_WORDS):
        self.clock.advance(seconds)
        self.session.stopSoon()

    def test_among(self):
        """
        A session is among those that live while it is connected.
        """
        self.assertEqual(self.sessions, {self.session})
        self.lose()
        self.assertEqual(self.sessions, set())

    def test_idle(self):
        """
        One whose client has been silent is closed at once, without a word.
        """
        self.idle()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.session.ending, "the server was stopped")

    def test_lastWords(self):
        """
        A client that has just said something may say DELE and QUIT, and begins
        nothing new.
        """
        self.send(b"RETR 2\r\n")
        self.session.stopSoon()
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.send(b"RETR 1\r\n"), STOPS)
        self.assertEqual(self.send(b"DELE 2\r\n"), b"+OK \r\n")
        self.clock.advance(LAST_WORDS / 2)
        self.session.stopSoon()
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.send(b"QUIT\r\n"), b"+OK \r\n")
        self.assertEqual((self.mailbox.deleted, self.mailbox.synced), ({1}, 1))

    def test_login(self):
        """
        Who has not logged in yet no longer can, and is told to try again.
        """
        self.session.mbox = None
        self.session.stopSoon()
        self.assertEqual(self.send(b"USER alice\r\n"), STOPS)
        self.assertEqual(self.send(b"QUIT\r\n"), b"+OK \r\n")

    def test_loginUnderWay(self):
        """
        A login that is under way is refused as one to try again, and cancelled.
        """
        self.session.mbox = None
        cancelled = []
        login = Deferred(cancelled.append)
        self.session.authenticateUserPASS = lambda user, password: login
        self.assertEqual(self.send(b"USER a\r\nPASS b\r\nCAPA\r\n")[:3], b"+OK")
        self.transport.clear()
        self.session.stopSoon()
        self.assertEqual(self.transport.value(), STOPS)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(cancelled, [login])

    def test_transfer(self):
        """
        A transfer that runs ends first, whatever it takes; what was pipelined behind
        it is refused.
        """
        self.transport.clear()
        self.session.dataReceived(b"RETR 1\r\nRETR 2\r\n")
        self.assertTrue(self.session.isAnswering())
        self.idle(300)
        self.assertFalse(self.transport.disconnecting)
        while self.transport.producer is not None:
            self.transport.producer.resumeProducing()
        said = self.transport.value()
        self.assertTrue(said.startswith(b"+OK 200002 octets\r\nXXX"))
        self.assertTrue(said.endswith(b"X\r\n.\r\n" + STOPS))
        self.assertFalse(self.session.isAnswering())
        self.idle()
        self.assertTrue(self.transport.disconnecting)

    def test_now(self):
        """
        One that has taken too long is cut.
        """
        self.session.dataReceived(b"RETR 1\r\n")
        self.session.stopNow()
        self.assertTrue(self.transport.disconnected or self.transport.disconnecting)
        self.assertEqual(self.session.ending, "the server was stopped")

    def test_update(self):
        """
        UPDATE ends, whoever is in a hurry, and the session lives until then, also
        where its client is gone.
        """
        updated = Deferred()
        self.mailbox.sync = lambda: updated
        self.session.dataReceived(b"DELE 1\r\nQUIT\r\n")
        self.assertTrue(self.session.isUpdating())
        self.idle(300)
        self.session.stopNow()
        self.assertFalse(self.transport.disconnecting)
        self.session.connectionLost(None)
        self.assertEqual(self.sessions, {self.session})
        updated.callback(None)
        self.assertEqual(self.sessions, set())


class Session:
    """
    A session that needs so many looks to end.
    """

    def __init__(self, sessions, looks):
        self.sessions = sessions
        self.looks = looks
        self.cut = False
        sessions.add(self)

    def isAnswering(self):
        return self.looks > 1

    def stopSoon(self):
        self.looks -= 1
        if not self.looks:
            self.sessions.discard(self)

    def stopNow(self):
        self.cut = True
        self.sessions.discard(self)


class GracefulStopTests(SynchronousTestCase):
    """
    All sessions of a server.
    """

    def setUp(self):
        self.clock = Clock()
        self.sessions = set()
        self.service = GracefulStop(self.clock, self.sessions, 30.0)
        self.service.startService()

    def stop(self):
        with capturedLogs():
            return self.service.stopService()

    def test_none(self):
        """
        Where there is no session it stops at once.
        """
        verifyObject(IService, self.service)
        self.service.hurry()
        self.successResultOf(self.stop())

    def test_ends(self):
        """
        It stops when the last session has ended by itself.
        """
        quick, slow = Session(self.sessions, 1), Session(self.sessions, 3)
        stopped = self.stop()
        self.assertEqual(self.sessions, {slow})
        self.clock.advance(LOOK)
        self.assertNoResult(stopped)
        self.clock.advance(LOOK)
        self.successResultOf(stopped)
        self.assertFalse(quick.cut or slow.cut)

    def test_late(self):
        """
        Those that take longer than they get are cut.
        """
        endless = Session(self.sessions, 10**6)
        stopped = self.stop()
        self.clock.pump([LOOK] * 119)
        self.assertNoResult(stopped)
        self.clock.advance(LOOK)
        self.successResultOf(stopped)
        self.assertTrue(endless.cut)

    def test_hurry(self):
        """
        Who is asked to hurry cuts them at once.
        """
        endless = Session(self.sessions, 10**6)
        stopped = self.stop()
        with capturedLogs():
            self.service.hurry()
        self.clock.advance(LOOK)
        self.successResultOf(stopped)
        self.assertTrue(endless.cut)

    def test_lateComer(self):
        """
        One that was accepted while the server stopped is ended too.
        """
        Session(self.sessions, 2)
        stopped = self.stop()
        Session(self.sessions, 1)
        self.clock.advance(LOOK)
        self.successResultOf(stopped)


class FactoryTests(SynchronousTestCase):
    """
    The factory knows its sessions.
    """

    def test_sessions(self):
        """
        Sessions of a factory are in its set from connection to end.
        """
        from extretr.server.factory import MaildropFactory

        factory = MaildropFactory(None, clock=Clock())
        session = factory.buildProtocol(None)
        session.callLater = Clock().callLater
        self.assertEqual(factory.sessions, set())
        session.makeConnection(StringTransport())
        self.assertEqual(factory.sessions, {session})
        session.connectionLost(None)
        self.assertEqual(factory.sessions, set())
