"""
A fetch of one account in memory: its server, its link, its journal, its target.
"""

from pathlib import Path

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.connection import Connector
from extretr.client.fetch import Fetch
from extretr.client.journal import Journal
from extretr.client.work import Policy, Work
from tests.client.network import MemoryServer, Network, canonical


class ListTarget:
    """
    A target that keeps what is delivered to it, in canonical form.
    """

    batch = 64

    def __init__(self):
        self.messages = []
        self.staged = []
        self.swept = 0

    def prepare(self):
        pass

    def sweep(self):
        self.swept += 1

    def stage(self, source):
        octets = b"".join(source.pieces())
        assert len(octets) == source.size
        self.staged.append(octets)
        return octets

    def discard(self, staged):
        self.staged.remove(staged)

    def commit(self, staged, intend):
        intend([{"number": len(self.messages) + each} for each in range(len(staged))])
        self.messages += staged
        return succeed(None)

    def settle(self, intent, source):
        return succeed(intent["number"] < len(self.messages))


class FetchCase(SynchronousTestCase):
    """
    A fetch whose parts a test may change.
    """

    messages = {b"uid-1": b"Subject: one\n\none\n.dot\n"}

    def setUp(self):
        self.folder = Path(self.mktemp())
        self.target = ListTarget()
        self.server = self.make_server()
        self.network = Network(self.server)
        self.events = []

    def make_server(self):
        return MemoryServer(self.messages)

    def fetch(
        self,
        secret=b"secret",
        attempts=10,
        dry_run=False,
        wanted=None,
        stopping=False,
        back_off=lambda _: 1.0,
        **policy,
    ):
        """
        Fetch all, with the arguments of `Policy`; give the `Work`.

        Between connections it waits for a second, or as *back_off* has it.

        With *stopping*, it is stopped as soon as nothing happens by itself.
        """
        clock = self.network.clock
        connector = Connector(
            clock,
            "mail.example",
            110,
            b"user",
            lambda: secret,
            plaintext=True,
            endpoint=self.network,
        )
        now = clock.seconds
        with Journal(self.folder, now) as journal:
            self.work = Work(
                account="test",
                policy=Policy(**policy),
                journal=journal,
                target=self.target,
                target_name="list",
                seconds=clock.seconds,
                now=now,
                emit=self.events.append,
                wanted=wanted,
                dry_run=dry_run,
            )
            fetch = Fetch(connector, self.work, clock, attempts, back_off)
            running = fetch.run()
            if stopping:
                self.network.pump()
                fetch.stop()
            self.network.run(running)
        return self.work

    def said(self, kind):
        """
        Give the events of a kind.
        """
        return [event for event in self.events if isinstance(event, kind)]

    def assertDelivered(self, *expected):
        """
        Each of these stored messages is there, in canonical form, and nothing else.
        """
        found = sorted(self.target.messages)
        self.assertEqual(found, sorted(map(canonical, expected)))
