"""
Stock twisted.mail.pop3.POP3 over a correct mailbox of LF files: what we compare with.

usage: python -m tests.benchmarks.stock FOLDER [PEM]

FOLDER has a Maildir for each user.  With a certificate there is a second port, with
TLS from the start.  The ports are printed, one a line.
"""

import os
import sys

from twisted.cred import checkers, portal
from twisted.internet import endpoints, reactor
from twisted.internet.protocol import ServerFactory
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Mailbox:
    """
    A Maildir's messages, with sizes as stock counts them.
    """

    def __init__(self, folder):
        self._paths = sorted(
            (
                os.path.join(folder, place, name)
                for place in ("cur", "new")
                for name in os.listdir(os.path.join(folder, place))
            ),
            key=os.path.basename,
        )

    def listMessages(self, index=None):
        if index is None:
            return [self.listMessages(each) for each in range(len(self._paths))]
        return os.stat(self._paths[index]).st_size

    def getMessage(self, index):
        return open(self._paths[index], "rb")

    def getUidl(self, index):
        return os.path.basename(self._paths[index]).partition(":")[0].encode()

    def deleteMessage(self, index):
        raise NotImplementedError

    undeleteMessages = sync = lambda self: None


@implementer(portal.IRealm)
class Realm:
    """
    Gives each user a Maildir.
    """

    def __init__(self, folder):
        self._folder = folder

    def requestAvatar(self, avatarId, mind, *interfaces):
        mailbox = Mailbox(os.path.join(self._folder, avatarId.decode()))
        return pop3.IMailbox, mailbox, lambda: None


class Factory(ServerFactory):
    """
    Builds stock sessions.
    """

    noisy = False
    protocol = pop3.POP3

    def __init__(self, folder):
        users = dict.fromkeys(os.listdir(folder), b"secret")
        checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(**users)
        self._portal = portal.Portal(Realm(folder), [checker])

    def buildProtocol(self, addr):
        session = super().buildProtocol(addr)
        session.portal = self._portal
        return session


def main():
    """
    Serve until killed.
    """
    factory = Factory(sys.argv[1])
    descriptions = ["tcp:0:backlog=1000:interface=127.0.0.1"]
    if len(sys.argv) > 2:
        pem = f"privateKey={sys.argv[2]}:certKey={sys.argv[2]}"
        descriptions.append(f"ssl:0:{pem}:interface=127.0.0.1")
    for description in descriptions:
        endpoint = endpoints.serverFromString(reactor, description)
        endpoint.listen(factory).addCallback(
            lambda port: print(port.getHost().port, flush=True)
        )
    reactor.run()


if __name__ == "__main__":
    main()
