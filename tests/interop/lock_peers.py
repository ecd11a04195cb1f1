"""
Programs that hold the session lock, and clients that vanish, for test_takeover.

Each says what happens on its standard output, a line each, and does what it is told
on its standard input.
"""

import os
import sys
import time

from twisted.internet import reactor
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from extretr.errors import LockLost, Refusal
from extretr.interfaces import ISession
from extretr.server.liveness import TransportSession
from extretr.stores.lock import SessionLock


def say(*words):
    print(*words, flush=True)


@implementer(ISession)
class AssertedSession:
    """
    A session whose peer lives, or is silent, as the command line has it.
    """

    def __init__(self, lives):
        self._lives = lives
        self._begun = time.time()

    def lastSign(self):
        return 0.0 if self._lives else time.time() - self._begun

    def challenge(self):
        say("challenged")

    def evict(self):
        say("evicted")

    def tookOver(self):
        pass


class Holder(LineOnlyReceiver):
    """
    Takes one lock as it starts, and does what its standard input tells.
    """

    delimiter = b"\n"
    held = None

    def __init__(self, path, takeover_after, lives):
        self._lock = SessionLock(os.fsencode(path), reactor, float(takeover_after))
        self._session = AssertedSession(lives == "lives")

    def connectionMade(self):
        self._lock.acquire(self._session).addCallbacks(self.taken, self.refused)

    def taken(self, held):
        self.held = held
        say("held")

    def refused(self, reason):
        say(reason.value)

    def lineReceived(self, line):
        if line == b"act":
            try:
                self.held.whileOurs(lambda: say("acted"))
            except LockLost:
                say("lost")
        elif line == b"idle":
            say("idle")
        elif line == b"release":
            self.held.release()
            say("released")

    def connectionLost(self, reason):
        reactor.stop()


@implementer(IPullProducer)
class Endless:
    """
    A message that never ends.
    """

    def __init__(self, session, transport):
        self._session = session
        self._transport = transport

    def resumeProducing(self):
        self._session.asked()
        self._transport.write(b"x" * 65536)

    def stopProducing(self):
        pass


class Server(LineOnlyReceiver):
    """
    ``LOGIN client maildrop`` takes a lock, ``RETR`` sends without end.
    """

    delimiter = b"\n"
    client = "nobody"
    held = None

    def connectionMade(self):
        self.session = TransportSession(self.transport, reactor, self.evicted)
        self.session.start()

    def dataReceived(self, data):
        self.session.received()
        super().dataReceived(data)

    def lineReceived(self, line):
        command, *arguments = line.decode().split()
        if command == "LOGIN":
            self.client, maildrop = arguments
            path = os.fsencode(os.path.join(self.factory.folder, maildrop, "lock"))
            lock = SessionLock(path, reactor, self.factory.takeover_after)
            lock.acquire(self.session).addCallbacks(self.taken, self.refused)
        elif command == "RETR":
            self.transport.registerProducer(
                Endless(self.session, self.transport), False
            )

    def taken(self, held):
        self.held = held
        say(self.client, "held")
        self.sendLine(b"+OK")

    def refused(self, reason):
        reason.trap(Refusal)
        say(self.client, reason.value)
        self.sendLine(b"-ERR " + reason.value.reply)

    def evicted(self):
        say(self.client, "evicted")
        self.transport.abortConnection()

    def connectionLost(self, reason):
        say(self.client, "gone")
        if self.held is not None:
            self.held.release()


def serve(folder, takeover_after):
    factory = Factory.forProtocol(Server)
    factory.folder, factory.takeover_after = folder, float(takeover_after)
    say("port", reactor.listenTCP(0, factory).getHost().port)


def main(program, *arguments):
    if program == "holder":
        StandardIO(Holder(*arguments))
    else:
        serve(*arguments)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
