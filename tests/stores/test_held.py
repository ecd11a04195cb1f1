"""
Holding the session lock: looking after it, working under it, giving it up.
"""

import os

from twisted.internet.defer import Deferred

from extretr.errors import InUse, LockLost, StoreUnavailable
from extretr.stores import held as held_module
from extretr.stores import record_file
from extretr.stores.record_file import RecordFile
from tests.stores.locking import STEP, LockTestCase


class WhileOursTests(LockTestCase):
    """
    What must not happen unless the lock is ours runs under the guard.
    """

    def setUp(self):
        super().setUp()
        self.patch(held_module, "GUARD_WAIT", 0.02)

    def test_result(self):
        """
        The result of the action is given, and the guard let go.
        """
        held = self.held()

        def action():
            self.assertIsNone(self.file.guard())
            return 42

        self.assertEqual(held.whileOurs(action), 42)
        self.hold_guard()

    def test_raises(self):
        """
        So is what it raises.
        """
        held = self.held()
        self.assertRaises(ZeroDivisionError, held.whileOurs, lambda: 1 / 0)
        self.hold_guard()

    def test_deferred(self):
        """
        A Deferred is given as it is, and the guard kept until it fires.
        """
        held = self.held()
        removing = Deferred()
        seen = held.whileOurs(lambda: removing)
        seen.addCallback(lambda result: (result, self.hold_guard()))
        self.assertIsNone(self.file.guard())
        removing.callback("removed")
        self.assertEqual(self.successResultOf(seen)[0], "removed")

    def test_deferredFails(self):
        """
        A failure lets the guard go, too.
        """
        removing = self.held().whileOurs(Deferred)
        removing.errback(ZeroDivisionError())
        self.failureResultOf(removing, ZeroDivisionError)
        self.hold_guard()

    def test_lost(self):
        """
        Where the record is not ours, gone or corrupt, the action does not run.
        """
        held = self.held()
        self.otherHolder()
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        self.write(b"{")
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        os.unlink(self.path)
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        self.hold_guard()

    def test_neverBack(self):
        """
        Whoever took over and has gone again leaves nothing to come back to.
        """
        held = self.held()
        self.lock.acquire(self.session())
        self.advance(15)
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        os.unlink(self.path)
        self.advance(2)
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        self.assertFalse(os.path.exists(self.path))

    def test_released(self):
        """
        Nor does it run after the release.
        """
        held = self.held()
        held.release()
        self.assertRaises(LockLost, held.whileOurs, self.fail)

    def test_releasedInVain(self):
        """
        Nor where the release could not yet be written down.
        """
        held = self.held()
        guard = self.hold_guard()
        held.release()
        guard.close()
        self.assertRaises(LockLost, held.whileOurs, self.fail)
        self.advance(STEP)
        self.assertIsNone(self.file.read())

    def test_guardHeld(self):
        """
        Where another has the guard for long, it is not known whose the lock is.
        """
        held = self.held()
        self.hold_guard()
        self.assertRaises(StoreUnavailable, held.whileOurs, self.fail)

    def test_guardHeldBriefly(self):
        """
        Where another has it for a moment, that is waited for.
        """
        self.patch(held_module, "GUARD_WAIT", 30)
        held = self.held()
        guard = self.hold_guard()
        self.patch(held_module.time, "sleep", lambda _: guard.close())
        self.assertEqual(held.whileOurs(lambda: 1), 1)

    def test_nested(self):
        """
        A second action while one runs is refused: it would wait for itself.
        """
        self.patch(held_module.time, "sleep", self.fail)
        held = self.held()
        removing = held.whileOurs(Deferred)
        self.assertRaises(StoreUnavailable, held.whileOurs, self.fail)
        removing.callback(None)
        self.assertEqual(held.whileOurs(lambda: 1), 1)

    def test_folderGone(self):
        """
        Where the folder cannot be reached, the store is unavailable.
        """
        held = self.held()
        state = os.path.dirname(self.path)
        os.rename(state, state + b".away")
        self.assertRaises(StoreUnavailable, held.whileOurs, self.fail)
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)

    def test_recordUnreadable(self):
        """
        So it is where the record is there and cannot be read.
        """
        held = self.held()
        os.unlink(self.path)
        os.symlink(b"elsewhere", self.path)
        self.assertRaises(StoreUnavailable, held.whileOurs, self.fail)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.hold_guard()


class ReleaseTests(LockTestCase):
    """
    A lock is given up once, by its holder only.
    """

    def test_twice(self):
        """
        The second release does nothing, whoever holds the lock by then.
        """
        first = self.held()
        first.release()
        second = self.held()
        first.release()
        self.assertEqual(second.whileOurs(lambda: 1), 1)

    def test_lost(self):
        """
        The release of a lock that another has taken over leaves it alone.
        """
        first = self.held()
        self.otherHolder()
        first.release()
        self.assertEqual(self.file.read().token, "theirs")

    def test_whileActing(self):
        """
        A release while an action runs comes when it is done, before anybody else.
        """
        held = self.held()
        removing = held.whileOurs(Deferred)
        held.release()
        held.release()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        login = self.lock.acquire(self.session())
        self.advance(5)
        self.assertNoResult(login)
        self.assertEqual(self.file.read().token, held.token)
        removing.callback(None)
        self.assertIsNone(self.file.read())
        self.advance(STEP)
        self.successResultOf(login)

    def test_insideAction(self):
        """
        So does one from inside an action, also where that then fails.
        """
        held = self.held()

        def action():
            held.release()
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, held.whileOurs, action)
        self.assertIsNone(self.file.read())

    def test_guardHeld(self):
        """
        While another has the guard, it is tried again.
        """
        held = self.held()
        guard = self.hold_guard()
        held.release()
        self.advance(5)
        self.assertIsNotNone(self.file.read())
        guard.close()
        self.advance(STEP)
        self.assertIsNone(self.file.read())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_folderGone(self):
        """
        Where the folder has gone there is nothing to release.
        """
        held = self.held()
        state = os.path.dirname(self.path)
        os.rename(state, state + b".away")
        held.release()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails(self):
        """
        Where it cannot be done, that is logged, and the session ends all the same.
        """
        held = self.held()
        os.unlink(self.path)
        os.symlink(b"elsewhere", self.path)
        held.release()
        os.unlink(self.path + b".guard")
        os.symlink(b"elsewhere", self.path + b".guard")
        second = held_module.Held(self.file, self.clock, None, "ours")
        second.release()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LookTests(LockTestCase):
    """
    The holder looks at its record about once a second.
    """

    def test_unchanged(self):
        """
        A record that two looks have found the same is not read again.
        """
        reads = []
        read = RecordFile.read_signed
        self.held()
        self.patch(
            RecordFile, "read_signed", lambda file: reads.append(1) or read(file)
        )
        self.advance(20)
        self.assertEqual(len(reads), 2)

    def test_sameTick(self):
        """
        A record that is replaced just after a look, and whose file looks the same
        since its number and its time are the same, is noticed all the same.
        """
        self.patch(record_file, "_signature", lambda status: "the same")
        self.held(self.session(lives=True))
        first = self.lock.acquire(self.session())
        self.advance(1)
        second = self.lock.acquire(self.session())
        self.advance(1.5)
        self.failureResultOf(first, InUse)
        self.failureResultOf(second, InUse)

    def test_challenge(self):
        """
        A contest is noticed within a second, and the peer challenged once.
        """
        session = self.session()
        self.held(session)
        self.advance(5.5)
        login = self.lock.acquire(self.session())
        self.advance(0.25)
        self.assertEqual(session.challenges, 0)
        self.advance(0.25)
        self.assertEqual(session.challenges, 1)
        self.advance(9)
        self.assertEqual(session.challenges, 1)
        session.sign()
        self.advance(1)
        self.failureResultOf(login, InUse)
        # The next contest is another one.
        self.lock.acquire(self.session())
        self.advance(1)
        self.assertEqual(session.challenges, 2)

    def test_answeredOnce(self):
        """
        A contest that is answered is done with: the record stays as it is.
        """
        session = self.session(lives=True)
        self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(2)
        self.failureResultOf(login, InUse)
        answered = self.file.signature()
        session.sign()
        self.advance(20)
        self.assertEqual(self.file.signature(), answered)
        self.assertEqual(session.challenges, 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_evicted(self):
        """
        A lock that is lost is noticed within a second; then nobody looks any more.
        """
        for loss in (
            self.otherHolder,
            lambda: self.write(b"{"),
            lambda: os.unlink(self.path),
        ):
            session = self.session()
            held = self.held(session)
            self.advance(3)
            loss()
            self.assertEqual(session.evictions, 0)
            self.advance(1)
            self.assertEqual(session.evictions, 1)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            held.release()
            if os.path.exists(self.path):
                os.unlink(self.path)

    def test_evictedAtFirst(self):
        """
        So is one that is lost before anybody has looked.
        """
        session = self.session()
        self.held(session)
        os.unlink(self.path)
        self.advance(1)
        self.assertEqual(session.evictions, 1)

    def test_evictionReleases(self):
        """
        A session that releases the lock as it is evicted disturbs nobody.
        """
        session = self.session()
        held = self.held(session)
        self.patch(session, "evict", held.release)
        self.otherHolder()
        self.advance(1)
        self.assertEqual(self.file.read().token, "theirs")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_released(self):
        """
        After the release nobody looks, and nobody is evicted.
        """
        session = self.session()
        self.held(session).release()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.otherHolder()
        self.advance(3)
        self.assertEqual(session.evictions, 0)

    def test_fails(self):
        """
        A look that fails is logged once, and is not the last one.
        """
        session = self.session()
        self.held(session)
        record = self.file.read()
        os.unlink(self.path)
        os.symlink(b"elsewhere", self.path)
        self.advance(5)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(session.evictions, 0)
        os.unlink(self.path)
        self.file.write(record)
        self.advance(5)
        os.unlink(self.path)
        os.symlink(b"elsewhere", self.path)
        self.advance(5)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        os.unlink(self.path)
        self.advance(1)
        self.assertEqual(session.evictions, 1)

    def test_brokenSession(self):
        """
        A session that raises when it is asked loses nothing but its say.
        """
        session = self.session()
        self.held(session)
        self.patch(session, "lastSign", lambda: 1 / 0)
        login = self.lock.acquire(self.session())
        self.advance(15)
        self.successResultOf(login)
        self.advance(1)
        self.assertEqual(session.evictions, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answerWaitsForGuard(self):
        """
        An answer that cannot be written now, since another has the guard, comes later.
        """
        session = self.session()
        self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(1)
        guard = self.hold_guard()
        self.advance(1)
        session.sign()
        self.advance(5)
        self.assertNoResult(login)
        guard.close()
        self.advance(1)
        self.failureResultOf(login, InUse)

    def test_answerWhileActing(self):
        """
        The holder answers under the guard of its own action, which it goes on with.
        """
        session = self.session(lives=True)
        held = self.held(session)
        login = self.lock.acquire(self.session())
        removing = held.whileOurs(Deferred)
        self.advance(3)
        self.assertEqual(self.file.read().answered, 1)
        self.assertIsNone(self.file.guard())
        removing.callback(None)
        self.advance(1)
        self.failureResultOf(login, InUse)

    def test_answerTooLate(self):
        """
        An answer never overwrites the record of who took over meanwhile.
        """
        session = self.session()
        self.held(session)
        login = self.lock.acquire(self.session())
        self.advance(1)
        login.cancel()
        self.failureResultOf(login)
        take = RecordFile.guard

        def guard(file):
            # The holder is stopped, just before it takes the guard.
            self.patch(RecordFile, "guard", take)
            self.otherHolder()
            return take(file)

        self.patch(RecordFile, "guard", guard)
        self.advance(STEP)
        session.sign()
        self.advance(1)
        self.assertEqual(self.file.read().token, "theirs")
        self.assertEqual(self.file.read().answered, 0)
        self.assertEqual(session.evictions, 1)
