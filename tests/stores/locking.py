"""
What the tests of the session lock share: a place for it, sessions, a process table.
"""

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr.interfaces import ISession
from extretr.stores import holder
from extretr.stores.lock import SessionLock
from extretr.stores.record_file import RecordFile

#: Seconds that a clock goes forward at once: a number that adds up exactly.
STEP = 1 / 16


@implementer(ISession)
class FakeSession:
    """
    A session whose peer lives or not, as a test says.
    """

    def __init__(self, clock, lives=False):
        self._clock = clock
        self._last = clock.seconds()
        #: Whether the peer answers a challenge.
        self.lives = lives
        self.challenges = 0
        self.evictions = 0
        self.takeovers = 0

    def sign(self):
        self._last = self._clock.seconds()

    def lastSign(self):
        return self._clock.seconds() - self._last

    def challenge(self):
        self.challenges += 1
        if self.lives:
            self._clock.callLater(STEP, self.sign)

    def evict(self):
        self.evictions += 1

    def tookOver(self):
        self.takeovers += 1


class LockTestCase(SynchronousTestCase):
    """
    A test with a lock in a folder that is not there yet.
    """

    takeover_after = 15.0

    def setUp(self):
        self.clock = Clock()
        self.folder = os.fsencode(os.path.abspath(self.mktemp()))
        os.makedirs(self.folder)
        self.path = os.path.join(self.folder, b"state", b"lock")
        self.file = RecordFile(self.path)
        self.lock = SessionLock(self.path, self.clock, self.takeover_after)

    def advance(self, seconds):
        """
        Let time pass as it does: little by little.
        """
        self.clock.pump([STEP] * round(seconds / STEP))

    def session(self, lives=False):
        return FakeSession(self.clock, lives)

    def held(self, session=None):
        """
        Acquire a lock that is free.
        """
        return self.successResultOf(self.lock.acquire(session or self.session()))

    def makeFolder(self):
        os.mkdir(os.path.dirname(self.path))

    def hold_guard(self):
        """
        Take the guard as another process would.
        """
        guard = self.file.guard()
        self.assertIsNotNone(guard)
        self.addCleanup(guard.close)
        return guard

    def write(self, octets):
        with open(self.path, "wb") as file:
            file.write(octets)

    def otherHolder(self, **changes):
        """
        Put the record of somebody else there.
        """
        record = holder.Record.of_this_process("theirs")
        for name, value in changes.items():
            setattr(record, name, value)
        self.file.write(record)
        return record

    def processes(self, table):
        """
        Let the processes be those of *table*: state and start time by number.
        """
        self.patch(holder, "_state_and_start", lambda pid: table.get(pid, ("", "")))

        def kill(pid, _):
            if pid not in table:
                raise ProcessLookupError

        self.patch(holder.os, "kill", kill)
