"""
A run of the fetcher: accounts, rounds, and how it ends.
"""

import io
import os
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.mail.pop3 import InsecureAuthenticationDisallowed
from twisted.trial.unittest import SynchronousTestCase

from extretr.client import events
from extretr.client import run as module
from extretr.client.account import Account, Target
from extretr.client.config import ConfigError
from extretr.client.fetch import GaveUp, Stopped
from extretr.client.journal import AlreadyRunningError, Journal
from extretr.client.outcome import explain, status_of
from extretr.client.places import account_folder
from extretr.client.refusals import (
    NotAuthenticated,
    NotOffered,
    NotTrusted,
    PermanentFailure,
    ProtocolViolation,
)
from extretr.client.run import Run, policy_of
from extretr.client.secrets import NoPassword
from extretr.stores.appending import CannotDeliver, TargetBusy


class Fetch:
    """
    A fetch that ends as a test says.
    """

    made = []
    results = {}

    def __init__(self, connector, work, clock, attempts):
        self.work = work
        self.connector = connector
        self.attempts = attempts
        self.stopped = Deferred()
        self.made.append(self)

    def run(self):
        result = self.results.get(self.work.account)
        if result == "wait":
            return self.stopped
        return fail(result) if isinstance(result, Exception) else succeed(None)

    def stop(self):
        self.stopped.errback(Stopped())


class RunCase(SynchronousTestCase):
    """
    Three accounts.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.patch(module, "Fetch", Fetch)
        self.patch(Fetch, "made", [])
        self.patch(Fetch, "results", {})
        self.clock = Clock()
        self.events = []

    def account(self, name, **more):
        to = Target("maildir", self.folder / name)
        fixed = {"tls": "stls", "host": "127.0.0.1", "port": 110, "user": name}
        return Account(name=name, to=to, **fixed, **more)

    def start(self, **more):
        self.fetching = Run(
            self.clock,
            [self.account(name) for name in ("a", "b", "c")],
            lambda account: lambda: b"secret",
            self.events.append,
            self.folder / "state",
            io.BytesIO(),
            lambda: 0.0,
            **more,
        )
        return self.fetching.start()

    def names(self):
        return [fetch.work.account for fetch in Fetch.made]


class RoundTests(RunCase):
    """
    Account after account, round after round.
    """

    def test_all(self):
        """
        One fails, and the others are fetched all the same; its status is the run's.
        """
        Fetch.results["a"] = GaveUp("the link")
        Fetch.results["b"] = NoPassword("none")
        self.assertEqual(self.successResultOf(self.start()), os.EX_TEMPFAIL)
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assertEqual([event.account for event in self.events], ["a", "b"])
        self.assertEqual(self.events[1].status, os.EX_NOPERM)
        self.assertIn("none", self.events[1].why)

    def test_locked(self):
        """
        An account that another run fetches is left to it.
        """
        folder = account_folder(self.folder / "state", "127.0.0.1", 110, "b")
        with Journal(folder, lambda: 0.0):
            self.assertEqual(self.successResultOf(self.start()), os.EX_TEMPFAIL)
        self.assertEqual(self.names(), ["a", "c"])

    def test_every(self):
        """
        A round begins so long after the one before has ended; the status is that of
        the last one.
        """
        Fetch.results["c"] = GaveUp("x")
        running = self.start(every=300)
        self.clock.advance(299)
        self.assertEqual(len(Fetch.made), 3)
        Fetch.results.clear()
        self.clock.advance(1)
        self.assertEqual(self.names(), ["a", "b", "c"] * 2)
        self.fetching.stop()
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self):
        """
        A fetch that was stopped by itself, as at the question for a password, is the
        last one.
        """
        Fetch.results["a"] = Stopped()
        self.assertEqual(self.successResultOf(self.start()), os.EX_TEMPFAIL)
        self.assertEqual(self.names(), ["a"])

    def test_stop(self):
        """
        What is stopped ends as soon as it can, with status 75; as a daemon, with 0.
        """
        for every, status in [(None, os.EX_TEMPFAIL), (60, 0)]:
            Fetch.results["b"] = "wait"
            running = self.start(every=every)
            self.assertNoResult(running)
            self.fetching.stop()
            self.assertEqual(self.successResultOf(running), status)
        self.assertEqual(self.names(), ["a", "b"] * 2)

    def test_failed(self):
        """
        Messages that could not be had are status 75.
        """

        class Failing(Fetch):
            def run(self):
                self.work.failed = 2
                return succeed(None)

        self.patch(module, "Fetch", Failing)
        self.assertEqual(self.successResultOf(self.start()), os.EX_TEMPFAIL)

    def test_mistake(self):
        """
        A mistake of ours is logged, and status 70.
        """
        Fetch.results["a"] = ZeroDivisionError("x")
        self.assertEqual(self.successResultOf(self.start()), os.EX_SOFTWARE)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_work(self):
        """
        What an account says is what is done.
        """
        self.successResultOf(self.start(dry_run=True))
        fetch = Fetch.made[0]
        self.assertTrue(fetch.work.dry_run)
        self.assertEqual(fetch.work.target_name, f"maildir:{self.folder / 'a'}")
        policy = policy_of(
            self.account(
                "x",
                delete_after=3.0,
                max_size=5,
                oversize="headers",
                resume=False,
                partial_days=7,
            )
        )
        self.assertEqual(
            (policy.delete_after, policy.max_size, policy.headers_of_large),
            (3.0, 5, True),
        )
        self.assertEqual((policy.resume, policy.partial_days), (False, 7))


class OutcomeTests(SynchronousTestCase):
    """
    What a fetch ends with.
    """

    def test_statuses(self):
        """
        Each kind of end has a status of sysexits.h, and a line without a newline.
        """
        for error, status in [
            (Stopped(), 75),
            (GaveUp("x"), 75),
            (AlreadyRunningError("x"), 75),
            (TargetBusy("x"), 75),
            (CannotDeliver("x"), 73),
            (NoPassword("x"), 77),
            (NotAuthenticated(b"[AUTH] no\r\n"), 77),
            (InsecureAuthenticationDisallowed(), 69),
            (NotTrusted("x"), 69),
            (ConfigError("x"), 78),
            (NotOffered("x"), 69),
            (PermanentFailure(b"[SYS/PERM] x"), 69),
            (ProtocolViolation("x"), 76),
            (ConnectionDone(), 75),
            (OSError(28, "No space left on device"), 74),
            (ValueError("one\ntwo"), 70),
        ]:
            self.assertEqual(status_of(error), status, error)
            self.assertNotIn("\n", explain(error))
            self.assertTrue(explain(error))

    def test_names(self):
        """
        Events are named by their classes.
        """
        event = events.BeganAgain(account="a", unique_id=b"\xff", why="x")
        self.assertEqual(event.fields()["event"], "beganagain")
        self.assertEqual(event.fields()["unique_id"], "\\xff")
