"""
An mbox store for tests, and an operating system that fails when it is told to.
"""

import errno
import os
import random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import folders, mbox_copy, mbox_rewrite
from extretr.stores.mbox import MboxStore, folder_name
from extretr.stores.paths import PathTemplate


class StoreCase(SynchronousTestCase):
    """
    A mailbox of one user, and the store that serves it.
    """

    quoting = False

    def setUp(self):
        self.folder = os.fsencode(os.path.abspath(self.mktemp()))
        self.path = os.path.join(self.folder, b"mail", b"user")
        self.state = os.path.join(self.folder, b"state", folder_name(self.path))
        os.makedirs(os.path.dirname(self.path))
        self.clock = Clock()
        self.wall = 0.0
        self.steps = 0
        self.logged = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if event.get("log_level", LogLevel.debug) >= LogLevel.warn:
            self.logged.append(event["log_format"].format(**event))

    def at_once(self, steps):
        for _ in steps:
            self.steps += 1
        return succeed(None)

    def store(self, **arguments):
        arguments = {
            "template": PathTemplate(os.path.join(self.folder, b"mail", b"%u")),
            "clock": self.clock,
            "cooperate": self.at_once,
            "state": PathTemplate(os.path.join(self.folder, b"state")),
            "quoting": self.quoting,
            "wall": lambda: self.wall,
            **arguments,
        }
        return MboxStore(**arguments)

    def open(self, **arguments):
        opening = self.store(**arguments).openMaildrop(b"user", None)
        return self.successResultOf(opening)

    def write(self, octets, mode="wb"):
        with open(self.path, mode) as file:
            file.write(octets)

    def content(self):
        with open(self.path, "rb") as file:
            return file.read()


def stored(maildrop, index):
    """
    Read the stored form of a message, as a transfer does.
    """
    opened = maildrop.openMessage(index).openAt(0)
    octets = b""
    while more := opened.file.read(1000):
        octets += more
    unchanged = opened.unchanged()
    opened.file.close()
    assert unchanged
    return octets


def all_stored(maildrop):
    return [stored(maildrop, index) for index in range(maildrop.countMessages())]


class Crash(BaseException):
    """
    The process has died.
    """


class Failing:
    """
    An `os` in which the change of a file fails, from the *at*-th one on.

    Of a write that fails, a part was done.  After a crash nothing is done any more;
    after an error all goes on as before.
    """

    changes = {"pwrite", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "open"}

    def __init__(self, at, error, torn=0.5):
        self._left = at
        self._error = error
        self._torn = torn
        self.failed = False
        #: What was changed, for a look at how far it got.
        self.log = []

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in self.changes:
            return function
        if name.endswith("sync"):
            # Nothing is gained by waiting for the real disk.
            function = os.fstat
        return lambda *arguments: self._change(name, function, arguments)

    def _change(self, name, function, arguments):
        if name == "open" and not arguments[1] & os.O_CREAT:
            return function(*arguments)
        if self.failed:
            if isinstance(self._error, Crash):
                raise self._error
            return function(*arguments)
        self._left -= 1
        if self._left >= 0:
            self.log.append(name)
            return function(*arguments)
        self.failed = True
        if name == "pwrite":
            descriptor, octets, place = arguments
            part = octets[: int(len(octets) * self._torn)]
            if part:
                os.pwrite(descriptor, part, place)
        raise self._error


def failures():
    """
    Give errors, each with how much of a write is done before it: none, some, all.
    """
    for torn in (0, 0.3, 1):
        yield Crash(), torn
    for number in (errno.ENOSPC, errno.EIO):
        yield OSError(number, os.strerror(number)), 0.3


class PowerLoss(Failing):
    """
    An `os` whose disk forgets, at the crash, some of what was not synced.
    """

    block = 5

    def __init__(self, at, seed):
        super().__init__(at, Crash())
        self._random = random.Random(seed)
        self._unsynced = []

    def _change(self, name, function, arguments):
        descriptor = arguments[0]
        try:
            if name == "pwrite":
                _, octets, place = arguments
                before = os.pread(descriptor, len(octets), place)
                self._remember(descriptor, place, bytes(before), len(octets))
            elif name == "ftruncate":
                size = arguments[1]
                self._remember(descriptor, size, os.pread(descriptor, 1 << 20, size))
            result = super()._change(name, function, arguments)
        except Crash:
            self._forget()
            raise
        if name in ("fsync", "fdatasync"):
            inode = os.fstat(descriptor).st_ino
            kept = []
            for each in self._unsynced:
                if os.fstat(each[0]).st_ino == inode:
                    os.close(each[0])
                else:
                    kept.append(each)
            self._unsynced = kept
        return result

    def _remember(self, descriptor, place, before, written=None):
        size = os.fstat(descriptor).st_size
        self._unsynced.append((os.dup(descriptor), place, before, written, size))

    def _forget(self):
        """
        Undo, from the last on, some blocks of what was written, some truncations.
        """
        while self._unsynced:
            descriptor, place, before, written, size = self._unsynced.pop()
            if written is None:
                if self._random.random() < 0.5:
                    os.pwrite(descriptor, before, place)
            else:
                for at in range(0, len(before), self.block):
                    if self._random.random() < 0.5:
                        block = before[at : at + self.block]
                        os.pwrite(descriptor, block, place + at)
                if len(before) < written and self._random.random() < 0.5:
                    os.ftruncate(descriptor, size)
            os.close(descriptor)


def with_os(case, fake, action):
    """
    Run *action* with another `os` in the modules that change files.
    """
    modules = (folders, mbox_copy, mbox_rewrite)
    for module in modules:
        module.os = fake
    try:
        return action()
    finally:
        for module in modules:
            module.os = os


def outcome(result):
    """
    Give what a Deferred, or a value, has come to.
    """
    if not isinstance(result, Deferred):
        return result
    outcomes = []
    result.addBoth(outcomes.append)
    return outcomes[0] if outcomes else None


def every(action):
    """
    Call *action* with 0, 1, 2 ... until it says that nothing failed.
    """
    at = 0
    while action(at):
        at += 1
    return at
