"""
`extretr.tap`: what ``twistd extretr run`` takes, and what it refuses.
"""

import os
import sys
from io import StringIO

from twisted.application.service import IService, IServiceMaker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.credentials import IBearerToken, ICertificate, IScram
from extretr.server.factory import MaildropFactory
from extretr.server.hashing import HashingThreads
from extretr.server.tls import ServerTLS
from extretr.stores.maildir import MaildirStore
from extretr.stores.mbox import MboxStore
from extretr.tap import Options, makeService
from extretr.tap.checkers import checkers_of
from tests.certificates import Authority, for_loopback


class TapTestCase(SynchronousTestCase):
    """
    A mail root and a users file.
    """

    def setUp(self):
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(os.path.join(self.folder, "mail"))
        self.users = os.path.join(self.folder, "users")
        with open(self.users, "w", encoding="ascii") as file:
            file.write("alice:{PLAIN}secret\n")
        self.patch(os, "environ", {**os.environ, "XDG_DATA_HOME": self.folder})

    def options(self, *arguments):
        options = Options()
        options.parseOptions(arguments)
        return options

    def mail(self, kind="maildir", *more):
        return (
            "run", "--mail", f"{kind}:{self.folder}/mail/%u", "--users", self.users,
            *more,
        )  # fmt: skip

    def refused(self, *arguments):
        """
        Give the one line with which the command line is refused.
        """
        leaving = self.assertRaises(SystemExit, self.options, *arguments)
        self.assertIsInstance(leaving.code, str)
        self.assertNotIn("\n", leaving.code)
        return leaving.code


class Terminal(StringIO):
    def isatty(self):
        return True


class OptionsTests(TapTestCase):
    """
    The command line.
    """

    def test_defaults(self):
        """
        Plain ``twistd extretr`` is ``run`` with its defaults.
        """
        for arguments in ((), ("run",)):
            options = self.options(*arguments)
            self.assertEqual(options.subCommand, "run")
            self.assertEqual(options.subOptions["listen"], [])
            self.assertEqual(options.subOptions["takeover-after"], 15.0)

    def test_mail(self):
        """
        Each kind of mail is taken, with a template for the user.
        """
        for kind in ("maildir", "mbox", "mboxrd"):
            run = self.options(*self.mail(kind)).subOptions
            self.assertEqual(run["kind"], kind)
            path = run["template"].expand(b"alice")
            self.assertEqual(os.fsdecode(path), f"{self.folder}/mail/alice")

    def test_oneMbox(self):
        """
        A single mbox needs not be there yet, but its folder.
        """
        arguments = ("run", "--users", self.users, "--mail")
        run = self.options(*arguments, f"mbox:{self.folder}/one").subOptions
        path = run["template"].expand(b"alice")
        self.assertEqual(os.fsdecode(path), f"{self.folder}/one")

    def test_state(self):
        """
        A state folder without a place for the user gets one folder a user.
        """
        for given, expanded in (("/x/%d/%n", b"/x/b.c/a"), ("/x", b"/x/a@b.c")):
            run = self.options(*self.mail("maildir", "--state", given)).subOptions
            self.assertEqual(run["state"].expand(b"a@b.c"), expanded)

    def test_listen(self):
        """
        --listen may be given more than once.
        """
        run = self.options(*self.mail("maildir", "--listen", "tcp:1", "-l", "tcp:2"))
        self.assertEqual(run.subOptions["listen"], ["tcp:1", "tcp:2"])

    def test_refused(self):
        """
        Whatever is wrong is one line that names it.
        """
        root = f"maildir:{self.folder}/mail/%u"
        for arguments, says in [
            (("run", "--lisen", "x"), "--lisen"),
            (("--listen", "tcp:1"), "--listen"),
            (("rum",), "rum"),
            (self.mail("maildir", "--users", ""), "--users"),
            (("run", "--mail", "mbox:/nowhere/x", "--users", self.users), "/nowhere"),
            (("run", "surplus"), "surplus"),
            (("run", "--mail", root), "--users"),
            (("run", "--users", self.users), "--mail"),
            (("run", "--mail", "imap:/x", "--users", self.users), "KIND"),
            (("run", "--mail", "maildir:", "--users", self.users), "KIND"),
            (("run", "--mail", "maildir:/x/%q", "--users", self.users), "%q"),
            (("run", "--mail", "maildir:/nowhere/%u", "--users", self.users), "/nowh"),
            (self.mail("maildir", "--takeover-after", "x"), "--takeover-after"),
            (self.mail("maildir", "--takeover-after", "61"), "60"),
            (self.mail("maildir", "--takeover-after", "0"), "--takeover-after"),
            (self.mail("maildir", "--takeover-after", "nan"), "--takeover-after"),
            (self.mail("maildir", "--unique-ids", "mine"), "courier"),
            (self.mail("mbox", "--unique-ids", "dovecot"), "--unique-ids"),
            (("run", "--state", "/x"), "--mail"),
            (self.mail("maildir", "--auth", "nonsense:x"), "nonsense"),
            (self.mail("maildir", "--certificate-user", "uid"), "cn, email"),
            (self.mail("maildir", "--certificate-user", "cn"), "--client-ca"),
            (self.mail("maildir", "--token-check", " "), "--token-check"),
            (("run", "--token-check", "x"), "--mail"),
            (("run", "--mail", root, "--token-check", "x", "--apop"), "--users"),
            (self.mail("maildir", "--auth", "memory:a:b"), "exclude"),
        ]:
            self.assertIn(says, self.refused(*arguments), arguments)

    def test_help(self):
        """
        --help teaches: every option, an example.
        """
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertRaises(SystemExit, self.options, "run", "--help")
        for word in ("--listen", "--mail", "--users", "--auth", "--state", "%u"):
            self.assertIn(word, output.getvalue())
        words = " ".join(output.getvalue().split())
        self.assertIn("twistd -n extretr run --mail", words)

    def test_mechanisms(self):
        """
        Each source of users is a checker of its own; the users file bounds the others.
        """
        reactor, threads = MemoryReactorClock(), HashingThreads(None)
        tls = ("--certificate", "x", "--client-ca", "x")
        more = ("--token-check", "x", "--certificate-user", "email", *tls)
        run = self.options(*self.mail("maildir", *more, "--apop")).subOptions
        users, tokens, certificates = checkers_of(run, reactor, threads)
        offered = [
            interface
            for checker in (users, tokens, certificates)
            for interface in checker.credentialInterfaces
        ]
        self.assertEqual(
            offered,
            [
                IUsernamePassword,
                IScram,
                IUsernameHashedPassword,
                IBearerToken,
                ICertificate,
            ],
        )
        for checker in (tokens, certificates):
            self.assertTrue(checker._known(b"alice"))
            self.assertFalse(checker._known(b"eve"))
        root = ("run", "--mail", f"maildir:{self.folder}/mail/%u")
        run = self.options(*root, *more).subOptions
        for checker in checkers_of(run, reactor, threads):
            self.assertIsNone(checker._known)
        run = self.options(*self.mail()).subOptions
        (users,) = checkers_of(run, reactor, threads)
        self.assertNotIn(IUsernameHashedPassword, users.credentialInterfaces)

    def test_plugin(self):
        """
        Twistd finds the plugin, whose options and maker are these.
        """
        (maker,) = [
            each for each in getPlugins(IServiceMaker) if each.tapname == "extretr"
        ]
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)


class MakeServiceTests(TapTestCase):
    """
    How the server is wired.
    """

    def make(self, *arguments):
        self.reactor = MemoryReactorClock()
        service = makeService(self.options(*arguments), self.reactor)
        self.assertTrue(IService.providedBy(service))
        return service

    def factory(self, *arguments):
        service = self.make(*arguments)
        service.privilegedStartService()
        (listened,) = self.reactor.tcpServers
        return listened[1]

    def test_listens(self):
        """
        It listens where it was told to, by default on loopback alone.
        """
        for arguments, port, interface in (
            ((), 8110, "127.0.0.1"),
            (("--listen", "tcp:1110"), 1110, ""),
        ):
            self.make(*self.mail("maildir", *arguments)).privilegedStartService()
            (listened,) = self.reactor.tcpServers
            self.assertEqual((listened[0], listened[3]), (port, interface))

    def test_store(self):
        """
        The store is the one that --mail names, with the options given.
        """
        more = ("--takeover-after", "7")
        for kind, store_class in (
            ("maildir", MaildirStore),
            ("mbox", MboxStore),
            ("mboxrd", MboxStore),
        ):
            factory = self.factory(*self.mail(kind, *more))
            self.assertIsInstance(factory, MaildropFactory)
            self.assertIsInstance(factory.portal.realm._original._store, store_class)

    def test_backlog(self):
        """
        So many connections may wait as come at once, unless an endpoint says its own.
        """
        for more, backlog in (("", 1024), (":backlog=7", 7)):
            self.factory(*self.mail("maildir", "--listen", f"tcp:1{more}"))
            self.assertEqual(self.reactor.tcpServers[-1][2], backlog)

    def test_passwordsInClear(self):
        """
        Spec reading 19: only --allow-plaintext takes them from afar without TLS.
        """
        self.assertTrue(self.factory(*self.mail()).buildProtocol(None).requireTLS)
        self.assertFalse(
            self.factory(*self.mail("maildir", "--allow-plaintext"))
            .buildProtocol(None)
            .requireTLS
        )

    def test_clock(self):
        """
        Sessions have the clock of the reactor that they run in.
        """
        session = self.factory(*self.mail()).buildProtocol(None)
        self.assertIs(session.clock, self.reactor)

    def test_auth(self):
        """
        Twisted's own checkers can be used instead of a users file.
        """
        factory = self.factory(
            "run", "--mail", f"maildir:{self.folder}/mail/%u", "--auth", "memory:a:b"
        )
        self.assertIn(IUsernamePassword, factory.portal.checkers)

    def test_refused(self):
        """
        What can be found out only now is one line too.
        """
        for arguments, says in [
            (self.mail("maildir", "--listen", "nonsense:1"), "nonsense"),
            (self.mail("maildir", "--listen", "tcp:x"), "tcp:x"),
            (self.mail("maildir", "--listen", "ssl:1:privateKey=/no.pem"), "ssl:1"),
            (
                self.mail("maildir", "--listen", "systemd:domain=INET:index=9"),
                "systemd",
            ),
            (self.mail("maildir", "--listen", "systemd:domain=INET:name=x"), "no such"),
            (self.mail("maildir", "--users", "/nowhere/users"), "/nowhere/users"),
            (("run", "--listen", "tcp:8110"), "--mail"),
            (("run", "--listen", "tcp:0:interface=127.0.0.1"), "--mail"),
        ]:
            leaving = self.assertRaises(SystemExit, self.make, *arguments)
            self.assertIn(says, leaving.code)
            self.assertNotIn("\n", leaving.code)

    def test_embedded(self):
        """
        With no option it serves the embedded default, and tells the terminal how.
        """
        output = Terminal()
        self.patch(sys, "stdout", output)
        self.make("run")
        self.assertIn("-u demo:", output.getvalue())
        self.assertTrue(os.path.isdir(f"{self.folder}/extretr/mail/demo/new"))
        self.make("run", "--listen", "tcp:9110:interface=127.0.0.1")
        self.assertIn("127.0.0.1:9110", output.getvalue())

    def test_passwordNotInLog(self):
        """
        Where stdout is a file, which is the log of twistd -n, the password goes to the
        terminal that stderr is, or nowhere.
        """
        log, terminal = StringIO(), Terminal()
        self.patch(sys, "stdout", log)
        self.patch(sys, "stderr", terminal)
        self.make("run")
        self.assertEqual(log.getvalue(), "")
        self.assertIn("-u demo:", terminal.getvalue())
        with open(f"{self.folder}/extretr/users", encoding="ascii") as file:
            password = file.read().strip().removeprefix("demo:{PLAIN}")
        self.assertIn(password, terminal.getvalue())
        sys.stderr = StringIO()
        self.make("run")
        self.assertNotIn(password, log.getvalue() + sys.stderr.getvalue())
        self.assertIn("--netrc-file", log.getvalue())


class TLSTests(TapTestCase):
    """
    ``--certificate`` and what goes with it.
    """

    def setUp(self):
        super().setUp()
        self.paths = []
        for name, octets in (
            ("cert.pem", for_loopback().certificate),
            ("key.pem", for_loopback().key),
        ):
            self.paths.append(os.path.join(self.folder, name))
            with open(self.paths[-1], "wb") as file:
                file.write(octets)
        certificate, key = self.paths
        self.tls = ("--certificate", certificate, "--key", key)

    def listening(self, *arguments):
        """
        Start the service; give the factory of each port.
        """
        reactor = MemoryReactorClock()
        service = makeService(self.options(*self.mail("maildir", *arguments)), reactor)
        service.privilegedStartService()
        return {port: factory for port, factory, *_ in reactor.tcpServers}

    def test_listeners(self):
        """
        With a certificate sessions have STLS; ``--listen-tls`` begins with TLS, and
        alone there is no plain listener.
        """
        found = self.listening(
            *self.tls, "--listen", "tcp:110", "--listen-tls", "tcp:995"
        )
        self.assertIsInstance(found[110], MaildropFactory)
        session = found[110].buildProtocol(None)
        self.assertIsInstance(session.tls, ServerTLS)
        self.assertIsInstance(found[995], TLSMemoryBIOFactory)
        self.assertIs(found[995].wrappedFactory, found[110])
        self.assertEqual(list(self.listening(*self.tls, "--listen-tls", "tcp:9")), [9])
        (plain,) = self.listening().values()
        self.assertIsNone(plain.buildProtocol(None).tls)

    def test_refused(self):
        """
        What needs a certificate is refused without one, as is a bad endpoint.
        """
        for option in ("--key", "--client-ca", "--listen-tls"):
            text = self.refused(*self.mail("maildir", option, "tcp:1"))
            self.assertIn(f"{option} needs --certificate", text)
        self.assertIn(
            "needs --mail", self.refused("run", *self.tls, "--listen-tls", "tcp:1")
        )
        for arguments, words in (
            (("--certificate", "/nowhere"), "/nowhere: No such file"),
            (self.tls[:2], "name its file by --key"),
            ((*self.tls, "--listen-tls", "nonsense:1"), "--listen-tls nonsense:1"),
        ):
            leaving = self.assertRaises(SystemExit, self.listening, *arguments)
            self.assertIn(words, leaving.code)
            self.assertNotIn("\n", leaving.code)

    def test_expired(self):
        """
        A certificate that has expired is told of on the terminal, and served.
        """
        expired = Authority().issue(days=(-3, -1))
        for path, octets in zip(
            self.paths, (expired.certificate, expired.key), strict=True
        ):
            with open(path, "wb") as file:
                file.write(octets)
        terminal = StringIO()
        self.patch(sys, "__stderr__", terminal)
        self.assertEqual(len(self.listening(*self.tls)), 1)
        self.assertIn("has expired on", terminal.getvalue())
        self.assertEqual(terminal.getvalue().count("\n"), 1)
