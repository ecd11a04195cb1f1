"""
``twistd extretr fetch``: its options, and the service.
"""

import os
from pathlib import Path

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from extretr.client import connection
from extretr.tap import Options, makeService
from extretr.tap.fetch import FetchService

CONFIG = """
[defaults]
to = "Maildir"

[work]
url = "pop3://alice@127.0.0.1:1110"

[home]
url = "pop3s://bob@mail.example.org"
"""


class FetchCase(SynchronousTestCase):
    """
    A configuration file.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.config = self.folder / "fetch.toml"
        self.config.write_text(CONFIG, "utf-8")
        self.config.chmod(0o600)
        self.patch(os, "environ", {**os.environ, "NETRC": str(self.folder / "netrc")})

    def parse(self, *arguments):
        options = Options()
        options.parseOptions(
            ["fetch", "--config", str(self.config), "--state", "s", *arguments]
        )
        return options

    def fails(self, *arguments):
        with self.assertRaises(SystemExit) as caught:
            self.parse(*arguments)
        line = str(caught.exception)
        self.assertIn("twistd extretr fetch --help", line)
        return line


class OptionsTests(FetchCase):
    """
    What may be given.
    """

    def test_accounts(self):
        """
        All accounts of the file are fetched, or those that are named.
        """
        accounts = self.parse().subOptions["accounts"]
        self.assertEqual([account.name for account in accounts], ["work", "home"])
        accounts = self.parse("home").subOptions["accounts"]
        self.assertEqual([account.name for account in accounts], ["home"])

    def test_every(self):
        """
        The time between rounds is five minutes, or what is given.
        """
        self.assertEqual(self.parse().subOptions["seconds"], 300)
        self.assertEqual(self.parse("--every", "2h").subOptions["seconds"], 7200)

    def test_wrong(self):
        """
        What is wrong is said in one line.
        """
        self.assertIn("--every", self.fails("--every", "soon"))
        self.assertIn("--every", self.fails("--every", "0"))
        self.assertIn("'nobody'", self.fails("nobody"))
        self.config.write_text('[x]\nurl = "pop3s://a@b"\nto = "-"\n', "utf-8")
        self.assertIn("standard output", self.fails())
        self.config.unlink()
        self.assertIn("no such file", self.fails())


class ServiceTests(FetchCase):
    """
    The service.
    """

    def setUp(self):
        super().setUp()
        self.logged = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        netrc = self.folder / "netrc"
        netrc.write_text("machine 127.0.0.1 login alice password secret\n", "utf-8")
        netrc.chmod(0o600)

    def lines(self):
        return [each["line"] for each in self.logged if "line" in each]

    def test_rounds(self):
        """
        It connects for each account in turn, logs how that went, and does so again.
        """
        rounds = []

        class Refusing:
            def __init__(self, reactor, host, port, timeout):
                rounds.append((host, port))

            def connect(self, factory):
                return fail(ConnectionRefusedError())

        self.patch(connection, "HostnameEndpoint", Refusing)
        clock = Clock()
        service = makeService(self.parse("--every", "60s", "work"), clock)
        self.assertIsInstance(service, FetchService)
        service.startService()
        clock.pump([1.0] * 600)
        self.assertIn("work: gave up", " ".join(self.lines()))
        self.assertEqual(rounds[0], (b"127.0.0.1", 1110))
        self.assertGreater(len(rounds), 1)
        self.successResultOf(service.stopService())
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_clock(self):
        """
        Stopped before its first round, it is stopped.
        """
        service = makeService(self.parse(), Clock())
        self.assertIsNone(service.stopService())
