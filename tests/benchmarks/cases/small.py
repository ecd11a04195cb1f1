"""
Small messages: one after the other's end, pipelined, and to a client of late ACKs.
"""

from tests.benchmarks import mail
from tests.benchmarks.client import WINDOW, Client
from tests.benchmarks.processes import one_core


def messages(bench):
    """
    Give the small messages.
    """
    return bench.mail(
        "small",
        lambda folder: [
            mail.write_small(folder / f"{number:06}", 4096, number)
            for number in range(bench.sizes.small)
        ],
    )


def rate(server, count, window=1, quickack=True, pinned=True, tls=False):
    """
    Give a measurement of messages a second.

    Args:
        server: is asked.
        count: messages.
        window: commands that are sent ahead.
        quickack: whether the client acknowledges at once.
        pinned: whether client and server share one core.
        tls: whether the connection is under TLS.
    """

    def retrieve():
        port = server.tls_port if tls else server.port
        with Client(port, b"small", tls, quickack) as client:
            return count / client.sequence(count, window)

    def measure():
        if not pinned:
            return retrieve()
        with one_core(server.processes()):
            return retrieve()

    return measure


def run(bench):
    """
    Compare all.
    """
    servers = bench.servers()
    files = messages(bench)
    bench.give("small", files, servers)
    servers = bench.checked("small", files, servers)
    count = bench.sizes.small
    for title, label, goal, how in (
        ("4 KiB messages, lock step, one core", "small, lock step", 1.0, {}),
        (
            "4 KiB messages, pipelined, one core",
            "small, pipelined",
            1.2,
            {"window": WINDOW},
        ),
        (
            "4 KiB messages, lock step, ACKs delayed",
            "small, late ACKs",
            1.0,
            {"quickack": False, "pinned": False, "count": bench.sizes.delayed},
        ),
    ):
        bench.compare(
            title,
            "/s",
            {
                server.name: rate(server, **{"count": count, **how})
                for server in servers
            },
            goals={"dovecot": goal},
            label=label,
        )
