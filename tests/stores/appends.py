"""
Messages that have come, and what tests do to those who put them away.
"""

import os

from twisted.internet.defer import Deferred

from extretr.stores import (
    folders,
    maildir_append,
    mbox_append,
    mbox_copy,
    mbox_intent,
)
from extretr.wire import Canonicalizer
from tests.stores.mboxes import Failing

#: What can go wrong by one octet, or by one chunk.
MESSAGES = [
    b"A: 1\r\n\r\nfirst\r\n",
    b"B: 2\r\n\r\nFrom here\r\n>From there\r\n>>From\r\n" + b"line\r\n" * 150,
    b"",
    b"\r\n",
    b"From the first\r\nC: 3\r\n\r\nFrom \r\n\r\nFrom x\r\n\r\n",
    b"D: 4\r\n\r\nlone \r CR\r\r\n\r\r\r\n\r\n\r\r\n",
    b"E: 5\r\n\r\n.\r\n..\r\n\0\xff\r\n\r\n",
    b"F: 6\r\n\r\n" + b"x" * 700 + b"\r\nFrom\r\nthe end\r\n",
]


class Message:
    """
    A message that has come whole, given in chunks.
    """

    def __init__(self, octets, step=7):
        self.octets = octets
        self.size = len(octets)
        self._step = step

    def pieces(self):
        for begin in range(0, len(self.octets), self._step):
            yield self.octets[begin : begin + self._step]


def canonical(stored):
    """
    Give the canonical form of what is stored, as it is served.
    """
    canonicalizer = Canonicalizer()
    return canonicalizer.feed(stored) + canonicalizer.finish()


class FailingAppend(Failing):
    """
    An `os` in which the change of a file fails, of those too that appending makes.
    """

    changes = Failing.changes | {"write", "truncate", "mkdir"}

    def _change(self, name, function, arguments):
        failed = self.failed
        try:
            return super()._change(name, function, arguments)
        except BaseException:
            if name == "write" and not failed:
                descriptor, octets = arguments
                os.write(descriptor, octets[: int(len(octets) * self._torn)])
            raise


def with_os(fake, action):
    """
    Run *action* with another `os` in the modules that put messages away.
    """
    modules = (folders, maildir_append, mbox_append, mbox_copy, mbox_intent)
    for module in modules:
        module.os = fake
    try:
        return action()
    finally:
        for module in modules:
            module.os = os


def outcome(deferred):
    """
    Give what a Deferred has come to: a result, or a Failure.
    """
    assert isinstance(deferred, Deferred)
    outcomes = []
    deferred.addBoth(outcomes.append)
    return outcomes[0]
