"""An existing twisted.mail stack, made resumable: only the import was changed."""

from __future__ import annotations

from twisted.application import service, strports
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.mail.pop3 import IMailbox

from extretr import ExtendedMailService  # was: twisted.mail.mail.MailService


class Domain:
    """A domain as twisted.mail wants one, with a mailbox of its own kind a user."""

    def __init__(self, mailboxes, passwords):
        self._mailboxes = mailboxes
        self._checker = InMemoryUsernamePasswordDatabaseDontUse(**passwords)

    def getCredentialsCheckers(self):
        return [self._checker]

    def requestAvatar(self, avatarId, mind, *interfaces):
        return IMailbox, self._mailboxes[avatarId], lambda: None


def makeApplication(port, mailboxes, passwords):
    mail = ExtendedMailService()
    mail.addDomain(b"example.org", Domain(mailboxes, passwords))
    application = service.Application("mail")
    strports.service(port, mail.getPOP3Factory()).setServiceParent(application)
    return application
