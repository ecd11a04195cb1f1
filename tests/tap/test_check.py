"""
`extretr.tap.check`: what is wrong with a configuration.
"""

import os
import sys
from importlib import import_module
from io import StringIO
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, capturedLogs

from extretr.tap import makeService
from extretr.tap.check import CHECKS, MOST_LINES, findings
from tests.certificates import Authority, for_loopback
from tests.tap.test_run import TapTestCase

# The package has the function by that name.
check = import_module("extretr.tap.check")


class CheckTestCase(TapTestCase):
    """
    A configuration that is right, until a test makes it wrong.
    """

    def setUp(self):
        super().setUp()
        self.reactor = MemoryReactorClock()

    def found(self, *options):
        run = self.options(*self.mail("maildir", "--check", *options)).subOptions
        with capturedLogs():
            return findings(run, self.reactor)

    def file(self, name, octets):
        path = Path(self.folder, name)
        path.write_bytes(octets)
        return str(path)


class FindingsTests(CheckTestCase):
    """
    Each thing that is wrong is one line that names it.
    """

    def test_nothing(self):
        """
        What is right has none, and nothing listens, is made or is left behind.
        """
        pem = for_loopback()
        certificate = self.file("c.pem", pem.certificate)
        key = self.file("k.pem", pem.key)
        before = sorted(os.walk(self.folder))
        found = self.found(
            "--certificate", certificate, "--key", key, "--listen-tls", "tcp:995",
            "--listen", "haproxy:tcp:110", "--metrics", "tcp:9110",
            "--state", f"{self.folder}/state/%u", "--workers", "2",
        )  # fmt: skip
        self.assertEqual(found, [])
        self.assertEqual(self.reactor.tcpServers, [])
        self.assertEqual(sorted(os.walk(self.folder)), before)

    def test_endpoints(self):
        """
        Each endpoint that is none is found.
        """
        pem = for_loopback()
        both = self.file("both.pem", pem.certificate + pem.key)
        found = self.found(
            "--listen", "tcp:x", "--listen", "tcp:110", "--listen", "nonsense",
            "--certificate", both, "--listen-tls", "haproxy:ssl:995",
            "--metrics", "smoke:signals",
        )  # fmt: skip
        options = [line.split(": ")[0] for line in found]
        self.assertEqual(
            options,
            [
                "--listen tcp:x",
                "--listen nonsense",
                "--listen-tls haproxy:ssl:995",
                "--metrics smoke:signals",
            ],
        )
        for line in found:
            self.assertNotIn("\n", line)

    def test_systemd(self):
        """
        A port that systemd passes to the server is not missed where it has not passed
        any; where it has, the names have to agree.
        """
        socket = ("--listen", "systemd:domain=INET6:name=pop3")
        self.assertEqual(self.found(*socket), [])
        environ = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "other"}
        self.patch(os, "environ", {**os.environ, **environ})
        self.assertEqual(len(self.found(*socket)), 1)

    def test_certificates(self):
        """
        One that cannot be used is found, and so is one that has expired.
        """
        (line,) = self.found("--certificate", self.users)
        self.assertIn("holds no certificate in PEM", line)
        pem = Authority().issue(days=(-20, -10))
        path = self.file("old.pem", pem.certificate + pem.key)
        (line,) = self.found("--certificate", path)
        self.assertIn("has expired", line)

    def test_users(self):
        """
        Each bad line of the users file is found, and they are counted.
        """
        self.file(
            "users", b"bob\nalice:{PLAIN}secret\nalice:{PLAIN}x\ncarol:{NOPE}hushhush\n"
        )
        found = self.found()
        self.assertEqual(
            [line.removeprefix(f"--users {self.users}") for line in found],
            [
                ", line 1: it is not user:{SCHEME}hash",
                ", line 3: the user has a line already",
                ", line 4: unknown scheme NOPE",
                ": bad lines: 3, accounts: 2",
            ],
        )
        self.assertNotIn("hush", "".join(found))

    def test_manyLines(self):
        """
        Of many bad lines not all are told.
        """
        self.file("users", b"x\n" * 1000)
        found = self.found()
        self.assertEqual(len(found), MOST_LINES + 1)
        self.assertIn("bad lines: 1000", found[-1])

    def test_noUsers(self):
        """
        A users file with nobody in it, or that cannot be read.
        """
        self.file("users", b"# nobody\n")
        (line,) = self.found()
        self.assertIn("no account", line)
        os.remove(self.users)
        self.assertEqual(
            self.found(),
            [
                "users: cannot be read by this user",
                f"--users {self.users}: No such file or directory",
            ],
        )

    def test_mail(self):
        """
        Folders that this account may not use.
        """
        denied = {f"{self.folder}/mail": os.R_OK, f"{self.folder}": os.W_OK}
        real = os.access

        def access(path, mode, **how):
            return not denied.get(os.fsdecode(path), 0) & mode and real(path, mode)

        self.patch(os, "access", access)
        found = self.found("--state", f"{self.folder}/state/deep/%u")
        self.assertEqual(
            found,
            [
                "mail: cannot be read by this user",
                f"--state: nothing can be written in {self.folder}",
            ],
        )

    def test_whole(self):
        """
        Whatever else would keep the server from starting, or is warned of, is found.
        """
        serving = check.serving

        def fails(run, *rest):
            Logger().warn("the moon is full")
            serving(run, *rest)
            raise SystemExit("extretr: it is Sunday")

        self.patch(check, "serving", fails)
        self.assertEqual(self.found(), ["the moon is full", "it is Sunday"])

    def test_more(self):
        """
        Others can have looks of their own taken.
        """
        self.patch(check, "CHECKS", [*CHECKS, lambda run, reactor: iter(["no tea"])])
        self.assertEqual(self.found(), ["no tea"])


class CommandTests(CheckTestCase):
    """
    ``twistd extretr run --check``.
    """

    def leave(self, *options):
        """
        Give the exit status, and what was printed.
        """
        stdout = StringIO()
        self.patch(sys, "stdout", stdout)
        options = self.options(*self.mail("maildir", "--check", *options))
        leaving = self.assertRaises(SystemExit, makeService, options, self.reactor)
        return leaving.code, stdout.getvalue()

    def test_right(self):
        """
        Where nothing is wrong it says so, and the exit status is 0.
        """
        status, printed = self.leave()
        self.assertEqual(status, 0)
        self.assertEqual(printed, "extretr: the configuration is good\n")

    def test_wrong(self):
        """
        Else there is a line for each thing, and it is 1.
        """
        status, printed = self.leave("--listen", "tcp:x", "--listen", "tcp:y")
        self.assertEqual(status, 1)
        lines = printed.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertTrue(line.startswith("extretr: --listen tcp:"), line)

    def test_besideTheServer(self):
        """
        The pidfile of the server that runs does not matter.
        """
        options = self.options("run")
        for arguments, pidfile in (((), "twistd.pid"), (("--check",), "")):
            run = type(options.subOptions)()
            run.parent = type("Parent", (), {"parent": {"pidfile": "twistd.pid"}})()
            run.parseOptions([*self.mail("maildir")[1:], *arguments])
            self.assertEqual(run.parent.parent["pidfile"], pidfile)
