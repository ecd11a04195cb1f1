"""
`extretr.server.braking` and `extretr.server.entering`: sessions that are held back.
"""

from base64 import b64encode

from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import implementer

from extretr.coroutines import started
from extretr.server import lines
from extretr.server.braking import stand_in
from extretr.server.credentials import IBearerToken
from extretr.server.entering import BrakedRealm, counted
from extretr.server.limits import Brakes, Limits
from extretr.server.meter import Meter
from extretr.server.output import Output
from extretr.server.penalties import DELAYS
from extretr.server.turned_away import TurnedAway
from tests.server.dialogue import DialogueTestCase, ListMailbox

FAILED = b"-ERR Authentication failed\r\n"
BUSY = b"-ERR [SYS/TEMP] %b, try again later\r\n"
WELCOME = b"+OK Authentication succeeded\r\n"


class Counting(Meter):
    """
    Remembers which limits were reached.
    """

    def __init__(self):
        self.limits = []

    def refused(self, limit):
        self.limits.append(limit)


class Asked:
    """
    Brakes that answer when, and as, the test wants.
    """

    def __init__(self, answer):
        self.answer = answer
        self.disconnected = []

    def connect(self, address):
        return self.answer()

    def disconnect(self, address):
        self.disconnected.append(address)


@implementer(IRealm)
class Realm:
    """
    Gives everybody the same maildrop.
    """

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.waiting = None
        self.out = 0

    def requestAvatar(self, avatarId, mind, *interfaces):
        if self.waiting is not None:
            return self.waiting
        return IMailboxPOP3, self.mailbox, self.logout

    def logout(self):
        self.out += 1


@implementer(ICredentialsChecker)
class NoTokens:
    """
    Refuses all tokens.
    """

    credentialInterfaces = (IBearerToken,)

    def requestAvatarId(self, credentials):
        raise UnauthorizedLogin


class BrakesTestCase(DialogueTestCase):
    """
    Sessions from addresses, that log in at a portal, under some limits.
    """

    limits = {}
    attributes = {}

    def setUp(self):
        self.clock = Clock()
        self.brakes = Brakes(Limits(**self.limits), self.clock.seconds)
        self.meter = Counting()
        self.realm = Realm(ListMailbox(self.messages))
        checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret", bob=b"pw")
        realm = BrakedRealm(self.realm, self.brakes, self.meter)
        self.portal = Portal(realm, [checker])
        self.connect()

    def connect(self, host="192.0.2.1", brakes=None):
        """
        Connect a session, which is the one that is spoken to from now on.
        """
        self.session = self.makeSession()
        self.session.portal = self.portal
        self.session.brakes = brakes or self.brakes
        self.session.meter = self.meter
        for name, value in self.attributes.items():
            setattr(self.session, name, value)
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", host, 1234))
        self.transport.abortConnection = self.transport.loseConnection
        self.session.makeConnection(self.transport)
        return self.transport.value()

    def logIn(self, password=b"secret", user=b"alice"):
        """
        Send USER and PASS; give the answer to the latter.
        """
        self.send(b"USER " + user + b"\r\n")
        return self.send(b"PASS " + password + b"\r\n")


class ConnectionTests(BrakesTestCase):
    """
    A connection too many is told so.
    """

    limits = {"per_address": 1}

    def test_turnedAway(self):
        """
        It gets one reply instead of the greeting, and the connection is closed.
        """
        said = self.connect()
        self.assertEqual(said, BUSY % b"too many connections")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.send(b"CAPA\r\nUSER alice\r\n"), b"")
        self.assertEqual(self.meter.limits, ["connections of an address"])
        self.assertEqual(self.session.ending, "turned away")

    def test_told(self):
        """
        A storm of them is a line of the log now and then, not one each.
        """
        self.session.turnedAway = told = TurnedAway()
        self.attributes = {"turnedAway": told}
        with capturedLogs() as logs:
            for _ in range(100):
                self.connect()
                self.lose()
            self.clock.advance(10)
            self.connect()
            self.lose()
        lines = [formatEvent(event) for event in logs]
        self.assertEqual(len(lines), 2)
        self.assertIn("192.0.2.1 was turned away: too many connections of", lines[0])
        self.assertIn("99 others", lines[1])

    def test_notCounted(self):
        """
        One that was turned away takes nothing back when it is gone.
        """
        first = self.session
        self.connect()
        self.lose()
        self.connect()
        self.assertTrue(self.transport.disconnecting)
        first.connectionLost(None)
        self.assertIn(b"+OK", self.connect())

    def test_local(self):
        """
        Peers on this host are not limited by address, unless that is asked for.
        """
        for _ in range(3):
            self.assertIn(b"+OK", self.connect("127.0.0.1"))
        self.attributes = {"limitsLocal": True}
        self.assertIn(b"+OK", self.connect("127.0.0.1"))
        self.assertIn(b"-ERR", self.connect("127.0.0.1"))

    def test_hungUp(self):
        """
        Who hangs up before it is known whether there is room takes no room.
        """
        answer = Deferred()

        slow = Asked(lambda: answer)
        self.assertEqual(self.connect(brakes=slow), b"")
        self.assertEqual(self.send(b"NOOP\r\n"), b"")
        self.lose()
        self.assertEqual(slow.disconnected, [])
        answer.callback("")
        self.assertEqual(slow.disconnected, ["192.0.2.1"])
        self.assertEqual(self.transport.value(), b"")

    def test_answersLater(self):
        """
        What comes before the greeting waits for it.
        """
        answer = Deferred()
        self.connect(brakes=Asked(lambda: answer))
        self.assertEqual(self.send(b"XYZ\r\n"), b"")
        answer.callback("")
        greeting, reply, _ = self.transport.value().split(b"\r\n")
        self.assertIn(b"+OK", greeting)
        self.assertIn(b"-ERR", reply)

    def test_nobodyTells(self):
        """
        Where the limits cannot be asked, nobody is let in, and that is logged.
        """

        def broken():
            raise RuntimeError("secret text")

        said = self.connect(brakes=Asked(broken))
        self.assertEqual(
            said, b"-ERR [SYS/TEMP] the server is busy, try again later\r\n"
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class LoginTests(BrakesTestCase):
    """
    Failed logins make the next ones wait.
    """

    limits = {"logins_per_address": 2}

    def test_delay(self):
        """
        The next login of the address waits, whoever's it is; others do not.
        """
        self.assertEqual(self.logIn(b"wrong"), FAILED)
        self.assertEqual(self.logIn(), b"")
        self.clock.advance(DELAYS[0] - 0.01)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.01)
        self.assertEqual(self.transport.value(), WELCOME)
        self.connect("192.0.2.2")
        self.assertEqual(self.logIn(b"pw", b"bob"), WELCOME)

    def test_sameAgain(self):
        """
        The same wrong password again makes nobody wait longer, by PASS or by AUTH.
        """
        self.logIn(b"wrong")
        for _ in range(3):
            self.assertEqual(self.logIn(b"wrong"), b"")
            self.clock.advance(DELAYS[0])
            self.assertEqual(self.transport.value(), FAILED)
            plain = b64encode(b"\0alice\0wrong")
            self.assertEqual(self.send(b"AUTH PLAIN " + plain + b"\r\n"), b"")
            self.clock.advance(DELAYS[0])
            self.assertEqual(self.transport.value(), FAILED)

    def test_another(self):
        """
        Another password does.
        """
        self.logIn(b"wrong")
        self.logIn(b"wrong too")
        self.clock.advance(DELAYS[0])
        self.logIn()
        self.clock.advance(DELAYS[1] - 0.01)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.01)
        self.assertEqual(self.transport.value(), WELCOME)

    def test_withoutUser(self):
        """
        A PASS that has no user makes no two later guesses look like the same one.
        """
        self.attributes = {"apop": True}
        self.connect()
        for delay in (0, *DELAYS[:2]):
            self.assertIn(b"USER required", self.send(b"PASS x\r\n"))
            self.assertEqual(
                self.send(b"APOP alice wrong\r\n"), b"" if delay else FAILED
            )
            self.clock.advance(delay)
        self.assertEqual(self.brakes.begin("192.0.2.1"), DELAYS[2])

    def test_refusedToken(self):
        """
        A token that was refused counts, however its exchange is ended.
        """
        self.portal = Portal(self.realm, [NoTokens()])
        self.attributes = {"requireTLS": False}
        for number, end in enumerate((b"AQ==", b"*", b"?", b"A" * 13000, None)):
            self.connect(f"192.0.2.{10 + number}")
            said = b64encode(b"user=bob\1auth=Bearer bad\1\1")
            asked = self.send(b"AUTH XOAUTH2 " + said + b"\r\n")
            self.assertTrue(asked.startswith(b"+ "), asked)
            if end is None:
                self.lose()
            else:
                self.assertEqual(self.send(end + b"\r\n"), FAILED)
            self.assertEqual(self.brakes.begin(f"192.0.2.{10 + number}"), DELAYS[0])

    def test_tooMany(self):
        """
        A login too many of an address is refused at once, and may be tried again.
        """
        self.logIn(b"wrong")
        patient, waiting = self.session, []
        for _ in range(2):
            self.connect()
            self.assertEqual(self.logIn(), b"")
            waiting.append(self.transport)
        self.session, self.transport = patient, patient.transport.original
        self.assertEqual(self.logIn(), BUSY % b"too many logins at once")
        self.assertEqual(self.meter.limits, ["logins of an address"])
        self.clock.advance(DELAYS[0])
        self.assertEqual([each.value() for each in waiting], [WELCOME] * 2)
        self.assertEqual(self.logIn(), WELCOME)

    def test_hungUp(self):
        """
        Who hangs up while it waits leaves no timer, and makes room.
        """
        self.logIn(b"wrong")
        self.lose()
        for _ in range(5):
            self.connect()
            self.assertEqual(self.logIn(), b"")
            self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.brakes.begin("192.0.2.1"), DELAYS[0])

    def test_standIn(self):
        """
        What stands for a password is another for another user or password, however
        these are put together, and does not hold them.
        """
        pairs = [
            (b"a", b"bc"),
            (b"ab", b"c"),
            (b"a", b"b"),
            (b"", b"abc"),
            (b"a ", b"b"),
        ]
        self.assertEqual(len({stand_in(*pair) for pair in pairs}), len(pairs))
        self.assertNotIn(b"secret", stand_in(b"alice", b"secret"))


class UserTests(BrakesTestCase):
    """
    A user has so many sessions, and logs in not too soon.
    """

    limits = {"per_user": 1, "login_delay": 60}
    attributes = {"loginDelay": 60}

    def test_sessions(self):
        """
        A session too many is refused, one that has ended makes room.
        """
        self.assertEqual(self.logIn(), WELCOME)
        first = self.session
        self.connect()
        self.assertIn(b"-ERR [SYS/TEMP] too many logins", self.logIn())
        first.connectionLost(None)
        self.assertEqual(self.realm.out, 1)
        self.assertEqual(self.logIn(), WELCOME)

    def test_refusedByTheStore(self):
        """
        So does one that does not get its maildrop.
        """
        self.realm.waiting = Deferred()
        self.logIn()
        self.lose()
        self.realm.waiting = None
        self.connect()
        self.assertEqual(self.logIn(), WELCOME)

    def test_delay(self):
        """
        After QUIT the next login has to wait, which is announced.
        """
        self.assertIn(b"LOGIN-DELAY 60\r\n", self.send(b"CAPA\r\n"))
        self.logIn()
        self.send(b"QUIT\r\n")
        self.connect()
        self.assertEqual(
            self.logIn(), b"-ERR [LOGIN-DELAY] too soon after the last login\r\n"
        )
        self.clock.advance(60)
        self.assertEqual(self.logIn(), WELCOME)

    def test_cutOff(self):
        """
        Who was cut off comes back at once.
        """
        self.logIn()
        self.lose()
        self.connect()
        self.assertEqual(self.logIn(), WELCOME)

    def test_lateAnswer(self):
        """
        What was counted after all is taken back where nobody waits for it.
        """
        answer, undone = Deferred(), []
        asked = started(counted(answer, lambda: undone.append(True)))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        answer.callback("")
        self.assertEqual(undone, [True])
        answer, undone = Deferred(), []
        asked = started(counted(answer, lambda: undone.append(True)))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        answer.callback("some limit")
        self.assertEqual(undone, [])


class StrangerTests(BrakesTestCase):
    """
    A stranger stays for a time only, and does not say much.
    """

    attributes = {
        "loginTimeOut": 60,
        "mostFailures": 3,
        "mostBadCommands": 4,
        "mostOctetsOfStrangers": 1000,
    }

    def test_time(self):
        """
        However busy it is, a session without a login is ended in time, by an abort.
        """
        for _ in range(6):
            self.send(b"CAPA\r\n")
            self.clock.advance(9.9)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(0.7)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.session.ending, "no login in time")
        self.assertEqual(self.meter.limits, ["time to log in"])

    def test_timeInAUTH(self):
        """
        A response that does not come is no excuse.
        """
        self.assertIn(b"+", self.send(b"AUTH PLAIN\r\n"))
        self.clock.advance(60)
        self.assertEqual(self.session.ending, "no login in time")

    def test_timeOfOurs(self):
        """
        What we take time for is not held against it.
        """
        self.realm.waiting = Deferred()
        self.logIn()
        self.clock.advance(75)
        self.assertFalse(self.transport.disconnecting)
        self.realm.waiting.callback((IMailboxPOP3, self.realm.mailbox, lambda: None))
        self.assertEqual(self.transport.value(), WELCOME)
        self.clock.advance(100)
        self.assertFalse(self.transport.disconnecting)

    def test_timeOfOutput(self):
        """
        It goes on while the peer does not read what it has asked for.
        """
        self.patch(Output, "isClogged", lambda output: True)
        self.session.dataReceived(b"CAPA\r\n")
        self.assertIsNotNone(self.session.blocked)
        self.clock.advance(self.attributes["loginTimeOut"])
        self.assertEqual(self.session.ending, "no login in time")

    def test_timeOfTheRate(self):
        """
        It goes on while commands wait for having come too fast.
        """
        self.session.commandRate = self.session.commandBurst = 1
        self.send(b"CAPA\r\n" * 100)
        for _ in range(self.attributes["loginTimeOut"]):
            self.assertFalse(self.transport.disconnecting)
            self.clock.advance(1)
        self.assertEqual(self.session.ending, "no login in time")

    def test_timeOfTheTurn(self):
        """
        It goes on while others have their turn between many commands.
        """
        self.patch(lines, "COMMANDS_A_TURN", 3)
        self.session.schedule = lambda steps: Deferred()
        self.session.dataReceived(b"CAPA\r\n" * 4)
        self.assertIsNotNone(self.session.blocked)
        self.clock.advance(self.attributes["loginTimeOut"])
        self.assertEqual(self.session.ending, "no login in time")

    def test_loggedIn(self):
        """
        Who has logged in may stay.
        """
        self.logIn()
        self.clock.advance(300)
        self.assertFalse(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failures(self):
        """
        Some failed logins end the session, each with its reply.
        """
        for _ in range(3):
            self.logIn(b"wrong")
            self.clock.advance(DELAYS[-1])
            self.assertEqual(self.transport.value()[-len(FAILED) :], FAILED)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.send(b"USER alice\r\n"), b"")
        self.assertEqual(self.session.ending, "too many failed logins")

    def test_badCommands(self):
        """
        So do some senseless commands.
        """
        said = self.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\n\r\n")
        self.assertEqual(said.count(b"\r\n"), 4)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.session.ending, "too many bad commands")

    def test_octets(self):
        """
        More octets than a login can have end it at once.
        """
        self.send(b"CAPA\r\n" * 160)
        self.assertFalse(self.transport.disconnecting)
        self.send(b"CAPA\r\n" * 10)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.session.ending, "too many octets before a login")

    def test_octetsAfterwards(self):
        """
        Who has logged in may say as much as it likes.
        """
        self.logIn()
        self.send(b"NOOP\r\n" * 1000)
        self.assertFalse(self.transport.disconnecting)


class RateTests(BrakesTestCase):
    """
    Commands that come too fast wait, and each gets its reply.
    """

    attributes = {"commandRate": 10, "commandBurst": 20}

    def setUp(self):
        super().setUp()
        self.logIn()

    def test_slowed(self):
        """
        A flood is answered at the rate, none of it is lost.
        """
        answered = self.send(b"NOOP\r\n" * 100).count(b"+OK")
        self.assertLess(answered, 25)
        self.clock.pump([0.1] * 40)
        middle = self.transport.value().count(b"+OK")
        self.assertAlmostEqual(middle, answered + 40, delta=3)
        self.clock.pump([0.1] * 60)
        self.assertEqual(self.transport.value().count(b"+OK"), 100)
        self.assertIn("command rate", self.meter.limits)

    def test_messages(self):
        """
        Commands for one message are not counted: clients pipeline them by the thousand.
        """
        said = self.send(b"RETR 1\r\nLIST 1\r\nUIDL 1\r\nTOP 1 0\r\n" * 100)
        self.assertEqual(said.count(b"+OK"), 400)

    def test_hungUp(self):
        """
        Nothing is left of a session that hangs up while it waits.
        """
        self.send(b"NOOP\r\n" * 100)
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class DropInTests(DialogueTestCase):
    """
    A class without brakes is as it was.
    """

    def test_nothing(self):
        """
        No limit, no timer but autologout, nothing announced.
        """
        self.assertEqual(self.send(b"XYZ\r\n" * 500).count(b"-ERR"), 500)
        self.assertEqual(self.send(b"NOOP\r\n" * 5000).count(b"+OK"), 5000)
        said = self.send(b"CAPA\r\n")
        self.assertNotIn(b"LOGIN-DELAY", said)
        self.assertNotIn(b"EXPIRE", said)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
