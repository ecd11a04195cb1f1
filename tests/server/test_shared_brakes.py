"""
`extretr.server.shared_brakes` and `extretr.server.worker_link`: a worker asks.
"""

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.amp import TooLong
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import ServerBusy
from extretr.interfaces import IBrakes
from extretr.server.limits import Brakes, Limits
from extretr.server.shared_brakes import AskedBrakes, BrakesDesk
from extretr.server.worker_link import (
    Hurry,
    Reload,
    Stop,
    SupervisorLink,
    WorkerLink,
)


class Process:
    """
    What a worker does when it is told.
    """

    def __init__(self):
        self.told = []

    def reload(self):
        self.told.append("reload")

    def stop(self):
        self.told.append("stop")

    def hurry(self):
        self.told.append("hurry")


class LinkedTestCase(SynchronousTestCase):
    """
    Two workers and their supervisor.
    """

    def setUp(self):
        self.clock = Clock()
        limits = Limits(
            connections=3, per_address=2, per_user=1, logins_per_address=1,
            login_delay=10, delays=(5.0,),
        )  # fmt: skip
        self.brakes = Brakes(limits, self.clock.seconds)
        self.serving = []
        self.first, self.second = self.worker(), self.worker()

    def worker(self):
        worker = Process()
        supervisor = SupervisorLink(
            lambda: self.serving.append(worker), BrakesDesk(self.brakes)
        )
        link = WorkerLink(worker)
        with capturedLogs():
            worker.pump = connect(
                supervisor,
                FakeTransport(supervisor, True),
                link,
                FakeTransport(link, False),
            )
        worker.link, worker.supervisor = link, supervisor
        worker.brakes = AskedBrakes(link.callRemote)
        return worker

    def ask(self, worker, name, *arguments):
        result = getattr(worker.brakes, name)(*arguments)
        worker.pump.flush()
        return None if result is None else self.successResultOf(result)

    def die(self, worker):
        with capturedLogs():
            worker.link.transport.abortConnection()
            worker.pump.flush()


class BrakesTests(LinkedTestCase):
    """
    The limits of all workers together.
    """

    def test_interface(self):
        """
        A worker has brakes like any other.
        """
        verifyObject(IBrakes, self.first.brakes)

    def test_connections(self):
        """
        What one holds, the other has not; what it gives back, the other can have.
        """
        address = "2001:db8::/64"
        for worker in (self.first, self.second):
            self.assertEqual(self.ask(worker, "connect", address), "")
        limit = "connections of an address"
        for worker in (self.first, self.second):
            self.assertEqual(self.ask(worker, "connect", address), limit)
        self.ask(self.first, "disconnect", address)
        self.assertEqual(self.ask(self.second, "connect", address), "")

    def test_users(self):
        """
        So it is with the sessions of a user, and with the delay to the next login.
        """
        user = b"al\xffice"
        self.assertEqual(self.ask(self.first, "enter", user), "")
        limit = "sessions of a user"
        self.assertEqual(self.ask(self.second, "enter", user), limit)
        self.ask(self.first, "leave", user)
        self.ask(self.first, "quitted", user, 1)
        self.assertEqual(self.ask(self.second, "enter", user), "login delay")
        self.clock.advance(9)
        self.assertEqual(self.ask(self.second, "enter", user), "")

    def test_logins(self):
        """
        So it is with logins, and what failed at one delays those of the other.
        """
        self.assertEqual(self.ask(self.first, "begin", "192.0.2.7"), 0)
        self.assertLess(self.ask(self.second, "begin", "192.0.2.7"), 0)
        self.ask(self.first, "failed", "192.0.2.7", b"alice", b"\0tried")
        self.ask(self.first, "end", "192.0.2.7")
        self.assertEqual(self.ask(self.second, "begin", "192.0.2.7"), 5)
        self.ask(self.second, "end", "192.0.2.7")
        self.ask(self.second, "succeeded", "192.0.2.7", b"alice")

    def test_dead(self):
        """
        A worker that dies gives back all that it held, once, and no more than that.
        """
        self.ask(self.second, "connect", "a")
        held = (("connect", "a"), ("begin", "a"), ("enter", b"alice"))
        for name, key in held:
            self.ask(self.first, name, key)
        self.ask(self.first, "connect", "a")
        self.ask(self.first, "disconnect", "never")
        self.die(self.first)
        self.assertEqual(self.ask(self.second, "connect", "a"), "")
        limit = "connections of an address"
        self.assertEqual(self.ask(self.second, "connect", "a"), limit)
        self.assertGreaterEqual(self.ask(self.second, "begin", "a"), 0)
        self.assertEqual(self.ask(self.second, "enter", b"alice"), "")

    def test_supervisorDead(self):
        """
        Without a supervisor no question is answered, and the worker stops.
        """
        asked = self.first.brakes.connect("a")
        with capturedLogs():
            self.first.link.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(asked, ConnectionLost)
        self.assertEqual(self.first.told, ["stop"])


class TogetherTests(LinkedTestCase):
    """
    What a worker asks in one turn of its reactor goes as one.
    """

    def setUp(self):
        super().setUp()
        self.sent, self.turns = [], []

        def ask(command, **arguments):
            self.sent.append(arguments)
            return self.first.link.callRemote(command, **arguments)

        self.asked = AskedBrakes(ask, self.turns.append)

    def turn(self):
        turns = self.turns[:]
        self.turns.clear()
        for end in turns:
            end()
        self.first.pump.flush()

    def test_one(self):
        """
        Questions and what is told keep their order; each question has its answer.
        """
        answers = [self.asked.connect("a"), self.asked.enter(b"\xff\0")]
        self.asked.disconnect("a")
        answers += [self.asked.connect("a"), self.asked.enter(b"\xff\0")]
        answers += [self.asked.begin("a")]
        self.assertEqual(self.sent, [])
        self.turn()
        self.assertEqual(
            [self.successResultOf(answer) for answer in answers],
            ["", "", "", "sessions of a user", 0.0],
        )
        self.assertEqual(len(self.sent), 1)
        self.assertEqual(self.turns, [])

    def test_next(self):
        """
        What comes up later goes in its own turn; a turn without anything sends nothing.
        """
        for _ in range(2):
            self.asked.enter(b"alice")
            self.turn()
            self.turn()
        self.assertEqual(len(self.sent), 2)

    def test_notLimited(self):
        """
        Of a login without an address nobody is asked or told, as it never waits.
        """
        for _ in range(30):
            self.assertEqual(self.successResultOf(self.asked.begin("")), 0)
            self.asked.failed("", b"alice", b"tried")
            self.assertEqual(self.brakes.begin(""), 0)
        self.asked.end("")
        self.asked.succeeded("", b"alice")
        self.turn()
        self.assertEqual(self.sent, [])

    def test_many(self):
        """
        What is too much for one command goes in several, in its order.
        """
        answers = [self.asked.enter(b"%d" % number) for number in range(1001)]
        answers += [self.asked.enter(b"\1" * 9000) for _ in range(3)]
        self.turn()
        found = [self.successResultOf(answer) for answer in answers]
        self.assertEqual(found, [""] * 1002 + ["sessions of a user"] * 2)
        for sent in self.sent:
            self.assertLess(len(sent["calls"]), 65536)

    def test_failure(self):
        """
        A question that cannot be answered fails alone.
        """
        self.patch(self.brakes, "begin", None)
        answers = [self.asked.begin("a"), self.asked.connect("a")]
        self.turn()
        self.failureResultOf(answers[0], ServerBusy)
        self.assertEqual(self.successResultOf(answers[1]), "")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_tooLong(self):
        """
        So does one that no command can take.
        """
        users = [b"alice", b"\1" * 20000, b"bob"]
        answers = [self.asked.enter(user) for user in users]
        self.turn()
        self.assertEqual(self.successResultOf(answers[0]), "")
        self.failureResultOf(answers[1], TooLong)
        self.assertEqual(self.successResultOf(answers[2]), "")

    def test_gone(self):
        """
        Where nobody answers any more, all questions fail; what is told is not missed.
        """
        answers = [self.asked.begin("a"), self.asked.connect("a")]
        self.asked.end("a")
        self.die(self.first)
        self.turn()
        self.asked.end("a")
        self.turn()
        for answer in answers:
            self.failureResultOf(answer, ConnectionDone)


class LinkTests(LinkedTestCase):
    """
    What else they say.
    """

    def test_orders(self):
        """
        The worker does what it is told, and tells when it serves.
        """
        for command in (Reload, Stop, Hurry):
            self.first.supervisor.tell(command)
        self.first.pump.flush()
        self.assertEqual(self.first.told, ["reload", "stop", "hurry"])
        self.second.link.serves()
        self.second.pump.flush()
        self.assertEqual(self.serving, [self.second])

    def test_ping(self):
        """
        One whose reactor turns answers.
        """
        answer = self.first.supervisor.ping()
        self.assertNoResult(answer)
        self.first.pump.flush()
        self.successResultOf(answer)

    def test_gone(self):
        """
        Who is gone is told nothing, and that is no error.
        """
        answer = self.first.supervisor.ping()
        self.die(self.first)
        self.first.supervisor.tell(Stop)
        self.successResultOf(answer)
