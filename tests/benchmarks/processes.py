"""
Processes of servers: which they are, what memory they share, on which core they run.
"""

import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path


def tree(root):
    """
    Give a process and all that descend from it.
    """
    found, rest = [], [root]
    while rest:
        pid = rest.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                rest += map(int, (task / "children").read_text().split())
        except OSError:
            # It has ended in between.
            pass
    return found


def memory(pids):
    """
    Give the proportional share of memory (PSS) of processes, in octets.
    """
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])
    return total


def _place(pids, cores):
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                os.sched_setaffinity(int(task), cores)
            except OSError:
                pass


@contextmanager
def one_core(pids):
    """
    Keep processes, what they start, and this one on the same core.

    In lock step only one of client and server has to do; on two cores most of the
    time would go to waking the other.
    """
    before = os.sched_getaffinity(0)
    core = {max(before)}
    everybody = [*pids, os.getpid()]
    _place(everybody, core)
    try:
        yield
    finally:
        _place(everybody, before)


class Peak:
    """
    Looks at a server's memory again and again in a thread.
    """

    #: Seconds between two looks.
    PACE = 0.1

    def __init__(self, server):
        self._server = server
        self._before = self._most = self._look()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _look(self):
        return memory(self._server.processes())

    def _run(self):
        while not self._ended.wait(self.PACE):
            self._most = max(self._most, self._look())

    @property
    def grown(self):
        """
        How much more there was at most than at the beginning, in octets.
        """
        return self._most - self._before

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._most = max(self._most, self._look())
        self._ended.set()
        self._thread.join()
