"""
Where mail goes, but for the stores: commands, and the standard output.
"""

import io
import os
from pathlib import Path

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.account import Account, Target
from extretr.client.commands import run_command
from extretr.client.delivery import filter_of, target_of
from extretr.client.download import InMemory
from extretr.client.work import NotTold
from extretr.stores.appending import CannotDeliver, TargetBusy
from extretr.stores.maildir_append import MaildirAppender
from extretr.stores.mbox_append import MboxAppender


class Process:
    """
    A child's side of a transport.
    """

    def __init__(self, protocol, octets):
        self.protocol = protocol
        self.read = octets
        self.killed = False

    def signalProcess(self, name):
        assert name == "KILL"
        self.killed = True

    def end(self, status=0, signal=None):
        """
        End, as the reactor tells it.
        """
        done = ProcessTerminated(status, signal) if status or signal else None
        self.protocol.processEnded(Failure(done or ProcessDone(0)))


class Reactor(Clock):
    """
    A clock that runs processes.
    """

    def __init__(self):
        super().__init__()
        self.processes = []
        self.commands = []

    def spawnProcess(self, protocol, program, arguments, env, childFDs):
        assert (childFDs[1], childFDs[2]) == (1, 2)
        self.commands.append([program, *arguments[1:]])
        with open(os.dup(childFDs[0]), "rb") as file:
            process = Process(protocol, file.read())
        self.processes.append(process)
        protocol.makeConnection(process)


class CommandTests(SynchronousTestCase):
    """
    A command that is given octets.
    """

    def setUp(self):
        self.reactor = Reactor()
        self.spool = Path(self.mktemp())
        self.spool.mkdir()

    def run_it(self, pieces):
        running = run_command(self.reactor, "cat >x", iter(pieces), self.spool)
        return running, self.reactor.processes[-1]

    def test_status(self):
        """
        It gets all octets, and then their end; its status is the result.
        """
        for status, signal, result in [(0, None, 0), (75, None, 75), (None, 9, 137)]:
            running, process = self.run_it([b"one", b"", b"two", b""])
            self.assertEqual(process.read, b"onetwo")
            self.assertNoResult(running)
            process.end(status, signal)
            self.assertEqual(self.successResultOf(running), result)
        self.assertEqual(self.reactor.commands[0], ["/bin/sh", "-c", "cat >x"])
        self.assertEqual(list(self.spool.iterdir()), [])

    def test_fails(self):
        """
        Where the octets cannot be had, or kept, it is not run.
        """

        def pieces():
            yield b"one"
            raise ValueError

        self.assertRaises(ValueError, self.run_it, pieces())
        self.spool.rmdir()
        self.assertRaises(OSError, self.run_it, [b"one"])
        self.assertEqual(self.reactor.processes, [])

    def test_cancel(self):
        """
        To cancel is to end it.
        """
        running, process = self.run_it([b"one"])
        running.cancel()
        self.assertTrue(process.killed)
        self.failureResultOf(running)
        process.end(None, 9)


class TargetTests(SynchronousTestCase):
    """
    What an account says.
    """

    message = InMemory(b"Subject: x\r\n\r\nFrom here\r\n")

    def setUp(self):
        self.reactor = Reactor()
        self.output = io.BytesIO()
        self.spool = Path(self.mktemp())
        self.spool.mkdir()

    def account(self, to, **more):
        return Account(
            name="a",
            tls="stls",
            host="h",
            port=110,
            user="u",
            to=to,
            **more,
        )

    def target(self, to, **more):
        account = self.account(to, **more)
        return target_of(account, self.reactor, self.output, lambda: 0.0, self.spool)

    def commit(self, target):
        target.prepare()
        target.sweep()
        staged = target.stage(self.message)
        return target.commit([staged], lambda intents: self.fail("no intents"))

    def test_kinds(self):
        """
        Each kind has its class.
        """
        folder = Path(self.mktemp())
        maildir = self.target(Target("maildir", folder))
        self.assertIsInstance(maildir, MaildirAppender)
        self.assertIsInstance(self.target(Target("mbox", folder)), MboxAppender)

    def test_output(self):
        """
        On the standard output messages can be told apart.
        """
        target = self.target(Target("stdout"))
        self.successResultOf(self.commit(target))
        self.assertEqual(
            self.output.getvalue(),
            b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
            b"Subject: x\n\n>From here\n\n",
        )

    def test_outputToFile(self):
        """
        Where that is a file the message is on the disk before it may be deleted; a pipe
        has no disk.
        """
        synced = []
        self.patch(os, "fsync", synced.append)
        with open(self.mktemp(), "wb") as self.output:
            self.successResultOf(self.commit(self.target(Target("stdout"))))
            self.assertEqual(synced, [self.output.fileno()])
            self.assertGreater(os.fstat(self.output.fileno()).st_size, 0)
        reader, writer = os.pipe()
        with open(reader, "rb"), open(writer, "wb") as self.output:
            self.successResultOf(self.commit(self.target(Target("stdout"))))
        self.assertEqual(len(synced), 1)

    def test_agent(self):
        """
        A delivery agent's status says what became of the message.
        """
        for ends, octets in [
            ("lf", b"Subject: x\n\nFrom here\n"),
            ("crlf", self.message.octets),
        ]:
            target = self.target(Target("mda", command="mda"), line_ends=ends)
            committing = self.commit(target)
            process = self.reactor.processes[-1]
            self.assertEqual(process.read, octets)
            process.end()
            self.successResultOf(committing)

    def test_agentRefuses(self):
        """
        Status 75 is for later, any other is an error; nothing was delivered then.
        """
        target = self.target(Target("mda", command="mda"))
        for status, kind in [(os.EX_TEMPFAIL, TargetBusy), (1, CannotDeliver)]:
            committing = self.commit(target)
            self.reactor.processes[-1].end(status)
            failure = self.failureResultOf(committing, CannotDeliver)
            self.assertIs(failure.type, kind)
        settling = target.settle({}, self.message)
        self.assertIs(self.successResultOf(settling), False)
        target.discard(self.message)

    def test_filter(self):
        """
        A filter's status says whether a message is wanted, or nothing.
        """
        account = self.account(Target("stdout"))
        self.assertIsNone(filter_of(account, self.reactor, self.spool))
        account = self.account(Target("stdout"), filter="grep -q x")
        wanted = filter_of(account, self.reactor, self.spool)
        for status, answer in [(0, True), (1, False)]:
            asking = wanted(self.message)
            process = self.reactor.processes[-1]
            self.assertEqual(process.read, b"Subject: x\n\nFrom here\n")
            process.end(status)
            self.assertIs(self.successResultOf(asking), answer)
        asking = wanted(self.message)
        self.reactor.processes[-1].end(2)
        self.failureResultOf(asking, NotTold)
