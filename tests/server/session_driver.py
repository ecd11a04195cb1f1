"""
A connection to a server without a network: octets in, replies compared with a model.
"""

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from extretr.server.factory import MaildropFactory, MaildropRealm
from extretr.server.turns import cooperating
from tests.server.session_model import OK, SessionModel, read_reply, refused

USERS = {b"alice": b"secret", b"bob": b"two words"}


class Host:
    """
    A server with its clock, on which only due calls are run.
    """

    def __init__(self, make_store, folder):
        self.clock = Clock()
        self.clock.advance(1000)
        cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=lambda step: self.clock.callLater(0, step),
        )
        self.cooperate = lambda steps: cooperating(cooperator, steps)
        self.store = make_store(folder, self.clock, self.cooperate)
        checker = InMemoryUsernamePasswordDatabaseDontUse(
            **{user.decode(): password for user, password in USERS.items()}
        )
        self.factory = MaildropFactory(
            Portal(MaildropRealm(self.store.store), [checker]),
            clock=self.clock,
            callLater=self.clock.callLater,
            schedule=self.cooperate,
        )
        self.connections = []

    def connect(self):
        connection = Connection(self)
        self.connections.append(connection)
        return connection

    def due(self):
        calls = self.clock.getDelayedCalls()
        return any(call.getTime() <= self.clock.seconds() for call in calls)

    def settle(self):
        """
        Run all that waits for nothing but its turn.
        """
        busy = True
        while busy:
            busy = self.due()
            self.clock.advance(0)
            for connection in self.connections:
                busy = connection.pump() or busy

    def pass_time(self, seconds):
        while seconds > 0:
            self.clock.advance(0.25)
            self.settle()
            seconds -= 0.25


class Connection:
    """
    One connection, what it was sent and what it has to answer.
    """

    def __init__(self, host):
        self.host = host
        self.model = SessionModel(USERS)
        self.transport = StringTransport()
        self.session = host.factory.buildProtocol(None)
        self.session.makeConnection(self.transport)
        self.lost = False
        #: What was said and not yet compared.
        self.said = b""
        #: Lines that have no reply yet.
        self.lines = []
        self.read(OK)

    @property
    def closed(self):
        return self.transport.disconnecting or self.transport.disconnected

    def pump(self):
        """
        Take one block of a response, as a peer that reads.
        """
        if self.transport.producer is None or self.lost or self.transport.disconnected:
            return False
        self.transport.producer.resumeProducing()
        return True

    def put(self, octets, cuts=()):
        """
        Send octets, cut into pieces at some places.
        """
        places = sorted({cut % (len(octets) + 1) for cut in cuts})
        for begin, end in zip([0, *places], [*places, len(octets)], strict=True):
            if octets[begin:end] and not self.lost:
                self.session.dataReceived(octets[begin:end])

    def lose(self):
        """
        Lose the connection as a transport does: its producer hears of it first.
        """
        if self.lost:
            return
        self.lost = True
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.session.connectionLost(Failure(ConnectionLost()))

    def send(self, lines, cuts=()):
        """
        Send lines in one go; compare all that is answered.

        A login that is not granted at once is left to the caller.
        """
        self.put(b"".join(line + b"\r\n" for line in lines), cuts)
        self.lines += lines
        self.host.settle()
        self.compare()

    def compare(self, granted=True):
        """
        Compare what was said with what the model says to the lines so far.
        """
        self.said += self.transport.value()
        self.transport.clear()
        while self.lines and not self.model.over:
            line = self.lines[0]
            user = self.model.is_login(line)
            if user is not None:
                if not self.said and not self.closed:
                    # Somebody else has the maildrop.
                    return
                self.model.user = None
                if granted:
                    self.model.drop = self.host.store.listing(user)
                    self.model.user = user
                self.read(OK if granted else refused(b"IN-USE"))
            else:
                self.read(self.model.answer(line))
            self.lines.pop(0)
        if self.model.over:
            self.lines.clear()
            self.update()
        assert not self.said, self.said

    def update(self):
        """
        Take note of what QUIT has removed; the peer closes too.
        """
        assert self.transport.disconnecting
        if self.model.drop is not None:
            self.host.store.remove(self.model.user, self.model.marked())
            self.host.store.settle()
        self.lose()

    def read(self, reply):
        self.said += self.transport.value()
        self.transport.clear()
        rest = read_reply(self.said, reply)
        assert rest is not None, (self.said[:2000], reply)
        self.said = rest
