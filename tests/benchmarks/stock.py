"""
Stock twisted.mail.pop3.POP3 over a correct mailbox of LF files: what we compare with.

usage: python -m tests.benchmarks.stock MAILDIR
"""

import os
import sys

from twisted.cred import checkers, portal
from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Mailbox:
    """
    A Maildir's new/, with sizes as stock counts them.
    """

    def __init__(self, folder):
        self._paths = sorted(
            os.path.join(folder, "new", name)
            for name in os.listdir(os.path.join(folder, "new"))
        )

    def listMessages(self, index=None):
        if index is None:
            return [self.listMessages(each) for each in range(len(self._paths))]
        return os.stat(self._paths[index]).st_size

    def getMessage(self, index):
        return open(self._paths[index], "rb")

    def getUidl(self, index):
        return os.path.basename(self._paths[index]).encode()

    def deleteMessage(self, index):
        raise NotImplementedError

    undeleteMessages = sync = lambda self: None


@implementer(portal.IRealm)
class Realm:
    """
    Gives everybody the same Maildir.
    """

    def requestAvatar(self, avatarId, mind, *interfaces):
        return pop3.IMailbox, Mailbox(sys.argv[1]), lambda: None


class Factory(ServerFactory):
    """
    Builds stock sessions.
    """

    noisy = False
    protocol = pop3.POP3

    def buildProtocol(self, addr):
        session = super().buildProtocol(addr)
        session.portal = portal.Portal(
            Realm(),
            [checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")],
        )
        return session


if __name__ == "__main__":
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()
