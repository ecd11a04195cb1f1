"""
Dialogues in the field's own notation: what the client says (C:), and the server (S:).

    self.dialogue(b'''
        C: RETR 1 3
        S: +OK 12 octets (9 to come)
        S: ..rest of the line
        S: .''')

A line of the client alone may be several, pipelined: ``C: NOOP | NOOP``.
"""

from io import BytesIO

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.mail.interfaces import IMailboxPOP3
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr.server.protocol import ExtendedPOP3


@implementer(IMailboxPOP3)
class ListMailbox:
    """
    The plainest mailbox: a list of messages, as many have written one.
    """

    def __init__(self, messages):
        self.messages = list(messages)
        self.deleted = set()
        self.synced = 0

    def listMessages(self, index=None):
        sizes = [
            0 if each in self.deleted else len(message)
            for each, message in enumerate(self.messages)
        ]
        return sizes if index is None else sizes[index]

    def getMessage(self, index):
        return BytesIO(self.messages[index])

    def getUidl(self, index):
        return b"uid-%d" % index

    def deleteMessage(self, index):
        self.deleted.add(index)

    def undeleteMessages(self):
        self.deleted.clear()

    def sync(self):
        self.synced += 1


def pump(transport):
    """
    Ask a registered pull producer for more until it is done.
    """
    while transport.producer is not None and not transport.streaming:
        transport.producer.resumeProducing()


class DialogueTestCase(SynchronousTestCase):
    """
    A session over a StringTransport, on a mailbox, with a clock of its own.
    """

    protocol = ExtendedPOP3
    messages = (b"H: one\n\n.dot\nline\n", b"H: two\r\n\r\nbody", b".\n")

    def setUp(self):
        self.clock = Clock()
        self.mailbox = self.makeMailbox()
        self.session = self.makeSession()
        self.transport = StringTransport()
        self.session.makeConnection(self.transport)
        self.transport.clear()
        if self.mailbox is not None:
            self.session.mbox = self.mailbox

    def makeMailbox(self):
        return ListMailbox(self.messages)

    def makeSession(self):
        session = self.protocol()
        session.clock = self.clock
        # As stock has it: with no arguments for the function.
        session.callLater = lambda period, func: self.clock.callLater(period, func)
        session.schedule = lambda steps: list(steps) and None
        session.magic = b"<magic@host>"
        return session

    def send(self, octets):
        """
        Send octets to the server; give what it answers.
        """
        self.transport.clear()
        self.session.dataReceived(octets)
        pump(self.transport)
        return self.transport.value()

    def dialogue(self, script):
        """
        Play a script; what the server says must be just what it says there.
        """
        said, expected = b"", b""
        for line in script.strip().splitlines():
            side, _, text = line.strip().partition(b": ")
            if line.strip() in (b"S:", b"C:"):
                side = line.strip()[:1]
            if side == b"S":
                expected += text + b"\r\n"
                continue
            self.assertEqual(said, expected)
            said = self.send(text.replace(b" | ", b"\r\n") + b"\r\n")
            # A reply without a text has a space all the same, as stock has it.
            said, expected = said.replace(b"+OK \r\n", b"+OK\r\n"), b""
        self.assertEqual(said, expected)

    def lose(self):
        """
        Lose the connection as a transport does: its producer hears of it first.
        """
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.session.connectionLost(None)
