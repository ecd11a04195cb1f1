"""
``twistd extretr run --metrics`` and ``--check``: what they take, and what they tell.
"""

import os
import sys
from io import StringIO

from twisted.application.service import MultiService
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.meter import Meter
from extretr.server.metrics import PrometheusMeter
from extretr.tap import Options, makeService
from extretr.tap.monitor_options import FOLDER, Monitor, checks_of


class MonitorTestCase(SynchronousTestCase):
    """
    A mail root and a users file.
    """

    def setUp(self):
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(os.path.join(self.folder, "mail"))
        self.users = os.path.join(self.folder, "users")
        self.write("alice:{PLAIN}secret\n")
        self.output = StringIO()
        self.patch(sys, "stdout", self.output)

    def write(self, text):
        with open(self.users, "w", encoding="ascii") as file:
            file.write(text)

    def options(self, *more):
        options = Options()
        mail = f"maildir:{self.folder}/mail/%u"
        options.parseOptions(["run", "--mail", mail, "--users", self.users, *more])
        return options

    def refused(self, *arguments):
        options = Options()
        with self.assertRaises(SystemExit) as caught:
            options.parseOptions(["run", *arguments])
        return str(caught.exception)


class CheckTests(MonitorTestCase):
    """
    A configuration is looked at, and nothing is started.
    """

    def check(self, *more):
        reactor = MemoryReactorClock()
        with self.assertRaises(SystemExit) as caught:
            makeService(self.options("--check", *more), reactor)
        self.assertEqual(reactor.tcpServers, [])
        return caught.exception.code, self.output.getvalue().splitlines()

    def test_good(self):
        """
        A good one is said to be good.
        """
        self.assertEqual(self.check(), (0, ["extretr: the configuration is good"]))

    def test_unreadable(self):
        """
        So is what this user cannot read.
        """
        self.patch(os, "access", lambda *_, **__: False)
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertEqual({line.split(": ")[1] for line in said}, {"mail", "users"})

    def test_needsMail(self):
        """
        The sample maildrop needs no check.
        """
        self.assertIn("--check needs --mail", self.refused("--check"))


class MetricsTests(MonitorTestCase):
    """
    What counts, where it is shown.
    """

    def monitor(self, *more):
        self.reactor = MemoryReactorClock()
        return Monitor(self.options(*more).subOptions, self.reactor)

    def test_off(self):
        """
        Nothing is counted, nothing listens, unless that is asked for.
        """
        monitor, service, environ = self.monitor(), MultiService(), {}
        self.assertIs(type(monitor.meter()), Meter)
        monitor.share(environ)
        self.assertIs(monitor.serve(service, {}), service)
        self.assertEqual((environ, list(service)), ({}, []))
        monitor.forget(1)

    def test_on(self):
        """
        Sessions are counted, and the listener is one of its own.
        """
        monitor = self.monitor("--metrics", "tcp:9110:interface=127.0.0.1")
        self.assertIsInstance(monitor.meter(), PrometheusMeter)
        service = monitor.serve(MultiService(), {})
        service.privilegedStartService()
        ((port, _, _, interface),) = self.reactor.tcpServers
        self.assertEqual((port, interface), (9110, "127.0.0.1"))

    def test_workers(self):
        """
        Workers count in a folder, which goes with the supervisor.
        """
        monitor, environ = self.monitor("--metrics", "tcp:9110"), {}
        monitor.share(environ)
        folder = environ[FOLDER]
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        monitor.forget(1)
        ((function, arguments, _),) = self.reactor.triggers["after"]["shutdown"]
        function(*arguments)
        self.assertFalse(os.path.exists(folder))

    def test_badEndpoint(self):
        """
        An endpoint that is none is one line.
        """
        with self.assertRaises(SystemExit) as caught:
            self.monitor("--metrics", "nonsense:1").serve(MultiService(), {})
        self.assertIn("--metrics nonsense:1", str(caught.exception))

    def test_noLibrary(self):
        """
        So is a library that is not there.
        """
        name = "prometheus_client"
        self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
        sys.modules[name] = None
        said = self.refused(
            *("--mail", f"maildir:{self.folder}/mail/%u", "--users", self.users),
            *("--metrics", "tcp:1"),
        )
        self.assertIn("pip install 'extretr[metrics]'", said)

    def test_checks(self):
        """
        The mail root and the users file are looked at each time.
        """
        checks = checks_of(self.options().subOptions)
        self.assertEqual(
            {name: check() for name, check in checks.items()},
            {"mail": True, "users": True},
        )
        os.rename(self.users, self.users + ".gone")
        self.assertFalse(checks["users"]())
