"""
The benchmarks: ours and stock Twisted in one run, the same client, medians and ratios.

usage: python -m tests.benchmarks [--smoke]

``--smoke`` runs everything on small mail, to see that it runs; its figures say nothing.
"""

import argparse
import base64
import os
import random
import statistics
import subprocess
import sys
import time

from tests.benchmarks.client import Client
from tests.interop.running import ROOT, RunningServer, environment

MIB = 1024 * 1024


def attachment(octets):
    """
    Give an LF message with a base64 attachment of about so many octets.
    """
    head = b"From: a@example.org\nSubject: large\n\n"
    block = base64.encodebytes(random.Random(1).randbytes(57 * 14000))
    return head + block * max(1, octets // len(block))


def small(octets):
    """
    Give an LF message of about so many octets of text.
    """
    line = b"All work and no play makes Jack a dull boy, said the postmaster.\n"
    return b"From: a@example.org\nSubject: small\n\n" + line * (octets // len(line))


def resident(pid):
    """
    Give the resident memory of a process, in octets.
    """
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Stock:
    """
    A running stock server.
    """

    def __init__(self, folder):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.stock", str(folder)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        self.port = int(self._process.stdout.readline())

    def stop(self):
        self._process.kill()
        self._process.wait()


def side_by_side(title, unit, rounds, measure, ours, theirs):
    """
    Measure both in turn, and print medians and the median of the ratios.
    """
    pairs = [(measure(ours), measure(theirs)) for _ in range(rounds)]
    mine = statistics.median(pair[0] for pair in pairs)
    stock = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    print(
        f"{title}: extretr {mine:,.0f} {unit}, stock {stock:,.0f} {unit}, "
        f"ratio {ratio:.2f}",
        flush=True,
    )


def large_rate(port):
    """
    Give MB/s of RETR of the first message.
    """
    with Client(port) as client:
        begun = time.perf_counter()
        octets = client.retrieve(b"RETR 1")
        return octets / (time.perf_counter() - begun) / 1e6


def lock_step(count, quickack=True):
    """
    Give a measurement of messages a second, one command after the other's answer.

    Without *quickack* the client delays its acknowledgements.
    """

    def measure(port):
        with Client(port, quickack) as client:
            begun = time.perf_counter()
            for number in range(1, count + 1):
                client.retrieve(b"RETR %d" % number)
            return count / (time.perf_counter() - begun)

    return measure


def pipelined(count):
    """
    Give a measurement of messages a second, all commands sent at once.
    """

    def measure(port):
        with Client(port) as client:
            commands = b"".join(b"RETR %d\r\n" % n for n in range(1, count + 1))
            begun = time.perf_counter()
            client.pipeline(commands, count)
            return count / (time.perf_counter() - begun)

    return measure


def first_octet(port, commands, rounds):
    """
    Give the median milliseconds until the first octet of each command's response.
    """
    times = {command: [] for command in commands}
    for _ in range(rounds):
        for command in commands:
            with Client(port) as client:
                times[command].append(client.first_octet(command) * 1e3)
    return {command: statistics.median(each) for command, each in times.items()}


def compare_rates(smoke):
    """
    Compare large and small messages with stock.
    """
    rounds = 1 if smoke else 5
    with RunningServer() as server:
        server.deliver(b"alice", b"1.a", attachment((2 if smoke else 256) * MIB))
        stock = Stock(server.maildir(b"alice"))
        try:
            large_rate(server.port)
            side_by_side(
                "RETR of a large LF message", "MB/s", rounds, large_rate,
                server.port, stock.port,
            )  # fmt: skip
        finally:
            stock.stop()
    count = 50 if smoke else 2000
    with RunningServer() as server:
        for number in range(count):
            server.deliver(b"alice", b"%06d.a" % number, small(4096))
        stock = Stock(server.maildir(b"alice"))
        try:
            for title, measure in (
                ("4 KiB messages, lock step", lock_step(count)),
                ("4 KiB messages, pipelined", pipelined(count)),
                (
                    "4 KiB messages, delayed ACKs",
                    lock_step(10 if smoke else 100, quickack=False),
                ),
            ):
                measure(server.port)
                side_by_side(
                    title, "messages/s", rounds, measure, server.port, stock.port
                )
        finally:
            stock.stop()


def memory_and_offsets(smoke):
    """
    Measure memory while a huge message is sent, and the way to a far offset.
    """
    with RunningServer() as server:
        stored = attachment((4 if smoke else 1024) * MIB)
        size = len(stored) + stored.count(b"\n")
        server.deliver(b"alice", b"1.a", stored)
        del stored
        begun = time.perf_counter()
        with Client(server.port) as client:
            client.line_of(b"LIST 1")
        print(f"measuring it: {time.perf_counter() - begun:.2f} s")
        idle = resident(server.pid)
        most = idle
        with Client(server.port) as client:

            def watch(_):
                nonlocal most
                most = max(most, resident(server.pid))

            client.retrieve(b"RETR 1", watch)
        print(f"memory while it is sent: {(most - idle) / MIB:+.1f} MiB over idle")
        far = b"RETR 1 %d" % (size - 100)
        times = first_octet(server.port, [b"RETR 1 0", far], 3 if smoke else 21)
        for command, milliseconds in times.items():
            print(f"first octet of {command.decode()}: {milliseconds:.2f} ms")
        print(f"difference: {times[far] - times[b'RETR 1 0']:+.2f} ms", flush=True)


def main():
    """
    Run all.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--smoke", action="store_true", help="small mail, quickly")
    smoke = parser.parse_args().smoke
    uname = os.uname()
    print(f"{uname.sysname} {uname.release}, Python {sys.version.split()[0]}")
    compare_rates(smoke)
    memory_and_offsets(smoke)


if __name__ == "__main__":
    main()
