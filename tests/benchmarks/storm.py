"""
A storm of wrong passwords from one address, and what a login from another one takes.

usage: python -m tests.benchmarks.storm [--smoke] [--rate N] [--seconds N] [--scheme S]

The accounts have Argon2id hashes, as `extretr password` makes them, unless another
scheme is named.  Each guess is a connection of its own and another password.  All
addresses are of the loopback network.
"""

import argparse
import asyncio
import collections
import multiprocessing
import statistics
import time

from extretr.server.schemes import SCHEMES
from tests.interop.running import RunningServer

STORM, QUIET = "127.0.0.2", "127.0.0.3"


async def guess(port, number, counts):
    """
    Try one wrong password; count the answer by its first words.
    """
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(STORM, 0)
        )
    except OSError:
        counts["no connection"] += 1
        return
    try:
        # A guesser in a hurry does not wait for the greeting.
        writer.write(b"USER alice\r\nPASS guess%d\r\n" % number)
        answers = b""
        while answers.count(b"\r\n") < 3 and b"many connections" not in answers:
            octets = await reader.read(4096)
            if not octets:
                break
            answers += octets
        last = (answers.splitlines() or [b"nothing"])[-1]
        counts[last.decode()] += 1
    except OSError:
        counts["cut"] += 1
    finally:
        writer.close()


async def rage(port, rate, seconds, counts):
    """
    Guess so often a second, whatever the answers take.
    """
    begun, guesses = time.monotonic(), set()
    for number in range(rate * seconds):
        wait = begun + number / rate - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(guess(port, number, counts))
        guesses.add(task)
        task.add_done_callback(guesses.discard)
    for task in guesses:
        task.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


def storm(port, rate, seconds, results):
    """
    Be the process that guesses.
    """
    counts = collections.Counter()
    asyncio.run(rage(port, rate, seconds, counts))
    results.put(counts)


async def log_in(port):
    """
    Connect, log in with the right password and quit; give the seconds of the login.
    """
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(QUIET, 0)
    )
    for command in (None, b"USER bob", b"PASS secret"):
        if command is not None:
            writer.write(command + b"\r\n")
        answer = await reader.readline()
        if not answer.startswith(b"+OK"):
            raise SystemExit(f"the quiet login was refused: {answer!r}")
    took = time.perf_counter() - begun
    writer.write(b"QUIT\r\n")
    await reader.read()
    writer.close()
    return took


async def logins(port, seconds):
    """
    Log in again and again, five times a second.
    """
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        took.append(await log_in(port))
        await asyncio.sleep(0.2)
    return took


def show(title, took):
    """
    Print how long logins took.
    """
    ordered = sorted(1000 * each for each in took)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{title}: {len(took)} logins, median {statistics.median(ordered):.0f} ms,"
        f" p99 {p99:.0f} ms, most {ordered[-1]:.0f} ms",
        flush=True,
    )


def main():
    """
    Measure without the storm, and in it.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storm")
    parser.add_argument("--smoke", action="store_true", help="a short one")
    parser.add_argument("--rate", type=int, default=1000, help="guesses a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument(
        "--scheme", choices=SCHEMES, default="ARGON2ID", help="of the passwords"
    )
    given = parser.parse_args()
    rate, seconds = (100, 2) if given.smoke else (given.rate, given.seconds)
    users = {b"alice": b"x", b"bob": b"secret"}
    with RunningServer(users=users, options=("--limit-local",)) as server:
        scheme, make = given.scheme, SCHEMES[given.scheme].make
        (server.folder / "users").write_text(
            f"alice:{{{scheme}}}{make(b'good')}\nbob:{{{scheme}}}{make(b'secret')}\n"
        )
        show("quiet", asyncio.run(logins(server.port, min(seconds, 5))))
        results = multiprocessing.Queue()
        stormy = multiprocessing.Process(
            target=storm, args=(server.port, rate, seconds + 1, results)
        )
        stormy.start()
        show(
            f"in a storm of {rate} guesses a second",
            asyncio.run(logins(server.port, seconds)),
        )
        counts = results.get()
        stormy.join()
        for answer, count in counts.most_common():
            print(f"  {count} x {answer}")


if __name__ == "__main__":
    main()
