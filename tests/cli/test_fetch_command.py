"""
``extretr fetch`` and ``extretr status`` as commands: what they take, and exit with.
"""

import io
import json
import os
import signal
import sys
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from extretr.cli import fetch, main
from extretr.cli.driving import drive
from extretr.cli.interruptions import STOPPING
from extretr.cli.secrets import Secrets
from extretr.client import secrets as passwords
from extretr.client.config import account_from_flags
from extretr.client.fetch import Stopped
from extretr.client.journal import WHOLE, Done, Journal
from extretr.client.places import account_folder

URL = "pop3s://alice@mail.example.org"


class CommandCase(SynchronousTestCase):
    """
    A command with a home of its own.
    """

    def setUp(self):
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir()
        self.state = self.home / "state"
        self.output = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        self.errors = io.StringIO()
        self.patch(sys, "stdout", self.output)
        self.patch(sys, "stderr", self.errors)
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.patch(os, "environ", environment)

    def call(self, *arguments):
        try:
            return main(arguments)
        except SystemExit as leaving:
            return leaving.code

    def printed(self):
        return self.output.buffer.getvalue().decode()

    def configure(self, text):
        path = self.home / "fetch.toml"
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        return str(path)


class FetchTests(CommandCase):
    """
    ``extretr fetch``, before it connects.
    """

    def test_usage(self):
        """
        What cannot be meant is status 64, and says why in a line, and where more is
        told in another.
        """
        for arguments, text in [
            (["--every", "soon"], "--every"),
            (["--every", "0s"], "more than nothing"),
            (["--max-size", "big"], "--max-size"),
            (["--quiet", "--json"], "not allowed"),
            (["--password", "x"], "can be seen"),
            (["--nonsense"], "--nonsense"),
            ([], "--to"),
            (["work", "--to", "m"], "one URL"),
            (["--to", "m", "--config", "x"], "--config"),
        ]:
            self.errors.seek(self.errors.truncate(0))
            self.assertEqual(
                self.call("fetch", URL, *arguments), os.EX_USAGE, arguments
            )
            self.assertIn(text, self.errors.getvalue())
            self.assertLessEqual(self.errors.getvalue().count("\n"), 2)
            self.assertIn("--help", self.errors.getvalue())

    def test_url(self):
        """
        So is a URL that is none, no part of which is shown.
        """
        for url, text in [
            ("pop3s://alice:secret@b", "must not stand in the URL"),
            ("http://secret@b", "the URL must be"),
            ("pop3s://secret@b:0", "the port"),
        ]:
            self.errors.seek(self.errors.truncate(0))
            self.assertEqual(self.call("fetch", url, "--to", "m"), os.EX_USAGE)
            self.assertIn(text, self.errors.getvalue())
            self.assertNotIn("secret", self.errors.getvalue())

    def test_config(self):
        """
        What is wrong with the file, or with what it is asked for, is status 78.
        """
        path = self.configure('[work]\nurl = "pop3s://a@b"\nto = "m"\n')
        for arguments, text in [
            ([], "no such file"),
            (["--config", path, "home"], "'home'"),
        ]:
            self.errors.seek(self.errors.truncate(0))
            self.assertEqual(self.call("fetch", *arguments), os.EX_CONFIG, arguments)
            self.assertIn(text, self.errors.getvalue())

    def test_oneOutput(self):
        """
        Mail and JSON cannot both have the output.
        """
        arguments = ["fetch", URL, "--to", "-", "--json"]
        self.assertEqual(self.call(*arguments), os.EX_USAGE)

    def test_run(self):
        """
        The accounts are fetched, as the options have it.
        """
        made = []
        self.patch(fetch, "drive", lambda reactor, run: made.append(run) or 75)
        path = self.configure('[work]\nurl = "pop3s://a@b"\nto = "m"\n')
        status = self.call(
            *("fetch", "--config", path, "--state", "s", "--every", "5m"),
            *("--dry-run", "--delete", "work"),
        )
        self.assertEqual(status, 75)
        (run,) = made
        (account,) = run._accounts
        self.assertEqual((account.name, account.delete_after), ("work", 0.0))
        self.assertEqual((run._every, run._dry_run), (300.0, True))
        self.assertEqual(run._state, Path.cwd() / "s")


class Run:
    """
    A run that ends when a test says so.
    """

    status = 3

    def __init__(self, result):
        self.result = result
        self.stopped = 0

    def start(self):
        return self.result

    def stop(self):
        self.stopped += 1


class Reactor(MemoryReactorClock):
    """
    A reactor that is stopped as soon as it runs, if by nothing else by a signal.
    """

    #: Whether it finds a signal before all else.
    signalled = False

    def run(self):
        self.hasRun = self.running = True
        # Older releases begin as if they had been stopped.
        self.hasStopped = False
        for function, arguments, more in self.whenRunningHooks:
            function(*arguments, **more)
        if self.signalled:
            self.stop()
        self.advance(0)
        if not self.hasStopped:
            self.stop()
        for function, arguments, more in self.triggers["before"]["shutdown"]:
            function(*arguments, **more)
        self.advance(0)

    def stop(self):
        if self.hasStopped:
            raise ReactorNotRunning
        self.hasStopped = True


class DriveTests(SynchronousTestCase):
    """
    How the reactor is run.
    """

    def test_status(self):
        """
        The status is that of the run, which is stopped before the reactor is.
        """
        run = Run(succeed(None))
        self.assertEqual(drive(Reactor(), run), 3)
        self.assertEqual(run.stopped, 1)

    def test_signal(self):
        """
        A run that is stopped by a signal does not stop the reactor once more.
        """
        result = Deferred()
        run = Run(result)
        run.stop = lambda: result.callback(None)
        self.assertEqual(drive(Reactor(), run), 3)
        self.assertIsNone(self.successResultOf(result))

    def test_signalBefore(self):
        """
        Nor does one that has ended when the reactor finds the signal.
        """
        reactor = Reactor()
        reactor.signalled = True
        self.assertEqual(drive(reactor, Run(succeed(None))), 3)

    def test_signals(self):
        """
        Signals that come while the run ends change nothing; afterwards they do what
        they did before.
        """
        before = [signal.getsignal(number) for number in STOPPING]
        result = Deferred()
        run = Run(result)

        def stop():
            for number in STOPPING:
                os.kill(os.getpid(), number)
            result.callback(None)

        run.stop = stop
        self.assertEqual(drive(Reactor(), run), 3)
        self.assertEqual([signal.getsignal(number) for number in STOPPING], before)

    def test_mistake(self):
        """
        A mistake of ours does not go unnoticed.
        """
        self.assertRaises(ValueError, drive, Reactor(), Run(fail(ValueError())))


class SecretTests(CommandCase):
    """
    Passwords.
    """

    def give(self, *options):
        arguments = fetch.Sysexits()
        fetch.add_settings(arguments)
        parsed = arguments.parse_args(["--to", "m", *options])
        account = account_from_flags(URL, parsed)
        asked = []

        def password_for(host, user, command, netrc_path, ask):
            asked.append((host, user, command, ask))
            return b"secret"

        self.patch(passwords, "password_for", password_for)
        return Secrets(), account, asked

    def test_once(self):
        """
        A password is asked for once, and again when it was no good.
        """
        secrets, account, asked = self.give("--passwordeval", "x")
        for _ in range(2):
            self.assertEqual(secrets.of(account)(), b"secret")
        self.assertEqual(asked, [("mail.example.org", "alice", "x", None)])
        secrets.forget(account.name)
        secrets.forget("another")
        secrets.of(account)()
        self.assertEqual(len(asked), 2)

    def test_interrupted(self):
        """
        A signal ends the wait for a password, and then stops the run.
        """
        secrets, account, _ = self.give("--passwordeval", "x")
        got = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
        self.addCleanup(signal.signal, signal.SIGTERM, before)

        def password_for(*arguments, **more):
            os.kill(os.getpid(), signal.SIGTERM)
            return b"secret"

        self.patch(passwords, "password_for", password_for)
        self.assertRaises(Stopped, secrets.of(account))
        self.assertEqual(got, [signal.SIGTERM])

    def test_tokens(self):
        """
        A token is asked for at each login.
        """
        secrets, account, asked = self.give("--auth", "xoauth2")
        give = secrets.of(account)
        give()
        give()
        self.assertEqual(len(asked), 2)


class StatusTests(CommandCase):
    """
    ``extretr status``.
    """

    def hold(self):
        folder = account_folder(self.state, "mail.example.org", 995, "alice")
        with Journal(folder, lambda: 0.0) as journal:
            journal.settle([Done(b"done", WHOLE)], [])
            partial = journal.partials.begin(b"uid\x1b", 1000, resumable=True)
            partial.append(b"x" * 630)
            partial.close()
            journal.partials.begin(b"other", 1000, resumable=False).close()
        return folder

    def call(self, *arguments):
        return super().call("status", "--state", str(self.state), *arguments)

    def test_held(self):
        """
        It says how much is held of what, and how much is left.
        """
        self.hold()
        self.assertEqual(self.call(), 0)
        first, second = self.printed().splitlines()
        self.assertEqual(
            first, "alice@mail.example.org: 1 delivered and remembered, 1 begun"
        )
        self.assertIn(" 63 % of 1.0 kB, 370 bytes left, begun 19", second)
        self.assertTrue(second.isprintable())

    def test_json(self):
        """
        So it does for programs.
        """
        self.hold()
        path = self.configure(f'[work]\nurl = "{URL}"\nto = "m"\n')
        self.assertEqual(self.call("--json", "--config", path, "work"), 0)
        self.assertEqual(
            json.loads(self.printed()),
            {
                "account": "work",
                "delivered": 1,
                "partials": [
                    {"unique_id": "uid\x1b", "size": 1000, "held": 630, "begun": 0.0}
                ],
            },
        )

    def test_url(self):
        """
        An account without a file is asked for by its URL.
        """
        self.hold()
        self.assertEqual(self.call(URL), 0)
        self.assertIn(f"{URL}: 1 delivered", self.printed())
        self.assertEqual(self.call("pop3s://x@[y]"), os.EX_USAGE)
        self.assertIn("no IPv6 address", self.errors.getvalue())

    def test_nothing(self):
        """
        Where nothing was fetched there is nothing, for an account too.
        """
        self.assertEqual(self.call(), 0)
        self.assertIn("nothing", self.printed())
        path = self.configure(f'[work]\nurl = "{URL}"\nto = "m"\n')
        self.assertEqual(self.call("--config", path, "work"), 0)
        self.assertIn("work: 0 delivered", self.printed())

    def test_wrong(self):
        """
        An account that is not known is status 78, a damaged journal 65.
        """
        path = self.configure(f'[work]\nurl = "{URL}"\nto = "m"\n')
        self.assertEqual(self.call("--config", path, "home"), os.EX_CONFIG)
        (self.hold() / "journal").write_bytes(os.urandom(5000))
        self.assertEqual(self.call(), os.EX_DATAERR)
        self.assertIn("cannot be read", self.errors.getvalue())
