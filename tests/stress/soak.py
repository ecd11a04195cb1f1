"""
Thousands of sessions against one real server: what leaks, and what they cost.

::

    python -m tests.stress.soak --sessions 2000 --seconds 300
    python -m tests.stress.soak --memory 2000 5000
    python -m tests.stress.soak --memory 2000 5000 --tls
    python -m tests.stress.soak --smoke
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import ssl
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.certificates import for_loopback
from tests.interop.running import ROOT, RunningServer
from tests.stress.crowd import PASSWORD, Crowd, allow_descriptors
from tests.stress.watched import TOLD

MESSAGES = [b"Subject: small\n\nbody\n", b"Subject: large\n\n" + b"line\n" * 50_000]

#: Told apart from the listener in clear by its name.
TLS = "tcp:port=0:interface=127.0.0.1"

#: How much more of the blocks that Python has allocated there may be in the end.  PSS
#: does not tell: neither Python's allocator nor libc's gives all back that is free.
SLACK = 0.02

#: Seconds until the timers of the login have gone from the reactor's heap: it keeps
#: those that were cancelled until their time has come.
REST = 65.0

#: Seconds for sessions to end, when their clients are gone.
PATIENCE = 15.0


class Watched:
    """
    A server with many users, and what it holds at the moment.
    """

    def __init__(self, users: int, stack: ExitStack, tls: bool = False) -> None:
        allow_descriptors(2 * users + 200)
        self.users = [b"user%d" % number for number in range(users)]
        self._told = Path(f"/tmp/extretr-watched-{os.getpid()}.json")
        options = ["--max-connections=0", "--max-per-address=0"]
        self.context: ssl.SSLContext | None = None
        if tls:
            options += self._tls(stack)
        self.server = stack.enter_context(
            RunningServer(
                users=dict.fromkeys(self.users, PASSWORD),
                options=options,
                env={TOLD: str(self._told)},
                launcher=[sys.executable, str(ROOT / "tests/stress/watched.py")],
            )
        )
        stack.callback(self._told.unlink, missing_ok=True)
        self.port = self.server.port
        if tls:
            log = self.server.wait_for_log(f"{TLS}: listening")
            found = re.search(rf"{TLS}: listening on \S+ port (\d+)", log)
            assert found is not None
            self.port = int(found[1])

    def _tls(self, stack: ExitStack) -> list[str]:
        pem = Path(stack.enter_context(TemporaryDirectory()), "certificate.pem")
        made = for_loopback()
        pem.write_bytes(made.certificate + made.key)
        self.context = ssl.create_default_context(cadata=made.authority.decode())
        return [f"--certificate={pem}", f"--listen-tls={TLS}"]

    def deliver(self, messages: list[bytes]) -> None:
        """
        Give each user the same mail.
        """
        first = self.server.maildir(self.users[0])
        for name, stored in zip("12", messages, strict=False):
            self.server.deliver(self.users[0], name.encode(), stored)
            for user in self.users[1:]:
                (self.server.maildir(user) / "new" / name).hardlink_to(
                    first / "new" / name
                )

    def pss(self) -> int:
        """
        Give the server's proportional share of memory, in octets.
        """
        text = Path(f"/proc/{self.server.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        """
        Give the number of files that the server has open.
        """
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def locks(self) -> int:
        """
        Give the number of maildrops that are held.
        """
        return len(list(self.server.folder.glob("mail/*/extretr/lock")))

    def tells(self) -> Mapping[str, Any]:
        """
        Let the server tell its timers and its objects.
        """
        self._told.unlink(missing_ok=True)
        os.kill(self.server.pid, signal.SIGUSR2)
        deadline = time.monotonic() + PATIENCE
        while not self._told.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it tells nothing: {self.server.log()[-2000:]}")
            time.sleep(0.02)
        return json.loads(self._told.read_text())

    def held(self) -> dict[str, Any]:
        """
        Give all that has to be as it was, when all sessions have ended.
        """
        told = self.tells()
        kinds = ("ExtendedPOP3", "Held", "Transfer", "MaildirMaildrop", "Index")
        return {
            "descriptors": self.descriptors(),
            "locks": self.locks(),
            "timers": told["timers"],
            "objects": {kind: told["objects"].get(kind, 0) for kind in kinds},
        }


async def _warm_up(crowd: Crowd, users: list[bytes]) -> None:
    for user in users:
        client = await crowd.log_in(user)
        await client.body(b"RETR 1", 1 << 60)
        await client.ask(b"QUIT")
        client.cut(reset=False)


def soak(sessions: int, seconds: float) -> bool:
    """
    Let sessions come and go; tell whether nothing is left of them.
    """
    with ExitStack() as stack:
        watched = Watched(sessions, stack)
        watched.deliver(MESSAGES)
        crowd = Crowd(watched.port)
        asyncio.run(_warm_up(crowd, watched.users[:50]))
        time.sleep(2)
        before, base = watched.held(), watched.pss()
        blocks = watched.tells()["blocks"]
        most = [0, 0]

        async def run() -> None:
            now = asyncio.get_running_loop().time
            end = now() + seconds
            tasks = [
                asyncio.create_task(crowd.come_and_go(user, random.Random(number), end))
                for number, user in enumerate(watched.users)
            ]
            while now() < end:
                await asyncio.sleep(2)
                most[0] = max(most[0], watched.locks())
                most[1] = max(most[1], watched.pss())
            await asyncio.gather(*tasks)

        asyncio.run(run())
        print(
            f"{crowd.sessions:,} sessions, {crowd.cuts:,} of them cut, at most"
            f" {most[0]:,} at once; {crowd.refused:,} refusals;"
            f" {crowd.octets / 1e6:,.0f} MB sent"
        )
        deadline = time.monotonic() + PATIENCE
        while (after := watched.held()) != before and time.monotonic() < deadline:
            time.sleep(1)
        grown = watched.tells()["blocks"] - blocks
        print(
            f"PSS before {base / 2**20:.1f}, at most {most[1] / 2**20:.1f}, after"
            f" {watched.pss() / 2**20:.1f} MiB; blocks of memory in use:"
            f" {blocks:,}, and {grown:+,}"
        )
        failures = re.findall(r"\w+Error.*", watched.server.log())
        print(f"before: {before}\nafter:  {after}")
        if failures:
            print(f"in the log: {failures[:5]}")
        return after == before and grown <= SLACK * blocks and not failures


class Weighed(NamedTuple):
    """
    What sessions cost that are logged in and idle, in octets.
    """

    base: int
    #: By the number of sessions.
    each: dict[int, float]
    #: By the kind of object, with all sessions.
    objects: dict[str, int]


def weigh(counts: Iterable[int], tls: bool, rest: float = REST) -> Weighed:
    """
    Weigh sessions that have been idle for so many seconds.

    Each has one message in its maildrop.
    """
    counts = sorted(counts)
    with ExitStack() as stack:
        watched = Watched(counts[-1], stack, tls)
        watched.deliver(MESSAGES[:1])
        crowd = Crowd(watched.port, watched.context)
        asyncio.run(_warm_up(crowd, watched.users[:50]))
        time.sleep(2)
        watched.tells()
        base = watched.pss()
        weighed = Weighed(base, {}, {})

        async def run() -> None:
            clients: list[Any] = []
            for count in counts:
                users = watched.users[len(clients) : count]
                clients += await asyncio.gather(*map(crowd.log_in, users))
                await asyncio.sleep(rest)
                weighed.each[count] = (watched.pss() - base) / count
            told = await asyncio.to_thread(watched.tells)
            weighed.objects.update(told["objects"])

        asyncio.run(run())
        return weighed


def memory(counts: list[int], tls: bool, rest: float = REST) -> None:
    """
    Print what a session costs that is logged in, and idle for so many seconds.
    """
    weighed = weigh(counts, tls, rest)
    print(f"base: {weighed.base / 2**20:.1f} MiB")
    for count, each in weighed.each.items():
        whole = weighed.base + count * each
        print(
            f"{count:,} sessions: {whole / 2**20:.1f} MiB, {each / 1024:.2f} KiB each"
        )
    most = sorted(weighed.objects.items(), key=lambda kind: -kind[1])[:12]
    print(", ".join(f"{kind} {number:,}" for kind, number in most))


def main() -> int:
    """
    Soak a server, or weigh it.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.stress.soak")
    parser.add_argument("--sessions", type=int, default=2000, help="at once")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--memory", type=int, nargs="+", help="idle sessions")
    parser.add_argument("--tls", action="store_true", help="these under TLS")
    parser.add_argument("--smoke", action="store_true", help="a bit of all")
    options = parser.parse_args()
    if options.smoke:
        memory([50], tls=False, rest=1)
        memory([20], tls=True, rest=1)
        return 0 if soak(100, 10) else 1
    if options.memory:
        memory(options.memory, options.tls)
        return 0
    return 0 if soak(options.sessions, options.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
