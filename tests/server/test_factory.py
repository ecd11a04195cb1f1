"""
`extretr.server.factory`: factories, the mail service and the realm.
"""

import os

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.mail.interfaces import IMailboxPOP3
from twisted.mail.smtp import IMessageDelivery
from twisted.protocols.policies import TimeoutMixin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.errors import InUse, UnsafeUser
from extretr.server.entering import BrakedRealm
from extretr.server.factory import (
    _OWN,
    ExtendedMailService,
    ExtendedPOP3Factory,
    MaildropFactory,
    MaildropRealm,
)
from extretr.server.limits import Brakes, Limits
from extretr.server.meter import Meter
from extretr.server.protocol import ExtendedPOP3, ExtendedVirtualPOP3
from extretr.stores.maildir import MaildirStore
from extretr.stores.paths import PathTemplate


class Store:
    """
    Opens what it was made with, and remembers for whom.
    """

    def __init__(self, result):
        self.result = result
        self.opened = []

    def openMaildrop(self, user, session):
        self.opened.append((user, session))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Maildrop:
    def close(self):
        pass


class RealmTests(SynchronousTestCase):
    """
    The realm opens the maildrop of a user.
    """

    def ask(self, result, *interfaces):
        self.store = Store(result)
        realm = MaildropRealm(self.store)
        verifyObject(IRealm, realm)
        return realm.requestAvatar(b"bob", "mind", *interfaces or (IMailboxPOP3,))

    def test_avatar(self):
        """
        The avatar is the maildrop, and its logout closes it.
        """
        maildrop = Maildrop()
        for result in (maildrop, succeed(maildrop)):
            avatar = self.successResultOf(self.ask(result))
            self.assertEqual(avatar, (IMailboxPOP3, maildrop, maildrop.close))
            self.assertEqual(self.store.opened, [(b"bob", "mind")])

    def test_unsafeUser(self):
        """
        A name that cannot be part of a path fails to log in.
        """
        self.failureResultOf(self.ask(UnsafeUser()), UnauthorizedLogin)

    def test_inUse(self):
        """
        A refusal goes through, with its response code.
        """
        self.failureResultOf(self.ask(fail(InUse())), InUse)

    def test_otherInterfaces(self):
        """
        It has maildrops only.
        """
        self.assertRaises(NotImplementedError, self.ask, None, IMessageDelivery)


class FactoryTests(SynchronousTestCase):
    """
    The factories build our protocols.
    """

    def test_maildropFactory(self):
        """
        Each session has the portal and the rule on passwords of its factory.
        """
        portal = Portal(MaildropRealm(Store(None)))
        factory = MaildropFactory(portal, requireTLS=True)
        session = factory.buildProtocol(None)
        self.assertIsInstance(session, ExtendedPOP3)
        self.assertIs(session.portal, portal)
        self.assertIs(session.factory, factory)
        self.assertTrue(session.requireTLS)
        self.assertFalse(MaildropFactory(portal).buildProtocol(None).requireTLS)

    def test_attributes(self):
        """
        What a factory gives its sessions is there as it was given, functions too, and
        costs none of them anything; a class that is set later is made from then on.
        """

        class Mine(ExtendedPOP3):
            pass

        factory = MaildropFactory(None, timeOut=7, schedule=lambda steps: steps)
        session = factory.buildProtocol(None)
        self.assertIs(session.factory, factory)
        self.assertEqual((session.timeOut, session.schedule("steps")), (7, "steps"))
        self.assertEqual(vars(session), {})
        self.assertEqual(repr(type(session)), repr(ExtendedPOP3))
        self.assertIs(type(session), type(factory.buildProtocol(None)))
        factory.protocol = Mine
        self.assertIsInstance(factory.buildProtocol(None), Mine)

    def test_mailService(self):
        """
        f51: the mail service makes a factory whose sessions know the service.
        """
        service = ExtendedMailService()
        factory = service.getPOP3Factory()
        self.assertIsInstance(factory, ExtendedPOP3Factory)
        session = factory.buildProtocol(None)
        self.assertIsInstance(session, ExtendedVirtualPOP3)
        self.assertIs(session.service, service)

    def test_unknownDomain(self):
        """
        f34: a domain that is not served is answered as a wrong password is.
        """
        from tests.server.dialogue import DialogueTestCase

        test = DialogueTestCase()
        service = ExtendedMailService()
        test.protocol = service.getPOP3Factory().protocol
        test.setUp()
        test.session.mbox = None
        test.session.service = service
        service.domains.domains.clear()
        answer = test.send(b"USER bob@nowhere\r\nPASS x\r\n").splitlines()
        self.assertEqual(answer[1], b"-ERR Authentication failed")
        test.lose()


class OwnTests(SynchronousTestCase):
    """
    What a session has of its own is little, and known when its class is made.
    """

    def test_known(self):
        """
        A session that has logged in has no attribute that its class does not know of.
        """
        folder = os.fsencode(os.path.abspath(self.mktemp()))
        for name in (b"new", b"cur", b"tmp"):
            os.makedirs(os.path.join(folder, b"alice", name))
        clock = Clock()
        brakes = Brakes(Limits(), clock.seconds)
        store = MaildirStore(PathTemplate(folder + b"/%u"), clock, None)
        realm = BrakedRealm(MaildropRealm(store), brakes, Meter())
        database = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
        maildrops = MaildropFactory(
            Portal(realm, [database]),
            clock=clock,
            brakes=brakes,
            loginTimeOut=60,
            commandRate=10,
            mostOctetsOfStrangers=1000,
        )
        session = maildrops.buildProtocol(None)
        transport = StringTransport()
        # It stays the one that all have, who then share a timer.
        self.patch(TimeoutMixin, "callLater", lambda _, *what: clock.callLater(*what))
        session.makeConnection(transport)
        session.dataReceived(b"USER alice\r\nPASS secret\r\nSTAT\r\n")
        self.assertIn(b"+OK 0 0", transport.value())
        self.assertEqual(set(vars(session)) - set(_OWN), set())
        self.assertLessEqual(len(_OWN), 28)
        session.connectionLost()
