"""
`extretr.server.session`: how a session takes commands, and how it ends.
"""

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.logger import capturedLogs
from twisted.mail import pop3
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr.errors import InUse
from extretr.server.lines import COMMANDS_A_TURN, INPUT_LIMIT
from extretr.server.protocol import ExtendedPOP3, ExtendedRETRMixin
from extretr.server.session import QUEUE_LIMIT
from tests.server.dialogue import DialogueTestCase, ListMailbox


class DroppedConnectionTests(DialogueTestCase):
    """
    Nothing that was pipelined behind a dropped connection ever runs.
    """

    messages = (b"x" * 1000 + b"\n") * 2000, b"two\n"

    def makeMailbox(self):
        return ListMailbox(self.messages)

    def setUp(self):
        self.messages = [b"x" * 99 + b"\n"] * 2
        self.messages[0] *= 20000
        super().setUp()

    def test_pipelinedDeletion(self):
        """
        f20, f42, g02: RETR, DELE and QUIT in one packet, then a reset in the middle of
        the message: nothing is deleted, nothing is synced, no timer is left.
        """
        self.session.dataReceived(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        self.assertIsNotNone(self.transport.producer)
        self.transport.producer.resumeProducing()
        self.lose()
        self.assertEqual(self.mailbox.deleted, set())
        self.assertEqual(self.mailbox.synced, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stockLosesMail(self):
        """
        The same packet makes stock Twisted delete the message: what we guard against.
        """
        session = pop3.POP3()
        session.callLater = self.clock.callLater
        session.mbox = self.mailbox
        session.makeConnection(self.transport)
        session.dataReceived(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        self.transport.producer.resumeProducing()
        self.transport.producer.stopProducing()
        self.assertEqual(self.mailbox.deleted, {0})
        self.assertEqual(self.mailbox.synced, 1)
        self.flushLoggedErrors()

    def test_stockLongOperation(self):
        """
        A command of a subclass that uses stock's _longOperation is no way round it.
        """
        waiting = Deferred()
        self.session.do_XSLOW = lambda: self.session._longOperation(waiting)
        self.session.dataReceived(b"XSLOW\r\nDELE 1\r\nQUIT\r\n")
        self.lose()
        waiting.callback(None)
        self.assertEqual((self.mailbox.deleted, self.mailbox.synced), (set(), 0))

    def test_lostWhileTheMailboxWaits(self):
        """
        A mailbox that answers after the connection was lost changes nothing.
        """
        waiting = Deferred(lambda _: None)
        self.mailbox.listMessages = lambda index=None: waiting
        self.session.dataReceived(b"STAT\r\nDELE 1\r\nQUIT\r\n")
        self.lose()
        self.assertEqual((self.mailbox.deleted, self.mailbox.synced), (set(), 0))

    def test_dataAfterTheEnd(self):
        """
        Octets that still come after the end are not read as commands.
        """
        self.lose()
        self.session.dataReceived(b"DELE 1\r\nQUIT\r\n")
        self.session.processCommand(b"DELE", b"1")
        self.assertEqual((self.mailbox.deleted, self.mailbox.synced), (set(), 0))

    def test_lostDuringUpdate(self):
        """
        Once QUIT is under way the deletions go on, and the logout waits for them.
        """
        out, done = [], Deferred()
        self.session._onLogout = lambda: out.append(True)
        self.mailbox.sync = lambda: done
        self.session.dataReceived(b"QUIT\r\n")
        self.lose()
        self.assertEqual(out, [])
        done.callback(None)
        self.assertEqual(out, [True])

    def test_logoutAtQuit(self):
        """
        QUIT logs out, though the peer has not closed its end yet.
        """
        out = []
        self.session._onLogout = lambda: out.append(True)
        self.session.dataReceived(b"QUIT\r\n")
        self.assertEqual(out, [True])
        self.lose()
        self.assertEqual(out, [True])

    def test_logoutOnce(self):
        """
        The realm's logout is called once, however the session ends.
        """
        out = []
        self.session._onLogout = lambda: out.append(True)
        self.lose()
        self.session.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(out, [True])


class LineTests(DialogueTestCase):
    """
    Lines come in as they come, within their limits.
    """

    def test_inPieces(self):
        """
        A command may come octet by octet, its CRLF too.
        """
        for octet in b"NOOP\r\nNOO":
            self.session.dataReceived(bytes([octet]))
        self.assertEqual(self.transport.value(), b"+OK \r\n")

    def test_tooLong(self):
        """
        f32: a line over 512 octets is refused once, forgotten, and the session kept.
        """
        for length in (511, 600, 5000, 100000):
            line = b"x" * length + b"\r\n"
            for size in (1000, 16384, len(line)):
                self.transport.clear()
                for begin in range(0, len(line), size):
                    self.session.dataReceived(line[begin : begin + size])
                self.session.dataReceived(b"NOOP\r\n")
                self.assertEqual(
                    self.transport.value(),
                    b"-ERR command line too long\r\n+OK \r\n",
                    (length, size),
                )

    def test_justFits(self):
        """
        A line of 512 octets with its CRLF is a command (RFC 2449, section 4).
        """
        answer = self.send(b"NOOP " + b"x" * 505 + b"\r\n")
        self.assertIn(b"wrong number of arguments", answer)

    def test_endSplitWhereItGetsTooLong(self):
        """
        A CR and its LF that come apart end an over-long line all the same.
        """
        self.session.dataReceived(b"x" * 600 + b"\r")
        self.session.dataReceived(b"\nNOOP\r\n")
        self.assertEqual(
            self.transport.value(), b"-ERR command line too long\r\n+OK \r\n"
        )

    def test_repliesAreShort(self):
        """
        f32b: a reply that quotes the client stays within 512 octets, and printable.
        """
        for line in (b"\xff\x00" * 200, b"Y" * 500, b"LIST " + b"9" * 490):
            answer = self.send(line + b"\r\n")
            self.assertLessEqual(len(answer), 512)
            self.assertRegex(answer, rb"\A-ERR [\x20-\x7e]*\r\n\Z")

    def test_oddCommands(self):
        """
        f47, f48, f18: trailing spaces, empty lines, any case, noise: one reply each.
        """
        self.dialogue(b"""
            C: noop
            S: +OK
            C: NOOP x
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments""")
        self.assertIn(b"wrong number of arguments", self.send(b"NOOP \r\n"))
        self.assertIn(b"Unknown protocol command", self.send(b"\r\n"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_internalNames(self):
        """
        A command never reaches anything but a do_ method.
        """
        for line in (b"__CLASS__", b"CAPA\x00", b"../CAPA", b"do_CAPA", b"\xc3\xa9"):
            self.assertTrue(self.send(line + b"\r\n").startswith(b"-ERR "))


class QueueTests(DialogueTestCase):
    """
    What a client may have waiting is bounded.
    """

    def test_readingStops(self):
        """
        f31: with enough commands waiting, no more is read until some are answered.
        """
        waiting = Deferred()
        self.mailbox.listMessages = lambda index=None: waiting
        self.session.dataReceived(b"STAT\r\n")
        count = 0
        while self.transport.producerState == "producing":
            self.session.dataReceived(b"NOOP\r\n" * 100)
            count += 100
            self.assertLess(count * 6, INPUT_LIMIT + 1000)
        waiting.callback([])
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.transport.value().count(b"+OK \r\n"), count)

    def test_stockQueue(self):
        """
        f31: lines handed to the session by other ways may not queue without bound.
        """
        waiting = Deferred()
        self.mailbox.listMessages = lambda index=None: waiting
        self.session.lineReceived(b"STAT")
        for _ in range(QUEUE_LIMIT):
            self.session.lineReceived(b"NOOP")
        self.assertFalse(self.transport.disconnected)
        self.session.lineReceived(b"NOOP")
        self.assertTrue(self.transport.disconnected)

    def test_peerThatDoesNotRead(self):
        """
        A client that asks and asks and never reads does not fill our memory.
        """
        self.mailbox.messages = [b"x" * 4096]
        self.session.dataReceived(b"RETR 1\r\n" * 8000)
        self.assertLess(len(self.transport.value()), 1000000)
        self.assertEqual(self.transport.producerState, "paused")
        rounds = 0
        while self.session._buffer:
            self.transport.clear()
            self.transport.producer.resumeProducing()
            self.assertLess(len(self.transport.value()), 1000000)
            rounds += 1
        # Each time that it has read something, it gets many answers, not one.
        self.assertLess(rounds, 1100)
        self.assertGreater(rounds, 100)

    def test_manyPipelined(self):
        """
        f31b: thousands of pipelined commands are answered, in order.
        """
        answer = self.send(b"RETR 3\r\n" * 3000 + b"NOOP\r\n")
        self.assertEqual(answer, b"+OK 3 octets\r\n..\r\n.\r\n" * 3000 + b"+OK \r\n")

    def test_othersHaveTheirTurn(self):
        """
        After so many commands of one packet others have their turn, then the next is
        answered; a peer that is gone meanwhile leaves nothing behind.
        """
        turns = []

        def schedule(steps):
            turns.append(Deferred())
            return turns[-1]

        self.session.schedule = schedule
        for kind in (b"NOOP", b"RETR 3"):
            answers = 0
            self.session.dataReceived((kind + b"\r\n") * (2 * COMMANDS_A_TURN + 1))
            while turns:
                more = self.transport.value().count(b"+OK")
                self.assertEqual(more - answers, COMMANDS_A_TURN)
                answers = more
                turns.pop().callback(None)
            self.assertEqual(self.transport.value().count(b"+OK"), answers + 1)
            self.transport.clear()
        self.session.dataReceived(b"NOOP\r\n" * (2 * COMMANDS_A_TURN))
        self.lose()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.transport.value().count(b"+OK"), COMMANDS_A_TURN)


class TimeoutTests(DialogueTestCase):
    """
    A silent peer is let go; a slow one is not.
    """

    def test_idle(self):
        """
        After ten minutes without a command the session ends; no message is removed.
        """
        self.session.dataReceived(b"DELE 1\r\n")
        self.clock.advance(599)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.mailbox.synced, 0)

    def test_commandsKeepItAlive(self):
        """
        Each command starts the ten minutes anew.
        """
        for _ in range(5):
            self.clock.advance(500)
            self.session.dataReceived(b"NOOP\r\n")
        self.assertFalse(self.transport.disconnected)

    def test_sooner(self):
        """
        A time that gets shorter counts from now, and leaves no timer behind.
        """
        self.clock.advance(300)
        self.assertEqual(self.session.setTimeout(60), 600)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)

    def test_stalledReader(self):
        """
        f30, g08: a peer that reads nothing of a message is aborted, not waited for.
        """
        self.mailbox.messages[0] = b"x\n" * 1000000
        self.session.dataReceived(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        self.clock.advance(601)
        self.assertTrue(self.transport.disconnected)
        self.lose()
        self.assertEqual((self.mailbox.deleted, self.mailbox.synced), (set(), 0))

    def test_slowReader(self):
        """
        A peer that asks for more, however seldom, goes on.
        """
        self.mailbox.messages[0] = b"x\n" * 1000000
        self.session.dataReceived(b"RETR 1\r\n")
        for _ in range(10):
            self.clock.advance(500)
            self.transport.producer.resumeProducing()
        self.assertFalse(self.transport.disconnected)

    def test_acknowledgementsKeepItAlive(self):
        """
        A peer whose kernel acknowledges octets is slow, not stalled.
        """
        self.mailbox.messages[0] = b"x\n" * 1000000
        acknowledged = iter(range(100))
        liveness = type(self.session.session)
        self.patch(liveness, "acknowledged", lambda _: next(acknowledged))
        self.session.dataReceived(b"RETR 1\r\n")
        for _ in range(5):
            self.clock.advance(600)
        self.assertFalse(self.transport.disconnected)
        self.patch(liveness, "acknowledged", lambda _: 99)
        self.clock.advance(600)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(600)
        self.assertTrue(self.transport.disconnected)

    def test_ourOwnWork(self):
        """
        A peer is not blamed for the time that the mailbox takes.
        """
        waiting = Deferred()
        self.mailbox.listMessages = lambda index=None: waiting
        self.session.dataReceived(b"STAT\r\n")
        self.clock.advance(6000)
        self.assertFalse(self.transport.disconnected)
        waiting.callback([])
        self.clock.advance(600)
        self.assertTrue(self.transport.disconnected)

    def test_timeOutStays(self):
        """
        g03: whatever fails, the time-out is as it was.
        """
        self.mailbox.listMessages = lambda index=None: fail(ValueError("x"))
        self.send(b"STAT\r\nXYZZY\r\nNOOP\r\n")
        self.assertEqual(self.session.timeOut, 600)
        self.flushLoggedErrors(ValueError)

    def test_stuckPeer(self):
        """
        g07: the connection is aborted, for closing would wait for unread output.
        """
        closed = []
        self.transport.loseConnection = lambda: closed.append("lose")
        self.transport.abortConnection = lambda: closed.append("abort")
        self.clock.advance(600)
        self.assertEqual(closed, ["abort"])


@implementer(IRealm)
class Realm:
    """
    Gives what it was made with, and counts logouts.
    """

    def __init__(self, result=None):
        self.result = result
        self.minds = []
        self.logouts = 0

    def requestAvatar(self, avatarId, mind, *interfaces):
        self.minds.append(mind)
        if self.result is not None:
            return self.result
        return self.avatar()

    def avatar(self):
        return IMailboxPOP3, ListMailbox([b"x\n"]), self.logout

    def logout(self):
        self.logouts += 1


class LoginTests(DialogueTestCase):
    """
    USER and PASS.
    """

    def makeMailbox(self):
        return None

    def makeSession(self):
        session = super().makeSession()
        self.realm = Realm()
        checker = InMemoryUsernamePasswordDatabaseDontUse(bob=b"pass word")
        session.portal = Portal(self.realm, [checker])
        return session

    def test_login(self):
        """
        f33: a password may hold spaces; the realm gets the session as the mind.
        """
        self.dialogue(b"""
            C: USER bob
            S: +OK USER accepted, send PASS
            C: PASS pass word
            S: +OK Authentication succeeded
            C: STAT
            S: +OK 1 3""")
        self.assertEqual(self.realm.minds, [self.session.session])

    def test_beforeLogin(self):
        """
        Before login no mailbox is asked for anything.
        """
        for command in (b"STAT", b"RETR 1", b"RETR 1 0", b"DELE 1", b"RSET", b"XYZZY"):
            answer = self.send(command + b"\r\n")
            self.assertRegex(answer, rb"\A-ERR bad protocol[^\r]*not authenticated yet")

    def test_refused(self):
        """
        f34: a wrong password and a wrong name get the same answer; one may try again.
        """
        self.dialogue(b"""
            C: USER bob
            S: +OK USER accepted, send PASS
            C: PASS wrong
            S: -ERR Authentication failed
            C: PASS pass word
            S: -ERR USER required before PASS
            C: USER eve
            S: +OK USER accepted, send PASS
            C: PASS pass word
            S: -ERR Authentication failed
            C: USER bob eve
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments
            C: USER bob
            S: +OK USER accepted, send PASS
            C: PASS pass word
            S: +OK Authentication succeeded""")

    def test_secondLogin(self):
        """
        f29: who is logged in cannot log in again, and nothing leaks.
        """
        self.send(b"USER bob\r\nPASS pass word\r\n")
        for command in (b"USER bob", b"PASS pass word", b"APOP bob x", b"AUTH"):
            self.assertEqual(
                self.send(command + b"\r\n"),
                b"-ERR bad protocol or server: POP3Error: already authenticated\r\n",
            )
        self.assertEqual(len(self.realm.minds), 1)
        self.lose()
        self.assertEqual(self.realm.logouts, 1)

    def test_pipelinedOverPass(self):
        """
        f49: commands behind PASS wait for the login.
        """
        self.realm.result = Deferred()
        self.assertEqual(
            self.send(b"USER bob\r\nPASS pass word\r\nSTAT\r\nNOOP\r\n"),
            b"+OK USER accepted, send PASS\r\n",
        )
        self.transport.clear()
        self.realm.result.callback(self.realm.avatar())
        self.assertEqual(
            self.transport.value(),
            b"+OK Authentication succeeded\r\n+OK 1 3\r\n+OK \r\n",
        )

    def test_lostWhileLoggingIn(self):
        """
        f37: who hangs up while the login waits holds no lock afterwards.
        """
        for cancellable in (lambda _: None, None):
            self.setUp()
            self.realm.result = Deferred(cancellable)
            self.session.dataReceived(b"USER bob\r\nPASS pass word\r\nDELE 1\r\n")
            self.lose()
            if not self.realm.result.called:
                self.realm.result.callback(self.realm.avatar())
                self.assertEqual(self.realm.logouts, 1)
            self.assertIsNone(self.session.mbox)
        self.flushLoggedErrors()

    def test_inUse(self):
        """
        A maildrop that another session holds is [IN-USE] (RFC 2449, section 8.1.2).
        """
        self.realm.result = fail(InUse())
        self.assertEqual(
            self.send(b"USER bob\r\nPASS pass word\r\n").splitlines()[1],
            b"-ERR [IN-USE] maildrop is in use by another session",
        )

    def test_deniedWithoutItsText(self):
        """
        The text of an exception stays here, whatever the realm raises.
        """
        for error in (LoginDenied("/secret"), UnauthorizedLogin("/secret")):
            self.realm.result = fail(error)
            self.assertEqual(
                self.send(b"USER bob\r\nPASS pass word\r\n").splitlines()[1],
                b"-ERR Authentication failed",
            )
        self.realm.result = fail(OSError("/secret"))
        answer = self.send(b"USER bob\r\nPASS pass word\r\n")
        self.assertNotIn(b"secret", answer)
        self.assertIn(b"-ERR [SYS/TEMP]", answer)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_wrongInterface(self):
        """
        A realm that gives something else lets nobody in, and is logged out of.
        """
        self.realm.result = succeed((IRealm, self.realm, self.realm.logout))
        answer = self.send(b"USER bob\r\nPASS pass word\r\nSTAT\r\n").splitlines()
        self.assertTrue(answer[1].startswith(b"-ERR [SYS/PERM] "))
        self.assertIn(b"not authenticated yet", answer[2])
        self.assertEqual(self.realm.logouts, 1)

    def test_apop(self):
        """
        APOP of a class that can check it logs in, and what follows waits for it.
        """
        waiting = Deferred()
        self.session.authenticateUserAPOP = lambda user, digest: waiting
        self.assertEqual(self.send(b"APOP bob digest\r\nSTAT\r\n"), b"")
        waiting.callback(self.realm.avatar())
        self.assertEqual(
            self.transport.value(), b"+OK Authentication succeeded\r\n+OK 1 3\r\n"
        )

    def test_greeting(self):
        """
        f35, f36: an APOP challenge is given only by a class that can check it.
        """

        class WithAPOP(ExtendedPOP3):
            def authenticateUserAPOP(self, user, digest):
                raise UnauthorizedLogin

        self.assertEqual(ExtendedPOP3().generateMagic(), b"POP3 server ready")
        self.assertRegex(WithAPOP().generateMagic(), rb"\A<[^<>]+@[^<>]+>\Z")

    def test_noPortal(self):
        """
        Without a portal nobody gets in.
        """
        self.session.portal = None
        self.assertEqual(
            self.send(b"USER bob\r\nPASS x\r\n").splitlines()[1],
            b"-ERR Authentication failed",
        )


class LogTests(DialogueTestCase):
    """
    One line a session.
    """

    def test_line(self):
        """
        It names user, peer, octets sent, octets saved and how the session ended.
        """
        self.session.user = b"bob"
        with capturedLogs() as events:
            self.send(b"RETR 1 18\r\nQUIT\r\n")
            self.lose()
            self.session.connectionLost(None)
        (event,) = [event for event in events if "ending" in event]
        self.assertEqual(event["user"], "bob")
        self.assertEqual(event["peer"], "192.168.1.1")
        self.assertEqual(event["saved"], 18)
        self.assertEqual(event["sent"], len(b"+OK <magic@host>\r\n") + 40)
        self.assertEqual(event["ending"], "QUIT")

    def test_endings(self):
        """
        Each way to end has its words.
        """
        ways = {
            "timed out": lambda: self.clock.advance(601),
            "another session took the maildrop over": self.evict,
            "connection lost": lambda: None,
            "connection lost during a transfer": self.cut,
        }
        for words, end in ways.items():
            self.setUp()
            with capturedLogs() as events:
                end()
                self.lose()
            (event,) = [event for event in events if "ending" in event]
            self.assertEqual(event["ending"], words)

    def evict(self):
        self.session.session.evict()

    def cut(self):
        self.mailbox.messages[0] = b"x\n" * 1000000
        self.session.dataReceived(b"RETR 1\r\n")


class OwnSubclassTests(SynchronousTestCase):
    """
    The mixin goes over somebody's own subclass.
    """

    def test_theirCommands(self):
        """
        Their commands, replies and errors work as before, one reply each.
        """

        class Theirs(pop3.POP3):
            def do_XTHEIRS(self, first, second=b"2"):
                self.successResponse(first + second)

            def do_XRAISES(self):
                raise TypeError("inside")

        class Both(ExtendedRETRMixin, Theirs):
            pass

        test = DialogueTestCase()
        test.protocol = Both
        test.setUp()
        self.assertEqual(test.send(b"XTHEIRS 1\r\n"), b"+OK 12\r\n")
        self.assertEqual(test.send(b"XTHEIRS 1 3\r\n"), b"+OK 13\r\n")
        self.assertTrue(test.send(b"XTHEIRS\r\n").startswith(b"-ERR bad protocol"))
        self.assertTrue(test.send(b"XRAISES\r\n").startswith(b"-ERR [SYS/TEMP]"))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        test.lose()

    def test_mailboxFactory(self):
        """
        Whoever sets mbox, it is seekable; None stays None.
        """
        session = ExtendedPOP3()
        self.assertIsNone(session.mbox)
        session.mbox = ListMailbox([b"x\n"])
        self.assertEqual(self.successResultOf(session.mbox.listMessages(0)), 3)
        session.mbox = None
        self.assertIsNone(session.mbox)
