"""
`extretr.server.shared_brakes` and `extretr.server.worker_link`: what workers share.
"""

import dataclasses
import os
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.amp import TooLong
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.interfaces import IBrakes
from extretr.server.limits import Brakes, Limits, Remembered
from extretr.server.penalties import FORGIVEN_AFTER
from extretr.server.shared_brakes import (
    MOST_SESSIONS,
    BrakesDesk,
    SharedBrakes,
    keys_at_once,
)
from extretr.server.shared_counts import SharedCounts, make_table
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


class Cluster:
    """
    Some workers and their supervisor, whose messages wait until they are pumped.
    """

    def __init__(self, count, limits, clock):
        self.limits, self.clock = limits, clock
        self.serving = []
        self.remembered = Remembered(limits, clock.seconds)
        self._count = count
        self._table = make_table(count, 50)
        self._counts = SharedCounts(self._table, count)
        self.workers = [self._worker(number) for number in range(count)]

    def close(self):
        os.close(self._table)

    def _worker(self, number):
        worker = Process()
        supervisor = SupervisorLink(
            lambda: self.serving.append(worker), BrakesDesk(self.remembered)
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
        worker.asked = []

        def tell(command, **arguments):
            worker.asked.append(command)
            return link.callRemote(command, **arguments)

        counts = SharedCounts(self._table, self._count, number)
        worker.brakes = SharedBrakes(self.limits, counts, tell, self.clock.seconds)
        return worker

    def die(self, number):
        """
        Have a worker die, and another start in its place.
        """
        dead = self.workers[number]
        with capturedLogs():
            dead.link.transport.abortConnection()
            dead.pump.flush()
        self._counts.forget(number)
        self.workers[number] = self._worker(number)


class LinkedTestCase(SynchronousTestCase):
    """
    Two workers and their supervisor.
    """

    limits = Limits(
        connections=3, per_address=2, per_user=1, logins_per_address=1,
        login_delay=10, delays=(5.0,),
    )  # fmt: skip

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(10_000)
        self.cluster = Cluster(2, self.limits, self.clock)
        self.addCleanup(self.cluster.close)
        self.serving = self.cluster.serving
        self.first, self.second = self.cluster.workers

    def ask(self, worker, name, *arguments):
        result = getattr(worker.brakes, name)(*arguments)
        worker.pump.flush()
        if isinstance(result, Deferred):
            return self.successResultOf(result)
        return result

    def die(self, worker):
        self.cluster.die(self.cluster.workers.index(worker))


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

    def test_failedNow(self):
        """
        While it is on its way that a login has failed, the address is asked about
        already, and its next login at the same worker waits.
        """
        self.first.brakes.begin("192.0.2.7")
        self.first.brakes.failed("192.0.2.7", b"alice", b"tried")
        self.first.brakes.end("192.0.2.7")
        waits = self.first.brakes.begin("192.0.2.7")
        self.assertNoResult(waits)
        self.first.pump.flush()
        self.assertEqual(self.successResultOf(waits), 5)
        self.first.brakes.end("192.0.2.7")
        self.assertIsInstance(self.second.brakes.begin("192.0.2.7"), Deferred)

    def test_forgiven(self):
        """
        What lies back for long is not asked about any more, as it is forgiven.
        """
        self.ask(self.first, "failed", "192.0.2.7", b"alice", b"tried")
        self.clock.advance(FORGIVEN_AFTER - 1)
        self.assertEqual(self.ask(self.second, "begin", "192.0.2.7"), 5)
        self.ask(self.second, "end", "192.0.2.7")
        self.clock.advance(3)
        self.assertEqual(self.second.brakes.begin("192.0.2.7"), 0)

    def test_forgivenAndFails(self):
        """
        So its next failure is the first one again.
        """
        limits = dataclasses.replace(self.limits, delays=(5.0, 50.0))
        cluster = Cluster(2, limits, self.clock)
        self.addCleanup(cluster.close)
        for worker, tried in zip(cluster.workers, (b"1", b"2"), strict=True):
            self.clock.advance(FORGIVEN_AFTER + 2)
            self.assertEqual(self.ask(worker, "begin", "192.0.2.7"), 0)
            self.ask(worker, "failed", "192.0.2.7", b"alice", tried)
            self.ask(worker, "end", "192.0.2.7")
        self.assertEqual(self.ask(worker, "begin", "192.0.2.7"), 5)

    def test_succeeded(self):
        """
        A login that is right takes back the failures of its user at all workers.
        """
        self.ask(self.first, "failed", "192.0.2.7", b"alice", b"tried")
        self.ask(self.second, "succeeded", "192.0.2.7", b"alice")
        self.assertEqual(self.ask(self.first, "begin", "192.0.2.7"), 0)

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
        Without a supervisor no question is answered, and the worker stops; the login
        that it was about is not counted.
        """
        self.first.brakes.failed("a", b"alice", b"tried")
        asked = self.first.brakes.begin("a"), self.first.brakes.enter(b"alice")
        with capturedLogs():
            self.first.link.connectionLost(Failure(ConnectionLost()))
        for each in asked:
            self.failureResultOf(each, ConnectionLost)
        self.assertEqual(self.first.told, ["stop"])
        again = self.first.brakes.begin("a")
        self.failureResultOf(again, ConnectionLost, ConnectionDone)
        self.first.brakes.failed("a", b"alice", b"tried")

    def test_failure(self):
        """
        A question that cannot be answered fails alone.
        """
        self.patch(self.cluster.remembered, "tooSoon", lambda user: 1 / 0)
        failures = []
        self.first.brakes.enter(b"alice").addErrback(failures.append)
        self.ask(self.first, "failed", "a", b"alice", b"tried")
        self.assertEqual(len(failures), 1)
        self.assertEqual(self.ask(self.first, "begin", "a"), 5)

    def test_tooLong(self):
        """
        So does one that no command can take.
        """
        self.assertRaises(TooLong, self.first.brakes.enter, b"\1" * 70_000)
        self.assertEqual(self.ask(self.first, "enter", b"alice"), "")

    def test_keys(self):
        """
        There is room for what the limit of connections allows, or for very many.
        """
        self.assertEqual(keys_at_once(Limits(connections=100)), 301)
        for connections in (0, 10**9):
            limits = Limits(connections=connections)
            self.assertEqual(keys_at_once(limits), 3 * MOST_SESSIONS + 1)


class NobodyAskedTests(LinkedTestCase):
    """
    What a worker decides by itself.
    """

    limits = Limits(
        connections=5000, per_address=100, per_user=10, logins_per_address=9
    )

    def test_session(self):
        """
        Of a session whose address has not failed of late nobody is asked or told.
        """
        brakes = self.first.brakes
        for address in ("192.0.2.7", ""):
            self.assertEqual(brakes.connect(address), "")
            self.assertEqual(brakes.begin(address), 0)
            brakes.succeeded(address, b"alice")
            brakes.end(address)
            self.assertEqual(brakes.enter(b"alice"), "")
            brakes.quitted(b"alice", 1)
            brakes.leave(b"alice")
            brakes.disconnect(address)
        self.assertEqual(self.first.asked, [])

    def test_noAddress(self):
        """
        A login without an address never waits.
        """
        for _ in range(30):
            self.assertEqual(self.first.brakes.begin(""), 0)
            self.first.brakes.failed("", b"alice", b"tried")
        self.first.brakes.end("")
        self.assertEqual(self.first.asked, [])


class NoLimitsTests(LinkedTestCase):
    """
    Without limits any number may be.
    """

    limits = Limits(delays=())

    def test_any(self):
        """
        Nothing is counted, and no failure told.
        """
        brakes = self.first.brakes
        for address in ("a", ""):
            self.assertEqual({brakes.connect(address) for _ in range(100)}, {""})
            self.assertEqual({brakes.begin(address) for _ in range(100)}, {0.0})
        self.assertEqual({brakes.enter(b"a") for _ in range(100)}, {""})
        brakes.failed("a", b"alice", b"tried")
        brakes.succeeded("a", b"alice")
        brakes.end("a")
        brakes.leave(b"a")
        brakes.disconnect("a")
        self.assertEqual(self.first.asked, [])


ADDRESSES = ("", "a", "b")
STEPS = st.one_of(
    st.tuples(st.sampled_from(("connect", "begin")), st.sampled_from(ADDRESSES)),
    st.tuples(st.just("enter"), st.sampled_from((b"alice", b"bob"))),
    st.tuples(st.just("back"), st.integers(0, 50)),
    st.tuples(st.sampled_from(("failed", "succeeded")), st.sampled_from(ADDRESSES)),
    st.tuples(st.sampled_from(("pump", "die")), st.none()),
)
UNDO = {"connect": "disconnect", "begin": "end", "enter": "leave"}
LIMITS = Limits(connections=6, per_address=3, per_user=2, logins_per_address=2)


class ModelTests(SynchronousTestCase):
    """
    Several workers, whose messages are late and who may die, are like one process.
    """

    @given(st.lists(st.tuples(st.integers(0, 2), STEPS), max_size=80))
    def test_model(self, steps):
        """
        What each answers is what brakes of one process would: so no limit is exceeded,
        nobody is refused what is free, and the dead have given back everything.
        """
        clock = Clock()
        clock.advance(10_000)
        cluster, one = Cluster(3, LIMITS, clock), Brakes(LIMITS, clock.seconds)
        held = [Counter() for _ in cluster.workers]
        delays = []
        try:
            for number, (name, argument) in steps:
                worker, mine = cluster.workers[number], held[number]
                if name == "pump":
                    worker.pump.flush()
                elif name == "die":
                    cluster.die(number)
                    for (what, key), count in mine.items():
                        for _ in range(count):
                            getattr(one, UNDO[what])(key)
                    mine.clear()
                elif name == "back":
                    keys = sorted(mine.elements(), key=repr)
                    if keys:
                        what, key = keys[argument % len(keys)]
                        mine[what, key] -= 1
                        getattr(worker.brakes, UNDO[what])(key)
                        getattr(one, UNDO[what])(key)
                elif name in ("failed", "succeeded"):
                    told = (b"alice", b"tried") if name == "failed" else (b"alice",)
                    getattr(worker.brakes, name)(argument, *told)
                else:
                    self.answer(worker, one, name, argument, mine, delays)
            for worker in cluster.workers:
                worker.pump.flush()
            for delay in delays:
                # One that has died is not answered any more.
                delay.addErrback(lambda reason: reason.trap(ConnectionDone))
                self.successResultOf(delay)
        finally:
            cluster.close()

    def answer(self, worker, one, name, key, mine, delays):
        expected, found = (getattr(each, name)(key) for each in (one, worker.brakes))
        if isinstance(found, Deferred):
            # It is counted; how long it waits is on its way.
            delays.append(found)
            found = 0.0
        self.assertEqual(found, expected)
        if found in ("", 0.0):
            mine[name, key] += 1


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
