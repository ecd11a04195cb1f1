"""
One run of the benchmarks: what is measured, the servers with their mail, the rounds.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import mail
from tests.benchmarks.client import Client
from tests.benchmarks.native import Failed
from tests.benchmarks.report import Row
from tests.benchmarks.servers import PEERS, Ours, Stock, with_tls
from tests.stress.crowd import allow_descriptors


class Sizes(NamedTuple):
    """
    How much is measured: octets in MiB, messages, sessions, seconds.
    """

    large: int = 256
    small: int = 2000
    delayed: int = 60
    sessions: int = 1000
    users: int = 200
    maildrops: tuple = (10_000, 100_000)
    huge: int = 1024
    pull_seconds: float = 5
    slow: int = 16
    slow_readers: int = 200
    slow_seconds: float = 15
    idle: tuple = (2000, 5000)
    rest: float = 65
    rounds: int = 5
    #: Rounds of what takes long.
    long_rounds: int = 3


FULL = Sizes()
SMOKE = Sizes(
    large=2,
    small=20,
    delayed=3,
    sessions=20,
    users=8,
    maildrops=(50,),
    huge=3,
    pull_seconds=0.5,
    slow=2,
    slow_readers=3,
    slow_seconds=1,
    idle=(20,),
    rest=0.5,
    rounds=1,
    long_rounds=1,
)


class Bench:
    """
    The servers that run, and how they are measured beside each other.
    """

    def __init__(self, sizes, peers, report):
        """
        Args:
            sizes: how much is measured.
            peers: the names of the servers of Debian beside ours, and "stock".
            report: is told each row, and each note.
        """
        self.sizes = sizes
        self.report = report
        self._peers = peers
        self._stack = ExitStack()
        self._started = {}
        self._mail = {}
        self._given = set()
        #: What is measured at the moment.
        self.case = ""

    def __enter__(self):
        allow_descriptors(4000)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.folder = Path(folder)
        # Debian's servers read it as another user.
        self.folder.chmod(0o755)
        return self

    def __exit__(self, *exc_info):
        return self._stack.__exit__(*exc_info)

    def users(self):
        """
        Give the names of all users: u0, u1, ... for sessions, s0, s1, ... for others.
        """
        counts = (*self.sizes.maildrops, 1_000_000)
        return [
            *("nobody", "large", "crlf", "small", "huge"),
            *(f"m{count}" for count in counts),
            *(f"u{number}" for number in range(self.sizes.users)),
            *(f"s{number}" for number in range(self.sizes.slow_readers)),
        ]

    def run(self, server):
        """
        Start a server, that runs until the end, or the context that is left before.
        """
        server.start()
        self._stack.callback(server.stop)
        return server

    @property
    def ours(self):
        """
        Ours, with one process, and TLS on a port of its own.
        """
        return self._server("extretr", lambda: Ours(self.users(), self.tls()[0]))

    def tls(self):
        """
        Give the options for TLS, and the file with the certificate.
        """
        return with_tls(self.folder)

    def _server(self, name, make):
        if name not in self._started:
            self._started[name] = self.run(make())
        return self._started[name]

    def servers(self, without=()):
        """
        Give the servers that are measured, started where they were not yet.
        """
        servers = [self.ours]
        for name in self._peers:
            if name in without:
                continue
            if name == "stock":
                make = lambda: Stock(self.ours, self.tls()[1])  # noqa: E731
            else:
                make = lambda name=name: PEERS[name](self.users())  # noqa: E731
            servers.append(self._server(name, make))
        return servers

    def mail(self, user, write):
        """
        Give the messages of a user, which are written by *write* into a new folder.
        """
        if user not in self._mail:
            folder = self.folder / user
            folder.mkdir()
            self._mail[user] = write(folder)
        return self._mail[user]

    def give(self, user, files, servers):
        """
        Put a user's mail where each server has it.
        """
        for server in servers:
            if (user, server.name) not in self._given:
                self._given.add((user, server.name))
                server.deliver(user, files)

    def checked(self, user, files, servers, tls=False):
        """
        Give the servers that send all messages as they should; the others fall out.
        """
        good = []
        for server in servers:
            port = server.tls_port if tls else server.port
            try:
                with Client(port, user.encode(), tls) as client:
                    for number, path in enumerate(files, 1):
                        said = _check(client, number, path)
                        if said:
                            self.report.note(f"{server.name}, {user}: {said}")
            except (Failed, OSError) as error:
                if server is self.ours:
                    raise
                self.report.note(f"{server.name} falls out, {user}: {error}")
                continue
            good.append(server)
        return good

    def compare(self, title, unit, measures, rounds=None, **more):
        """
        Measure all in turn, and report what came of it.

        Args:
            title: what is measured.
            unit: in what.
            measures: what gives a value, by the name of the server, ours first.
            rounds: how often; each begins with another server.
            more: of the row.
        """
        measures = dict(measures)
        ours = next(iter(measures))
        values = {name: [] for name in measures}
        for number in range(rounds or self.sizes.rounds):
            names = list(measures)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                try:
                    values[name].append(measures[name]())
                except (Failed, OSError) as error:
                    if name == ours:
                        raise
                    self.report.note(f"{title}: {name} falls out: {error}")
                    del measures[name], values[name]
        self.report.row(Row(self.case, title, unit, values, **more))


def _check(client, number, path):
    """
    Compare a message that comes with the one that is stored; give what is different.

    Raises:
        Failed: where that is more than the header, or how the message ends.
    """
    wanted = mail.stored_prints(path)
    got = mail.prints(client.blocks(b"RETR %d" % number))
    if got.body != wanted.body:
        raise Failed(f"message {number} is not what is stored")
    if got.whole != wanted.whole:
        return "the header, or the line ends at the end, are not those stored"
    return ""
