"""
`extretr.server.checkers`: Twisted's own checkers behind POP3.
"""

from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.strcred import makeChecker
from twisted.internet.defer import CancelledError
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.checkers import OctetsChecker


class Answer:
    """
    A checker that answers as it was told.
    """

    def __init__(self, answer):
        self.answer = answer

    def requestAvatarId(self, credentials):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class OctetsCheckerTests(SynchronousTestCase):
    """
    Names are octets, whatever the checker makes of them.
    """

    def ask(self, original, user=b"alice", password=b"secret"):
        checker = OctetsChecker(original)
        verifyObject(ICredentialsChecker, checker)
        return checker.requestAvatarId(UsernamePassword(user, password))

    def test_memory(self):
        """
        Accounts from a command line, which are text, are known by their octets.
        """
        original = makeChecker("memory:alice:secret:b\u00f6b:gehe\u00efm")
        self.assertEqual(self.successResultOf(self.ask(original)), b"alice")
        user, password = "b\u00f6b".encode(), "gehe\u00efm".encode()
        self.assertEqual(self.successResultOf(self.ask(original, user, password)), user)
        self.failureResultOf(self.ask(original, b"alice", b"wrong"), UnauthorizedLogin)
        self.failureResultOf(self.ask(original, b"eve", b"secret"), UnauthorizedLogin)

    def test_octets(self):
        """
        Accounts that are octets already stay as they are.
        """
        original = InMemoryUsernamePasswordDatabaseDontUse()
        original.addUser(b"\xff", b"\xfe")
        asked = self.ask(original, b"\xff", b"\xfe")
        self.assertEqual(self.successResultOf(asked), b"\xff")

    def test_file(self):
        """
        A file of accounts works as it did.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"alice:secret\n")
        asked = self.ask(FilePasswordDB(path))
        self.assertEqual(self.successResultOf(asked), b"alice")

    def test_text(self):
        """
        The name of an avatar that is text becomes octets.
        """
        self.assertEqual(self.successResultOf(self.ask(Answer("alice"))), b"alice")

    def test_refusals(self):
        """
        A refusal passes through.
        """
        self.failureResultOf(self.ask(Answer(LoginDenied())), LoginDenied)

    def test_errors(self):
        """
        An error in the checker is a refusal, and one log line without its text.
        """
        with capturedLogs() as events:
            asked = self.ask(Answer(NotImplementedError("secret")))
            self.failureResultOf(asked, UnauthorizedLogin)
        (event,) = events
        self.assertIn("NotImplementedError", formatEvent(event))
        self.assertNotIn("secret", formatEvent(event))

    def test_hungUp(self):
        """
        A peer that hung up while it waited is no error of the checker.
        """
        with capturedLogs() as events:
            self.failureResultOf(self.ask(Answer(CancelledError())), UnauthorizedLogin)
        self.assertEqual(events, [])
