"""
Taking the session lock: from nobody, from the dead, from the silent.
"""

import json
import os
import stat
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import InUse, LockLost, StoreUnavailable
from extretr.interfaces import ISession
from extretr.stores.lock import SessionLock, make_state
from extretr.stores.record_file import RecordFile
from tests.stores.locking import STEP, FakeSession, LockTestCase

#: Takes and gives up a lock on the spot, a number of times, and says how often it was
#: alone between the two.
_RACER = """
import os, sys, time
from twisted.internet.task import Clock
from extretr.stores.lock import SessionLock

path, rounds = os.fsencode(sys.argv[1]), int(sys.argv[2])
clock, alone, until = Clock(), 0, time.monotonic() + 60
lock = SessionLock(path, clock)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(rounds):
    held = None
    while held is None and time.monotonic() < until:
        held = lock.acquireNow(None)
        time.sleep(0.0001)
    # Whoever else is in here makes this fail.
    os.close(os.open(path + b".inside", os.O_CREAT | os.O_EXCL))
    time.sleep(0.0001)
    alone += 1
    os.unlink(path + b".inside")
    held.release()
    while clock.getDelayedCalls():
        clock.advance(1)
print(alone)
"""


class ConstructorTests(SynchronousTestCase):
    """
    How long a login may have to wait is bounded.
    """

    def test_refused(self):
        """
        No time at all, a negative one, more than a minute: ValueError.
        """
        for seconds in (0, -1, 60.01, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                SessionLock(b"lock", Clock(), seconds)

    def test_accepted(self):
        """
        Anything up to a minute will do.
        """
        for seconds in (0.25, 15, 60):
            SessionLock(b"lock", Clock(), seconds)


class FreeTests(LockTestCase):
    """
    A lock that nobody holds is taken at once.
    """

    def test_fakeSession(self):
        """
        The session of these tests is one.
        """
        verifyObject(ISession, self.session())

    def test_unexpected(self):
        """
        Whatever goes wrong in taking the lock, the login gets its answer.
        """

        def fails(file):
            raise ValueError("unexpected")

        self.patch(RecordFile, "read", fails)
        self.failureResultOf(self.lock.acquire(self.session()), StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_first(self):
        """
        The first login makes the folder and the record, for its owner's eyes only.
        """
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        held = self.held()
        self.assertEqual(self.file.read().token, held.token)
        self.assertEqual(self.file.read().pid, os.getpid())
        modes = [
            stat.S_IMODE(os.stat(path).st_mode)
            for path in (os.path.dirname(self.path), self.path)
        ]
        self.assertEqual(modes, [0o700, 0o600])

    def test_afterRelease(self):
        """
        What was released is free, as often as you like.
        """
        tokens = set()
        for _ in range(3):
            held = self.held()
            tokens.add(held.token)
            held.release()
        self.assertEqual(len(tokens), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_corrupt(self):
        """
        A record that cannot be understood counts as no holder.
        """
        self.makeFolder()
        whole = json.loads(self.otherHolder().format())
        for octets in (
            b"",
            b"\0" * 200,
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"[" * 4000,
            json.dumps(whole).encode()[:-1],
            json.dumps({**whole, "pid": "1"}).encode(),
            json.dumps({**whole, "pid": True}).encode(),
            json.dumps({**whole, "pid": -1}).encode(),
            json.dumps({**whole, "pid": 0}).encode(),
            json.dumps({**whole, "token": ""}).encode(),
            json.dumps({**whole, "more": 1}).encode(),
            json.dumps({**whole, "token": "x" * 5000}).encode(),
        ):
            self.write(octets)
            self.held().release()

    def test_deadProcess(self):
        """
        A process that has ended, or whose number another has now, holds nothing.
        """
        self.makeFolder()
        self.processes({os.getpid(): ("R", "1"), 7: ("S", "70"), 8: ("Z", "80")})
        for pid, started in ((6, "60"), (7, "71"), (8, "80")):
            self.otherHolder(pid=pid, started=started)
            session = self.session()
            self.held(session).release()
            self.assertEqual(session.takeovers, 1)

    def test_noFolderAbove(self):
        """
        What is above the folder is not made: it may be a disk that is not mounted.
        """
        self.path = os.path.join(self.folder, b"user", b"state", b"lock")
        lock = SessionLock(self.path, self.clock)
        self.failureResultOf(lock.acquire(self.session()), StoreUnavailable)
        self.assertEqual(os.listdir(self.folder), [])
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)

    def test_cannotBeWritten(self):
        """
        Where the record cannot be written, the store is unavailable.
        """
        os.makedirs(self.path)
        self.failureResultOf(self.lock.acquire(self.session()), StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(IsADirectoryError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # The guard is not kept.
        self.hold_guard()

    def test_folderIsAFile(self):
        """
        Where the folder is none, the store is unavailable.
        """
        with open(os.path.dirname(self.path), "wb"):
            pass
        self.failureResultOf(self.lock.acquire(self.session()), StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(NotADirectoryError)), 1)


class OnTheSpotTests(LockTestCase):
    """
    A lock that is free is taken and given up at once, without anybody who waits.
    """

    def test_taken(self):
        """
        Once there was a record, whoever comes next takes the lock on the spot.
        """
        self.held().release()
        session = self.session()
        held = self.lock.acquireNow(session)
        self.assertEqual(self.file.read().token, held.token)
        self.assertEqual(self.file.read().pid, os.getpid())
        self.assertEqual(held.whileOurs(lambda: 1), 1)
        self.assertIsNone(self.lock.acquireNow(self.session()))
        held.release()
        self.assertIsNone(self.file.read())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((session.takeovers, session.evictions), (0, 0))

    def test_byAcquire(self):
        """
        To acquire a lock that is free takes no more.
        """
        self.held().release()
        self.patch(RecordFile, "guard", self.fail)
        self.held().release()

    def test_lookedAfter(self):
        """
        A lock taken on the spot is looked after as any, and can be contested.
        """
        self.held().release()
        session = self.session(lives=True)
        held = self.lock.acquireNow(session)
        login = self.lock.acquire(self.session())
        self.advance(2)
        self.assertEqual(session.challenges, 1)
        self.failureResultOf(login, InUse)
        # The record has been written anew since.
        held.release()
        self.assertIsNone(self.file.read())

    def test_folderMissing(self):
        """
        Where the folder is missing, nothing is made.
        """
        self.assertIsNone(self.lock.acquireNow(self.session()))
        self.assertEqual(os.listdir(self.folder), [])
        self.held()

    def test_deadProcess(self):
        """
        What a dead process has left is taken over by who waits, not on the spot.
        """
        self.makeFolder()
        self.otherHolder(pid=2**22 + 1)
        session = self.session()
        self.assertIsNone(self.lock.acquireNow(session))
        self.assertEqual(self.file.read().token, "theirs")
        self.held(session)
        self.assertEqual(session.takeovers, 1)

    def test_processes(self):
        """
        However many processes come at the same time, one has the lock.
        """
        self.held().release()
        rounds = 100
        command = [sys.executable, "-c", _RACER, os.fsdecode(self.path), str(rounds)]
        racers = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        for racer in racers:
            self.addCleanup(racer.wait)
            self.addCleanup(racer.kill)
            self.assertEqual(racer.stdout.readline(), "ready\n")
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        told = [racer.communicate()[0] for racer in racers]
        self.assertEqual(told, [f"{rounds}\n"] * len(racers))
        self.assertIsNone(self.file.read())


class StateTests(LockTestCase):
    """
    The state folder is made with all that is above it.
    """

    def test_made(self):
        """
        It is for its owner only, and one that is there stays as it is, also by a link.
        """
        state = os.path.join(self.folder, b"a", b"state")
        for _ in range(2):
            make_state(state)
            self.assertEqual(stat.S_IMODE(os.stat(state).st_mode), 0o700)
        link = os.path.join(self.folder, b"link")
        os.symlink(state, link)
        make_state(link)
        self.assertTrue(os.path.islink(link))

    def test_cannotBeMade(self):
        """
        Where it cannot be made, as where a link leads nowhere, the log says so.
        """
        link = os.path.join(self.folder, b"link")
        os.symlink(os.path.join(self.folder, b"nowhere"), link)
        self.assertRaises(StoreUnavailable, make_state, link)
        self.assertEqual(len(self.flushLoggedErrors(FileExistsError)), 1)
        self.assertEqual(os.listdir(self.folder), [b"link"])


class ContestTests(LockTestCase):
    """
    A lock that is held goes to a new login only where the holder is silent.
    """

    def test_living(self):
        """
        A holder whose peer gives a sign of life keeps the lock; the login is refused.
        """
        session = self.session(lives=True)
        held = self.held(session)
        self.advance(100)
        self.assertEqual(session.challenges, 0)
        login = self.lock.acquire(self.session())
        self.assertNoResult(login)
        self.advance(2)
        self.failureResultOf(login, InUse)
        self.advance(100)
        self.assertEqual(session.evictions, 0)
        self.assertEqual(held.whileOurs(lambda: 1), 1)

    def test_silent(self):
        """
        A holder whose peer is silent loses the lock when the time is over, no sooner.
        """
        session = self.session()
        held = self.held(session)
        self.assertEqual(session.takeovers, 0)
        self.advance(1000)
        later = self.session()
        login = self.lock.acquire(later)
        self.advance(14.75)
        self.assertNoResult(login)
        self.assertEqual(held.whileOurs(lambda: 1), 1)
        self.assertEqual(later.takeovers, 0)
        self.advance(0.25)
        taken = self.successResultOf(login)
        self.assertEqual(later.takeovers, 1)
        self.assertEqual(taken.whileOurs(lambda: 2), 2)
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        self.advance(1)
        self.assertEqual(session.evictions, 1)

    def test_takeoverAfter(self):
        """
        How long the wait is, is told to the lock.
        """
        self.lock = SessionLock(self.path, self.clock, 3)
        self.held()
        login = self.lock.acquire(self.session())
        self.advance(2.75)
        self.assertNoResult(login)
        self.advance(0.25)
        self.successResultOf(login)

    def test_earlierSign(self):
        """
        A sign of life from before the contest was noticed proves nothing.
        """
        session = self.session()
        self.held(session)
        self.advance(10.75)
        login = self.lock.acquire(self.session())
        self.advance(STEP)
        session.sign()
        self.advance(15)
        self.successResultOf(login)

    def test_signAtTheMoment(self):
        """
        Nor does one from the very moment: it must be younger.
        """
        session = self.session()
        self.patch(session, "challenge", session.sign)
        self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(15)
        self.successResultOf(login)

    def test_lateSign(self):
        """
        A sign that comes while the login still waits is in time.
        """
        session = self.session()
        self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(14)
        session.sign()
        self.advance(1)
        self.failureResultOf(login, InUse)

    def test_otherHost(self):
        """
        Of a process on another host nothing is known: it is waited for.
        """
        self.makeFolder()
        self.otherHolder(host="elsewhere", pid=2**22 + 1)
        login = self.lock.acquire(self.session())
        self.advance(14.75)
        self.assertNoResult(login)
        self.advance(0.25)
        self.successResultOf(login)

    def test_released(self):
        """
        A lock that is released meanwhile is taken soon, and nobody evicted.
        """
        session = self.session()
        held = self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(3)
        held.release()
        self.advance(0.25)
        self.successResultOf(login)
        self.advance(5)
        self.assertEqual(session.evictions, 0)

    def test_diesMeanwhile(self):
        """
        A lock whose process dies meanwhile is taken soon.
        """
        table = {os.getpid(): ("R", "1"), 7: ("T", "70")}
        self.processes(table)
        self.makeFolder()
        self.otherHolder(pid=7, started="70")
        login = self.lock.acquire(self.session())
        self.advance(3)
        self.assertNoResult(login)
        del table[7]
        self.advance(0.25)
        self.successResultOf(login)

    def test_becomesCorrupt(self):
        """
        A record that becomes corrupt meanwhile no longer protects its holder.
        """
        session = self.session()
        held = self.held(session)
        login = self.lock.acquire(self.session())
        self.write(b"{")
        self.advance(0.25)
        self.successResultOf(login)
        self.assertRaises(LockLost, held.whileOurs, self.fail)

    def test_clockJumps(self):
        """
        A clock that jumps forward does not shorten the holder's time.
        """
        session = self.session(lives=True)
        self.held(session)
        login = self.lock.acquire(self.session())
        self.clock.advance(3600)
        self.assertNoResult(login)
        self.advance(2)
        self.failureResultOf(login, InUse)

    def test_becomesUnavailable(self):
        """
        Where the record can no longer be reached, the login that waits is told.
        """
        self.held()
        login = self.lock.acquire(self.session())
        state = os.path.dirname(self.path)
        os.rename(state, state + b".away")
        self.advance(0.25)
        self.failureResultOf(login, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)

    def test_sessionUnknown(self):
        """
        A session of which no sign of life can be had counts as living.
        """
        self.successResultOf(self.lock.acquire(None))
        self.advance(100)
        login = self.lock.acquire(None)
        self.advance(2)
        self.failureResultOf(login, InUse)

    def test_sessionUnknownLoses(self):
        """
        It can lose the lock, as where its process was stopped, and nothing breaks.
        """
        self.successResultOf(self.lock.acquire(None))
        self.otherHolder()
        self.advance(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WithdrawalTests(LockTestCase):
    """
    A login whose client hangs up is withdrawn.
    """

    def test_waiting(self):
        """
        It takes nothing, and leaves nothing that waits.
        """
        session = self.session()
        held = self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(5)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.advance(100)
        self.assertEqual(held.whileOurs(lambda: 1), 1)
        self.assertEqual(session.evictions, 0)
        held.release()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nextLogin(self):
        """
        The time that it has waited does not count for the next login.
        """
        self.held()
        first = self.lock.acquire(self.session())
        self.advance(14)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.lock.acquire(self.session())
        self.advance(14.75)
        self.assertNoResult(second)
        self.advance(0.25)
        self.successResultOf(second)

    def test_waitingForTheGuard(self):
        """
        It can be withdrawn while another has the guard, too.
        """
        self.makeFolder()
        self.hold_guard()
        login = self.lock.acquire(self.session())
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class GuardTests(LockTestCase):
    """
    Nothing is decided while another changes the record.
    """

    def test_briefly(self):
        """
        A guard that is held for a moment delays a login for a moment.
        """
        self.makeFolder()
        guard = self.hold_guard()
        login = self.lock.acquire(self.session())
        self.assertNoResult(login)
        guard.close()
        self.advance(STEP)
        self.successResultOf(login)

    def test_forLong(self):
        """
        One that is held all the time makes the login give up.
        """
        self.makeFolder()
        self.hold_guard()
        login = self.lock.acquire(self.session())
        self.advance(14.75)
        self.assertNoResult(login)
        self.advance(0.25)
        self.failureResultOf(login, InUse)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_action(self):
        """
        While an action runs under the lock, nobody takes over, however silent the
        peer; the time of the action is not taken off the holder's.
        """
        session = self.session()
        held = self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(1)
        removing = Deferred()
        held.whileOurs(lambda: removing)
        self.advance(10)
        removing.callback(None)
        self.advance(13)
        self.assertNoResult(login)
        self.advance(1.25)
        self.successResultOf(login)

    def test_actionTooLong(self):
        """
        An action that outlasts the wait makes the login give up.
        """
        held = self.held()
        login = self.lock.acquire(self.session())
        self.advance(1)
        removing = held.whileOurs(Deferred)
        self.advance(14.25)
        self.failureResultOf(login, InUse)
        removing.callback(None)
        self.assertEqual(held.whileOurs(lambda: 1), 1)


class TwoContenderTests(LockTestCase):
    """
    Of two logins that wait, exactly one takes the lock.
    """

    def takenBy(self, *logins):
        """
        Give the logins that have the lock, of those that have come to an end.
        """
        taken = []
        for login in logins:
            result = getattr(login, "result", None)
            if hasattr(result, "whileOurs"):
                try:
                    taken.append(result.whileOurs(lambda held=login: held))
                except LockLost:
                    pass
        return taken

    def test_atOnce(self):
        """
        Two that come together, and live: one takes over, the other is refused.
        """
        self.held()
        sessions = [self.session(lives=True) for _ in range(2)]
        logins = [self.lock.acquire(session) for session in sessions]
        self.advance(14.75)
        for login in logins:
            self.assertNoResult(login)
        self.advance(0.25)
        self.assertEqual(len(self.takenBy(*logins)), 1)
        self.advance(3)
        (winner,) = self.takenBy(*logins)
        logins.remove(winner)
        self.failureResultOf(logins[0], InUse)
        self.assertEqual([session.evictions for session in sessions], [0, 0])

    def test_secondAgainstFirst(self):
        """
        Where the first vanishes in its turn, the second takes over from it when its
        own time is up: a client that lost its link twice does not wait twice.
        """
        self.held()
        first_session = self.session()
        first = self.lock.acquire(first_session)
        self.advance(8)
        second = self.lock.acquire(self.session())
        self.advance(7)
        self.assertEqual(self.takenBy(first, second), [first])
        self.advance(7.75)
        self.assertNoResult(second)
        self.advance(0.25)
        self.assertEqual(self.takenBy(first, second), [second])
        self.advance(1)
        self.assertEqual(first_session.evictions, 1)

    def test_fairWait(self):
        """
        A new holder has five seconds at least, whoever waited before.
        """
        self.held()
        first_session = self.session()
        first = self.lock.acquire(first_session)
        self.advance(0.5)
        second = self.lock.acquire(self.session())
        self.advance(14.5)
        self.assertEqual(self.takenBy(first, second), [first])
        self.advance(4)
        first_session.sign()
        self.advance(1)
        self.failureResultOf(second, InUse)
        self.assertEqual(self.takenBy(first), [first])

    def test_firstReleases(self):
        """
        Where the first is done already, the second takes the lock at once.
        """
        self.held()
        first = self.lock.acquire(self.session())
        second = self.lock.acquire(self.session())
        self.advance(15)
        self.takenBy(first, second)[0].result.release()
        self.advance(0.25)
        self.assertEqual(len(self.takenBy(first, second)), 1)

    def test_living(self):
        """
        A holder that lives is kept from both.
        """
        held = self.held(self.session(lives=True))
        first = self.lock.acquire(self.session())
        self.advance(0.5)
        second = self.lock.acquire(self.session())
        self.advance(3)
        self.failureResultOf(first, InUse)
        self.failureResultOf(second, InUse)
        self.assertEqual(held.whileOurs(lambda: 1), 1)

    def test_eachIsAnswered(self):
        """
        A sign of life refuses those who came before it, not the one who came after.
        """
        session = self.session()
        self.held(session)
        first = self.lock.acquire(self.session())
        self.advance(5)
        # One look finds both: the sign, and then the second contest.
        session.sign()
        self.advance(STEP)
        second = self.lock.acquire(self.session())
        self.advance(1)
        self.failureResultOf(first, InUse)
        self.advance(13)
        self.assertNoResult(second)
        self.advance(1)
        self.successResultOf(second)

    def test_eachInItsTurn(self):
        """
        The one who came after it is refused by the next.
        """
        session = self.session()
        self.held(session)
        first = self.lock.acquire(self.session())
        self.advance(5)
        session.sign()
        self.advance(STEP)
        second = self.lock.acquire(self.session())
        self.advance(1)
        self.failureResultOf(first, InUse)
        session.sign()
        self.advance(1)
        self.failureResultOf(second, InUse)

    def test_firstWithdraws(self):
        """
        Where the first hangs up, the second goes on with its own wait.
        """
        self.held()
        first = self.lock.acquire(self.session())
        self.advance(5)
        second = self.lock.acquire(self.session())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.advance(14.75)
        self.assertNoResult(second)
        self.advance(0.25)
        self.successResultOf(second)

    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, STEP, 0.25, 1.0, 4.75, 5.0, 10.0]),
                st.booleans(),
                st.sampled_from(["stay", "release", "cancel"]),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_anyNumber(self, steps):
        """
        Whatever number comes, lives or not, stays or goes: never have two the lock,
        who lost it never gets it back, and in the end each login has its answer.
        """
        self.setUp()
        sessions, logins, lost = [], [], set()

        def check():
            taken = self.takenBy(*logins)
            self.assertLessEqual(len(taken), 1)
            lost.update(
                number
                for number, login in enumerate(logins)
                if hasattr(getattr(login, "result", None), "whileOurs")
                and login not in taken
            )
            for login in taken:
                self.assertNotIn(logins.index(login), lost)
            return taken

        for pause, lives, deed in steps:
            sessions.append(FakeSession(self.clock, lives))
            login = self.lock.acquire(sessions[-1])
            login.addErrback(lambda reason: reason.trap(InUse, CancelledError))
            logins.append(login)
            for _ in range(round(pause / STEP)):
                self.advance(STEP)
                check()
            if deed == "cancel":
                login.cancel()
            elif deed == "release" and (taken := check()):
                lost.add(logins.index(taken[0]))
                taken[0].result.release()
        for _ in range(40 * len(steps)):
            self.advance(1)
            check()
        self.assertTrue(all(login.called for login in logins))
        for session, login in zip(sessions, logins, strict=True):
            # Who never had it, or has it still, was not evicted.
            if not hasattr(login.result, "whileOurs") or login in check():
                self.assertEqual(session.evictions, 0)
