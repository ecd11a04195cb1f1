"""
`extretr.tap`: how the process, or the processes, of a server are set up.
"""

import json
import os
import socket

from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock

from extretr.server.graceful import GracefulStop
from extretr.server.log_lines import quicken
from extretr.server.proxied import ProxiedFactory
from extretr.server.service import Listener
from extretr.server.workers import Workers
from extretr.tap import makeService
from extretr.tap.process import preload
from extretr.tap.workers import COMMAND
from tests.certificates import Authority
from tests.tap.test_run import TapTestCase as _TapTestCase


class Port:
    """
    A port that is open.
    """

    addressFamily = socket.AF_INET6
    host, port = "::1", 110

    def getHost(self):
        return self

    def stopReading(self):
        self.accepts = False


class ProcessTests(_TapTestCase):
    """
    The options, and what comes of them.
    """

    def setUp(self):
        super().setUp()
        self.reactor = MemoryReactorClock()

    def service(self, *arguments):
        return makeService(
            self.options(*self.mail("maildir", *arguments)), self.reactor
        )

    def test_refused(self):
        """
        Numbers that are none are one line that names the option.
        """
        for option, values in (
            ("--stop-after", ("", "soon", "-1", "inf", "nan")),
            ("--workers", ("", "0", "-1", "2.5", "257", "many")),
        ):
            for value in values:
                self.assertIn(
                    option, self.refused(*self.mail("maildir", option, value))
                )
        self.assertIn("--workers needs --mail", self.refused("run", "--workers", "2"))

    def test_defaults(self):
        """
        One process, which lets transfers go on for half a minute.
        """
        run = self.options(*self.mail()).subOptions
        self.assertEqual((run["workers"], run["stop-after"]), (1, 30.0))

    def test_order(self):
        """
        What lets sessions end is asked to stop before all that they need.
        """
        services = list(self.service())
        self.assertIsInstance(services[-1], GracefulStop)
        services = list(self.service("--workers", "2"))
        self.assertIsInstance(services[-1], Workers)

    def test_proxy(self):
        """
        An endpoint behind a proxy waits for its header, before any TLS.
        """
        for option in ("--listen", "--listen-tls"):
            certificate = os.path.join(self.folder, "certificate.pem")
            issued = Authority().issue()
            with open(certificate, "wb") as file:
                file.write(issued.certificate + issued.key)
            tls = (option, "haproxy:tcp:110", "--certificate", certificate)
            self.reactor = MemoryReactorClock()
            self.service(*tls).privilegedStartService()
            ((port, factory, *_),) = self.reactor.tcpServers
            self.assertEqual(port, 110)
            self.assertIsInstance(factory, ProxiedFactory)
            for kind in ("ssl", "tls"):
                tls = (option, f"haproxy:{kind}:1", "--certificate", certificate)
                leaving = self.assertRaises(SystemExit, self.service, *tls)
                self.assertIn("--listen-tls haproxy:tcp:", leaving.code)

    def test_supervisor(self):
        """
        A supervisor opens the ports, takes no connection, and hands to workers what
        it was given: not in their arguments, which everybody can see.
        """
        key = os.path.join(self.folder, "key.pem")
        issued = Authority().issue()
        with open(key, "wb") as file:
            file.write(issued.certificate + issued.key)
        port = Port()
        self.reactor.listenTCP = lambda *arguments, **keywords: port
        service = self.service(
            *("--workers", "3", "--listen", "tcp:110", "--certificate", key)
        )
        listeners = [each for each in service if isinstance(each, Listener)]
        self.assertEqual(len(listeners), 1)
        for listener in listeners:
            listener.privilegedStartService()
        self.assertFalse(port.accepts)
        workers = list(service)[-1]
        self.assertTrue(IService.providedBy(workers))
        self.assertEqual(workers._command, list(COMMAND))
        told = json.loads(workers._configuration(2, workers._ports))
        self.assertEqual(
            told["arguments"][:2], ["--mail", f"maildir:{self.folder}/mail/%u"]
        )
        self.assertEqual(told["families"], [socket.AF_INET6])
        self.assertEqual(list(told["files"]), [key])
        self.assertEqual(
            {name: len(value) for name, value in told["keys"].items()},
            {"users": 64, "tried": 64, "counts": 64},
        )
        self.assertEqual(told["number"], 2)
        again = json.loads(workers._configuration(2, workers._ports))
        self.assertEqual(told, again)

    def test_supervisorLooksFirst(self):
        """
        What a worker would find wrong is told before any is started.
        """
        os.unlink(self.users)
        leaving = self.assertRaises(SystemExit, self.service, "--workers", "2")
        self.assertIn("--users", leaving.code)

    def test_log(self):
        """
        The lines of the log, once it is begun, are made for less.
        """
        self.service()
        hooks = [function for function, *_ in self.reactor.whenRunningHooks]
        self.assertIn(quicken, hooks)

    def test_preload(self):
        """
        Loading what is loaded late does no harm.
        """
        preload()
