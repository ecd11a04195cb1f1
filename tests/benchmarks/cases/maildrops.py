"""
Maildrops of many messages: the login with STAT, LIST or UIDL, warm and cold; memory.
"""

import time

from tests.benchmarks import mail
from tests.benchmarks.client import Client
from tests.benchmarks.mail import MIB
from tests.benchmarks.prober import Prober
from tests.benchmarks.processes import memory
from tests.benchmarks.servers import Ours

COMMANDS = (b"STAT", b"LIST", b"UIDL")


def opening(server, user, command, cold=False):
    """
    Give a measurement of the milliseconds from PASS to the end of an answer.
    """

    def measure():
        if cold:
            server.forget(user)
        with Client(server.port, user.encode()) as client:
            if command == b"STAT":
                client.line_of(command)
            else:
                client.retrieve(command)
            return (time.perf_counter() - client.entered) * 1e3

    return measure


def messages(bench, count):
    """
    Give so many messages of about 1 KiB.
    """
    return bench.mail(
        f"m{count}",
        lambda folder: [
            mail.write_small(folder / f"{number:07}", 1100, number)
            for number in range(count)
        ],
    )


def compare(bench, count, servers):
    """
    Compare the openings of a maildrop of so many messages.
    """
    user = f"m{count}"
    bench.give(user, messages(bench, count), servers)
    remembering = [server for server in servers if server.has_index]
    for cold, goal, beside in ((True, 2 / 3, remembering), (False, 1.0, servers)):
        for command in COMMANDS:
            bench.compare(
                f"{count:,} messages, {'cold' if cold else 'warm'}, {command.decode()}",
                "ms",
                {
                    server.name: opening(server, user, command, cold)
                    for server in beside
                },
                bench.sizes.long_rounds,
                less=True,
                goals={"dovecot": goal},
                digits=1,
                label=f"{count:,} messages, {'cold' if cold else 'warm'}"
                if (command, count) == (b"LIST", bench.sizes.maildrops[-1])
                else "",
            )


def longest_wait(bench, user):
    """
    Give a measurement of the longest wait of another session at a cold opening, in ms.
    """

    def measure():
        bench.ours.forget(user)
        with Prober(bench.ours) as prober:
            opening(bench.ours, user, b"LIST")()
        return max(prober.waits, default=0) * 1e3

    return measure


def held(bench, user):
    """
    Give a measurement of the memory of an open maildrop, in MiB.
    """

    def measure():
        server = Ours(bench.users(), beside=bench.ours)
        server.start()
        try:
            with Client(server.port, b"nobody") as client:
                client.line_of(b"STAT")
            before = memory(server.processes())
            with Client(server.port, user.encode()) as client:
                client.line_of(b"STAT")
                return (memory(server.processes()) - before) / MIB
        finally:
            server.stop()

    return measure


def run(bench):
    """
    Compare all, and weigh ours.
    """
    for count in bench.sizes.maildrops:
        compare(bench, count, bench.servers())
    for count in bench.sizes.maildrops:
        _alone(bench, count)


def million(bench):
    """
    Measure ours with a million messages.
    """
    compare(bench, 1_000_000, [bench.ours])
    _alone(bench, 1_000_000)


def _alone(bench, count):
    user = f"m{count}"
    bench.compare(
        f"{count:,} messages, cold: longest wait of another session",
        "ms",
        {"extretr": longest_wait(bench, user)},
        bench.sizes.long_rounds,
        less=True,
        limit=20,
        digits=1,
    )
    bench.compare(
        f"{count:,} messages, open: memory",
        "MiB",
        {"extretr": held(bench, user)},
        1,
        less=True,
        digits=1,
    )
