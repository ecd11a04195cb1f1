"""A custom realm with its own IMailbox: the mailbox stays as it is."""

from io import BytesIO

from twisted.cred.portal import IRealm, Portal
from twisted.internet.protocol import ServerFactory
from twisted.mail.pop3 import IMailbox
from zope.interface import implementer

from extretr import ExtendedPOP3


@implementer(IMailbox)
class Mailbox:
    """Messages from a list; a database would do as well."""

    def __init__(self, messages):
        self._messages = messages
        self._deleted = set()

    def listMessages(self, index=None):
        if index is None:
            return [self.listMessages(each) for each in range(len(self._messages))]
        return 0 if index in self._deleted else len(self._messages[index])

    def getMessage(self, index):
        return BytesIO(self._messages[index])

    def getUidl(self, index):
        return b"message-%d" % index

    def deleteMessage(self, index):
        self._deleted.add(index)

    def undeleteMessages(self):
        self._deleted.clear()

    def sync(self):
        pass


@implementer(IRealm)
class Realm:
    """Gives each user a mailbox, as before."""

    def __init__(self, mailboxes):
        self._mailboxes = mailboxes

    def requestAvatar(self, avatarId, mind, *interfaces):
        return IMailbox, Mailbox(self._mailboxes[avatarId]), lambda: None


class Factory(ServerFactory):
    """Builds ExtendedPOP3 where it built POP3."""

    protocol = ExtendedPOP3

    def __init__(self, mailboxes, checker):
        self.portal = Portal(Realm(mailboxes), [checker])

    def buildProtocol(self, addr):
        session = super().buildProtocol(addr)
        session.portal = self.portal
        return session
