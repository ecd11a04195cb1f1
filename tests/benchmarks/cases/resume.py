"""
The way to an octet of a huge message: by its offset, or after all that is before it.
"""

import time

from tests.benchmarks import mail
from tests.benchmarks.client import Client
from tests.benchmarks.mail import MIB
from tests.benchmarks.native import Failed
from tests.benchmarks.prober import Prober

#: Octets before the end at which a download is resumed.
LEFT = MIB


def message(bench):
    """
    Give the huge message.
    """
    octets = bench.sizes.huge * MIB
    return bench.mail(
        "huge", lambda folder: [mail.write_attachment(folder / "message", octets)]
    )


def reached(server, command, target, from_login=False):
    """
    Give a measurement of the milliseconds until so many octets of a body have come.
    """

    def measure():
        client = Client(server.port, b"huge")
        before = time.perf_counter() - client.entered if from_login else 0
        return (before + client.retrieve(command, target)[1]) * 1e3

    return measure


def whole(server):
    """
    Give a measurement of the milliseconds from PASS to the end of the message.
    """

    def measure():
        with Client(server.port, b"huge") as client:
            client.retrieve(b"RETR 1")
            return (time.perf_counter() - client.entered) * 1e3

    return measure


def run(bench):
    """
    Compare all.
    """
    servers = bench.servers()
    files = message(bench)
    bench.give("huge", files, servers)
    servers = bench.checked("huge", files, servers)
    size = mail.size(files[0])
    offsets = {"the middle": size // 2, "1 MiB before the end": size - LEFT}
    _check(bench, files[0], offsets.values())
    _cold(bench, servers, offsets["1 MiB before the end"])
    others = servers[1:]
    mib = bench.sizes.huge
    for place, offset in offsets.items():
        command = b"RETR 1 %d" % offset
        bench.compare(
            f"first octet at {place} of {mib} MiB, beside offset 0",
            "ms",
            {
                "extretr": reached(bench.ours, command, 1),
                "offset 0": reached(bench.ours, b"RETR 1 0", 1),
            },
            4 * bench.sizes.rounds,
            less=True,
            goals={"offset 0": 1 / 1.2},
            digits=2,
        )
        bench.compare(
            f"the same octet at {place}",
            "ms",
            {
                "extretr": reached(bench.ours, command, 1),
                # None of our mail has a dot to stuff.
                **{
                    server.name: reached(server, b"RETR 1", offset + 1)
                    for server in others
                },
            },
            bench.sizes.long_rounds,
            less=True,
            digits=2,
            label=f"octet at {place}",
        )


def _cold(bench, servers, offset):
    """
    Compare a first login that resumes with one of Dovecot that gets all.
    """

    def first():
        bench.ours.forget("huge")
        return reached(bench.ours, b"RETR 1 %d" % offset, 1, from_login=True)()

    bench.compare(
        f"from PASS to 1 MiB before the end of {bench.sizes.huge} MiB, never measured;"
        " others: all",
        "ms",
        {
            "extretr": first,
            **{
                server.name: whole(server)
                for server in servers
                if server.name == "dovecot"
            },
        },
        bench.sizes.long_rounds,
        less=True,
        goals={"dovecot": 1.0},
    )

    def longest():
        bench.ours.forget("huge")
        with Prober(bench.ours) as prober:
            reached(bench.ours, b"RETR 1 %d" % offset, 1)()
        return max(prober.waits, default=0) * 1e3

    bench.compare(
        f"{bench.sizes.huge} MiB are measured: longest wait of another session",
        "ms",
        {"extretr": longest},
        bench.sizes.long_rounds,
        less=True,
        limit=20,
        digits=1,
    )


def _check(bench, path, offsets):
    """
    Compare what comes from offsets with what is there.

    Raises:
        Failed: where it is not the same.
    """
    for offset in offsets:
        with Client(bench.ours.port, b"huge") as client:
            if mail.prints(client.blocks(b"RETR 1 %d" % offset)).whole != mail.digest(
                path, offset
            ):
                raise Failed(f"what comes from {offset} is not what is stored")
