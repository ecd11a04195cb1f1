"""
Benchmarks of the fetcher: bad links, memory, rate, remembered ids, mpop beside it.

usage: python -m tests.benchmarks.fetch [--smoke] [--mpop] [--folder DIR]

mpop has to be installed for the comparison.  ``--smoke`` runs everything on small
mail, to see that it runs; its figures say nothing.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from extretr.client.journal import WHOLE, Done, Journal
from extretr.client.maildrop import Entry
from extretr.client.plan import plan
from extretr.client.work import Policy
from tests.benchmarks.mail import MIB, attachment, small
from tests.interop.fetching import START
from tests.interop.relay import Relay
from tests.interop.running import RunningServer, environment

#: Seconds between two looks at a process.
LOOK = 0.02


class Fetch:
    """
    One run of ``extretr fetch``: what happened, how long it took, its memory.
    """

    def __init__(self, folder, port, *options):
        home = Path(tempfile.mkdtemp(dir=folder))
        self.maildir = home / "mail"
        begun = time.perf_counter()
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", START, "fetch", "--json"),
                *(f"pop3://alice@127.0.0.1:{port}", "--to", f"maildir:{self.maildir}"),
                *("--passwordeval", "echo secret", *options),
            ],
            env=environment(HOME=str(home), XDG_STATE_HOME=str(home / "state")),
            stdout=subprocess.PIPE,
        )
        #: The most memory that it had, in octets.
        self.memory = 0
        self.times = {}
        self.events = []
        os.set_blocking(process.stdout.fileno(), False)
        rest = b""
        while process.poll() is None:
            self.memory = max(self.memory, peak(process.pid))
            rest = self._read(process.stdout.read() or b"", rest, begun)
            time.sleep(LOOK)
        self._read(process.stdout.read() or b"", rest, begun)
        self.seconds = time.perf_counter() - begun
        if process.returncode:
            raise SystemExit(f"the fetch has failed: {self.events[-1:]}")

    def _read(self, octets, rest, begun):
        *lines, rest = (rest + octets).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.events.append(event)
            self.times[event["event"]] = time.perf_counter() - begun
        return rest

    def size(self):
        """
        Give the octets of the messages that were delivered.
        """
        return self.events[-1]["octets"]


def peak(pid):
    """
    Give the most resident memory that a process has had, in octets.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def bad_links(folder, smoke):
    """
    Print what passes the relay of each octet of mail, over links that are cut.
    """
    size, others = (2 if smoke else 64), (20 if smoke else 1000)
    every, times = (MIB // 2, 3) if smoke else (MIB, 50)
    for count in (1, others):
        with RunningServer() as server:
            for number in range(count - 1):
                server.deliver(b"alice", b"%06d.a" % number, small(1000))
            server.deliver(b"alice", b"999999.a", attachment(size * MIB))
            most = 2 * size * MIB // (times + 2)
            dice = random.Random(5)
            # Not within the login, where nothing can be gained.
            cuts = {
                one: dice.randrange(most // 100, most) for one in range(1, times + 1)
            }
            for title, limit in (
                (f"cut after every {every:,} octets", lambda _: every),
                (f"cut at random {times} times", cuts.get),
            ):
                link = Relay(("127.0.0.1", server.port), cut_after=limit)
                with link:
                    fetch = Fetch(folder, link.port)
                ratio = link.received / fetch.size()
                print(
                    f"{size} MiB and {count - 1} small messages, {title}: "
                    f"{link.connections} connections, octets received / octets of "
                    f"mail {ratio:.4f}",
                    flush=True,
                )


def large(folder, smoke):
    """
    Print memory and rate, with a short message and with a huge one.
    """
    memory = {}
    for size in (1, 8 if smoke else 1024):
        with RunningServer() as server:
            server.deliver(b"alice", b"1.a", attachment(size * MIB))
            fetch = Fetch(folder, server.port)
            memory[size] = fetch.memory
            print(f"{size} MiB: memory {fetch.memory / MIB:.1f} MiB", flush=True)
        if size > 1:
            receiving = fetch.times["progress"] - fetch.times["started"]
            delivering = fetch.times["delivered"] - fetch.times["progress"]
            print(
                f"{size} MiB: received at {fetch.size() / receiving / 1e6:,.0f} MB/s, "
                f"then delivered at {fetch.size() / max(delivering, 1e-9) / 1e6:,.0f} "
                f"MB/s, {fetch.seconds:.1f} s in all",
                flush=True,
            )
            shutil.rmtree(fetch.maildir)
    print(f"difference: {(memory[size] - memory[1]) / MIB:+.1f} MiB")


def remembered(folder, smoke):
    """
    Print the time that it takes to read what is remembered, and to compare it.
    """
    count = 1000 if smoke else 100_000
    place = Path(folder) / "remembered"
    names = [b"%08d.M%dP1.mail.example.org" % (one, one) for one in range(count)]
    with Journal(place, time.time) as journal:
        journal.settle([Done(name, WHOLE, 4096) for name in names], [])
    entries = [Entry(index, name, 4096) for index, name in enumerate(names)]
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        with Journal(place, time.time) as journal:
            made = plan(entries, journal.delivered(), (), Policy(), time.time())
        taken.append(time.perf_counter() - begun)
        if made.todo:
            raise SystemExit("what is remembered would be fetched again")
    seconds = statistics.median(taken)
    print(f"{count:,} remembered ids: {seconds:.2f} s to read and compare", flush=True)


def quiet(folder, port):
    """
    Fetch without a word, as mpop does; give the seconds and the Maildir.
    """
    home = Path(tempfile.mkdtemp(dir=folder))
    begun = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-c", START, "fetch", "--quiet"),
            *(f"pop3://alice@127.0.0.1:{port}", "--to", f"maildir:{home}/mail"),
            *("--passwordeval", "echo secret"),
        ],
        env=environment(HOME=str(home), XDG_STATE_HOME=str(home / "state")),
        check=True,
    )
    return time.perf_counter() - begun, home / "mail"


def mpop(folder, port):
    """
    Fetch with mpop; give the seconds and the Maildir.
    """
    home = Path(tempfile.mkdtemp(dir=folder))
    for name in ("cur", "new", "tmp"):
        (home / "mail" / name).mkdir(parents=True)
    config = home / "mpoprc"
    config.write_text(
        f"account default\nhost 127.0.0.1\nport {port}\nuser alice\n"
        "passwordeval echo secret\nauth user\ntls off\nkeep on\n"
        f"uidls_file {home}/uidls\ndelivery maildir {home}/mail\n",
        "utf-8",
    )
    config.chmod(0o600)
    begun = time.perf_counter()
    subprocess.run(["mpop", "-q", "-C", str(config)], check=True)
    return time.perf_counter() - begun, home / "mail"


def beside_mpop(folder, smoke):
    """
    Print the time for many small messages, ours and mpop's in turn.
    """
    count, rounds = (50, 1) if smoke else (10_000, 5)
    with RunningServer() as server:
        for number in range(count):
            server.deliver(b"alice", b"%06d.a" % number, small(4096))
        for delay in (0.0, 0.05):
            pairs = []
            for number in range(rounds):
                # Each is the first in turn.
                order = (quiet, mpop) if number % 2 else (mpop, quiet)
                with Relay(("127.0.0.1", server.port), delay=delay) as link:
                    port = link.port if delay else server.port
                    runs = {fetch: fetch(folder, port) for fetch in order}
                for _, maildir in runs.values():
                    if len(list((maildir / "new").iterdir())) != count:
                        raise SystemExit("not all messages were delivered")
                    shutil.rmtree(maildir)
                # What was removed is written back at a time of its own.
                os.sync()
                pairs.append([runs[quiet][0], runs[mpop][0]])
            ours, theirs = (
                statistics.median(each) for each in zip(*pairs, strict=True)
            )
            ratio = statistics.median(one / other for one, other in pairs)
            print(
                f"{count:,} messages of 4 KiB, {delay * 2000:.0f} ms round trip: "
                f"extretr {ours:.2f} s, mpop {theirs:.2f} s, ratio {ratio:.2f}",
                flush=True,
            )


def main():
    """
    Run all.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fetch")
    parser.add_argument("--smoke", action="store_true", help="small mail, quickly")
    parser.add_argument("--mpop", action="store_true", help="only what mpop is beside")
    parser.add_argument("--folder", help="where mail is put (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if not options.mpop:
            bad_links(folder, options.smoke)
            large(folder, options.smoke)
            remembered(folder, options.smoke)
        beside_mpop(folder, options.smoke)


if __name__ == "__main__":
    main()
