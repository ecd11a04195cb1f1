"""
Sessions that ask how long they have to wait, while others keep the server busy.
"""

import itertools
import threading
import time

from tests.benchmarks.client import Client

#: Sessions that ask NOOP, and seconds between two of them; so often as a session may.
PROBERS, PACE = 8, 0.003


class Prober:
    """
    Asks NOOP again and again in a thread, and keeps how long the answers took.
    """

    def __init__(self, server):
        self._clients = [
            Client(server.port, b"u%d" % number) for number in range(PROBERS)
        ]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        #: Seconds.
        self.waits = []

    def _run(self):
        for client in itertools.cycle(self._clients):
            if self._ended.wait(PACE):
                return
            begun = time.perf_counter()
            client.line_of(b"NOOP")
            self.waits.append(time.perf_counter() - begun)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        self._thread.join()
        for client in self._clients:
            client.__exit__()
