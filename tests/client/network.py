r"""
Servers in memory, and links to them that break where a test wants it.

    network = Network(MemoryServer({b"uid-1": b"Subject: one\n\none\n"}))
    network.cuts = [Cut(down=100), None]
    result = network.run(fetch.run())
"""

from dataclasses import dataclass

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport
from zope.interface import implementer

from extretr.server.protocol import ExtendedPOP3
from extretr.wire import Canonicalizer
from tests.server.dialogue import ListMailbox


def canonical(stored):
    """
    Give the canonical form of a stored message.
    """
    canonicalizer = Canonicalizer()
    return canonicalizer.feed(stored) + canonicalizer.finish()


@dataclass
class Cut:
    """
    When a connection breaks: after so many octets from, and to, the server.
    """

    down: int | None = None
    up: int | None = None
    #: Whether nobody is told: no octet passes any more.
    silent: bool = False


class Maildrop(ListMailbox):
    """
    A session's view of the messages of a `MemoryServer`.
    """

    def __init__(self, server):
        self.server = server
        self.names = list(server.messages)
        super().__init__(server.messages.values())

    def getUidl(self, index):
        return self.names[index]

    def sync(self):
        for index in self.deleted:
            self.server.messages.pop(self.names[index], None)


@implementer(IRealm)
class MemoryServer:
    """
    A server of ours, with a maildrop by unique-id.
    """

    session = ExtendedPOP3

    def __init__(self, messages):
        self.messages = dict(messages)
        self.commands = []
        checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"secret")
        self.portal = Portal(self, [checker])

    def requestAvatar(self, avatarId, mind, *interfaces):
        return IMailboxPOP3, Maildrop(self), lambda: None

    def build(self, clock):
        """
        Give the server's side of a new connection.
        """
        session = self.session()
        session.portal = self.portal
        session.clock = clock
        session.callLater = clock.callLater
        session.schedule = lambda steps: succeed(list(steps) and None)
        process = session.processCommand

        def noted(command, *arguments):
            self.commands.append(b" ".join([command, *arguments]))
            return process(command, *arguments)

        session.processCommand = noted
        return session


class Connection:
    """
    One connection, and when it breaks.
    """

    def __init__(self, client, server, cut):
        self.client = FakeTransport(client, False)
        self.server = FakeTransport(server, True)
        self.left = {self.server: cut.down, self.client: cut.up}
        self.silent = cut.silent
        self.broken = False
        #: Octets that the client, and the server, got.
        self.received = {self.client: 0, self.server: 0}
        server.makeConnection(self.server)
        client.makeConnection(self.client)

    def pump(self):
        """
        Carry what there is; tell whether there was anything.
        """
        if self.broken:
            if self.client.disconnecting or self.server.disconnecting:
                self.lose(ConnectionAborted)
            return False
        pairs = [(self.server, self.client), (self.client, self.server)]
        moved = [self.carry(*pair) for pair in pairs]
        return any(moved) or self.hang_up()

    def carry(self, sender, receiver):
        if self.broken:
            return False
        sender._checkProducer()
        octets = sender.getOutBuffer() or b""
        if self.left[sender] is not None:
            octets = octets[: self.left[sender]]
            self.left[sender] -= len(octets)
        if octets:
            self.received[receiver] += len(octets)
            receiver.bufferReceived(octets)
        if self.left[sender] == 0:
            self.broken = True
            if not self.silent:
                self.lose(ConnectionLost)
        return bool(octets)

    def hang_up(self):
        """
        End the connection where a side wants to, and all it has said is carried.
        """
        for side in (self.server, self.client):
            if side.disconnecting and not side.stream:
                self.broken = True
                self.lose(ConnectionDone)
                return True
        return False

    def lose(self, why):
        """
        Tell both sides that the connection is no more.
        """
        for side in (self.client, self.server):
            if not side.disconnected:
                side.disconnected = True
                if side.producer is not None:
                    side.producer.stopProducing()
                side.protocol.connectionLost(Failure(why()))


class Network:
    """
    A clock, servers, and an endpoint for clients.
    """

    def __init__(self, server):
        self.server = server
        self.clock = Clock()
        self.cuts = []
        self.connections = []

    def connect(self, factory):
        client = factory.buildProtocol(None)
        number = len(self.connections)
        cut = self.cuts[number] if number < len(self.cuts) else None
        connection = Connection(client, self.server.build(self.clock), cut or Cut())
        self.connections.append(connection)
        return succeed(client)

    def pump(self):
        """
        Carry octets until none are left.
        """
        moved = [True]
        while any(moved):
            moved = [connection.pump() for connection in self.connections]

    def run(self, deferred, most=10_000):
        """
        Let everything happen until a Deferred fires; give its result, or raise it.
        """
        results = []
        deferred.addBoth(results.append)
        for _ in range(most):
            self.pump()
            if results:
                break
            self.clock.advance(0.25)
        else:
            raise AssertionError("nothing comes of it")
        self.pump()
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]
