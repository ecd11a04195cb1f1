"""
Sessions a second: connect, USER, PASS, STAT, QUIT; passwords are not hashed.
"""

import asyncio
import time

from tests.benchmarks import mail, native
from tests.benchmarks.servers import Ours
from tests.stress.crowd import Crowd


def rate(server, at_once, total, users):
    """
    Give a measurement of sessions a second.
    """

    def measure():
        if native.loops() is not None:
            return total / native.sessions(server.port, at_once, total, users)
        begun = time.perf_counter()
        asyncio.run(_sessions(server.port, at_once, total, users))
        return total / (time.perf_counter() - begun)

    return measure


async def _sessions(port, at_once, total, users):
    crowd, numbers = Crowd(port), iter(range(total))

    async def come_and_go():
        for number in numbers:
            client = await crowd.log_in(b"u%d" % (number % users))
            for command in (b"STAT", b"QUIT"):
                await client.ask(command)
            client.cut(reset=False)

    await asyncio.gather(*(come_and_go() for _ in range(at_once)))


def run(bench):
    """
    Compare all, and ours with two processes.
    """
    servers = bench.servers()
    two = bench.run(Ours(bench.users(), ("--workers", "2"), beside=bench.ours))
    sizes = bench.sizes
    files = bench.mail(
        "u",
        lambda folder: [
            mail.write_small(folder / str(one), 1500, one) for one in (1, 2)
        ],
    )
    for number in range(sizes.users):
        bench.give(f"u{number}", files, servers)
    for server in [*servers, two]:
        # Nothing is remembered of any maildrop before its first session.
        rate(server, 4, sizes.users, sizes.users)()
    one = {server.name: server for server in servers}
    both = {"extretr": two, "one process": bench.ours}
    for at_once in sorted({4, min(32, sizes.users)}):
        many = at_once > 4
        for title, beside, goals in (
            ("", one, {"dovecot": 1.5}),
            (", with --workers 2", both, {"one process": 1.0}),
        ):
            bench.compare(
                f"sessions, {at_once} at once{title}",
                "/s",
                {
                    name: rate(server, at_once, sizes.sessions, sizes.users)
                    for name, server in beside.items()
                },
                goals=goals if many else {},
                label="sessions" if many and beside is one else "",
            )
