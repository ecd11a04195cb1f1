"""
What a session costs others: one that pulls flat out, and many that are slow.
"""

import asyncio
import socket
import statistics
import time

from tests.benchmarks import mail
from tests.benchmarks.cases import resume
from tests.benchmarks.client import Client
from tests.benchmarks.mail import MIB
from tests.benchmarks.prober import Prober
from tests.benchmarks.processes import Peak

#: Octets a second that a slow reader takes.
SLOW = 10 * 1024


def p99(server, seconds):
    """
    Give a measurement of the 99th percentile of a NOOP's time, in ms, beside a pull.
    """

    def measure():
        with Client(server.port, b"huge") as client, Prober(server) as prober:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                client.retrieve(b"RETR 1")
        return statistics.quantiles(prober.waits, n=100, method="inclusive")[98] * 1e3

    return measure


def sending(server):
    """
    Give a measurement of the memory that grows while the huge message is sent, in MiB.
    """

    def measure():
        with Client(server.port, b"huge") as client, Peak(server) as peak:
            client.retrieve(b"RETR 1")
        return peak.grown / MIB

    return measure


def slow(server, readers, seconds):
    """
    Give a measurement of the memory that a slow reader costs, in KiB.
    """

    def measure():
        with Peak(server) as peak:
            asyncio.run(_read_slowly(server.port, readers, seconds))
        return peak.grown / readers / 1024

    return measure


async def _read_slowly(port, readers, seconds):
    loop = asyncio.get_running_loop()

    async def read(number):
        with socket.socket() as client:
            # As small as it gets: what is not read shall wait at the server.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_recv(client, 1000)
            for command in (b"USER s%d" % number, b"PASS secret"):
                await loop.sock_sendall(client, command + b"\r\n")
                answer = await loop.sock_recv(client, 1000)
                if not answer.startswith(b"+OK"):
                    raise ConnectionError(answer)
            await loop.sock_sendall(client, b"RETR 1\r\n")
            end = loop.time() + seconds
            while loop.time() < end:
                if not await loop.sock_recv(client, SLOW // 4):
                    raise ConnectionError("closed")
                await asyncio.sleep(0.25)

    await asyncio.gather(*map(read, range(readers)))


def run(bench):
    """
    Compare all.
    """
    sizes = bench.sizes
    servers = bench.servers()
    files = resume.message(bench)
    bench.give("huge", files, servers)
    servers = bench.checked("huge", files, servers)
    bench.compare(
        f"p99 of a NOOP beside a pull of {sizes.huge} MiB",
        "ms",
        {server.name: p99(server, sizes.pull_seconds) for server in servers},
        sizes.long_rounds,
        less=True,
        limit=10,
        digits=2,
    )
    bench.compare(
        f"memory while {sizes.huge} MiB are sent",
        "MiB",
        {"extretr": sending(bench.ours)},
        1,
        less=True,
        digits=1,
    )
    _slow_readers(bench)


def _slow_readers(bench):
    sizes = bench.sizes
    # 200 mboxes of this are too much for a disk.
    servers = bench.servers(without=("popa3d",))
    files = bench.mail(
        "s",
        lambda folder: [mail.write_attachment(folder / "message", sizes.slow * MIB)],
    )
    for number in range(sizes.slow_readers):
        bench.give(f"s{number}", files, servers)
    bench.compare(
        f"{sizes.slow_readers} readers of 10 KiB/s, each",
        "KiB",
        {
            server.name: slow(server, sizes.slow_readers, sizes.slow_seconds)
            for server in servers
        },
        1,
        less=True,
        limit=256,
    )
