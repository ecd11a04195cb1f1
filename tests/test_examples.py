"""
The examples of docs/examples do what the docs say.
"""

import runpy
from pathlib import Path

from twisted.application.service import IServiceCollection
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.server.dialogue import ListMailbox, pump

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"

MESSAGE = b"Subject: hello\n\n.dot\nbody\n"


class ExampleTests(SynchronousTestCase):
    """
    Each example resumes.
    """

    def load(self, name):
        return runpy.run_path(str(EXAMPLES / name))

    def talk(self, session, *lines):
        """
        Connect, say the lines, and give the answers.
        """
        session.schedule = lambda steps: list(steps) and None
        transport = StringTransport()
        session.makeConnection(transport)
        for line in lines:
            transport.clear()
            session.dataReceived(line + b"\r\n")
            pump(transport)
        answer = transport.value()
        session.connectionLost(None)
        return answer

    def test_mailService(self):
        """
        A MailService stack resumes with nothing but the class changed.
        """
        example = self.load("mailservice.py")
        application = example["makeApplication"](
            "tcp:0:interface=127.0.0.1",
            {b"bob": ListMailbox([MESSAGE])},
            {"bob": b"secret"},
        )
        (listener,) = IServiceCollection(application)
        session = listener.factory.buildProtocol(None)
        answer = self.talk(
            session, b"USER bob@example.org", b"PASS secret", b"RETR 1 18"
        )
        self.assertEqual(
            answer, b"+OK 30 octets (12 to come)\r\n..dot\r\nbody\r\n.\r\n"
        )

    def test_realm(self):
        """
        A realm goes on handing out the mailbox that it has.
        """
        checker = InMemoryUsernamePasswordDatabaseDontUse(bob=b"secret")
        factory = self.load("realm.py")["Factory"]({b"bob": [MESSAGE]}, checker)
        answer = self.talk(
            factory.buildProtocol(None), b"USER bob", b"PASS secret", b"RETR 1 24"
        )
        self.assertEqual(answer, b"+OK 30 octets (6 to come)\r\nbody\r\n.\r\n")

    def test_mixin(self):
        """
        Their commands go on to work beside ours.
        """
        kind = self.load("mixin.py")["ResumablePOP3"]
        session = kind()
        session.mbox = ListMailbox([MESSAGE])
        self.assertEqual(self.talk(session, b"XHELLO you"), b"+OK hello you\r\n")
        session = kind()
        session.mbox = ListMailbox([MESSAGE])
        self.assertIn(b"(6 to come)", self.talk(session, b"RETR 1 24"))
