"""
A bad link: it stands between a client and a server on loopback, and cuts, or is slow.

::

    with Relay(("127.0.0.1", server.port), cut_after=1 << 20) as relay:
        fetch("127.0.0.1", relay.port)
        print(relay.received, "octets in", relay.connections, "connections")

It runs in a thread of its own, on plain sockets.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Self, get_args

from tests.interop.relay_link import How, Link


class Relay:
    """
    Relays a free loopback port to a server, over a link as good as is asked for.
    """

    def __init__(
        self,
        server: tuple[str, int],
        *,
        cut_after: int | Callable[[int], int | None] | None = None,
        how: How = "close",
        rate: float | None = None,
        delay: float | None = None,
    ) -> None:
        """
        Args:
            server: where the server listens.
            cut_after: octets from server to client that pass, exactly, in each
                connection before it is cut; or what gives them, or None, for the
                number of the connection: 1 is the first.
            how: what a cut looks like, see `How`.
            rate: octets per second, in each direction of each connection.
            delay: seconds one way; a connection takes three of them until the server
                sees it, as a handshake does.
        """
        if how not in get_args(How):
            raise ValueError(f"a cut is one of {get_args(How)}, not {how!r}")
        #: Where the next connection goes.
        self.server = server
        self._cut_after = cut_after
        self._how: How = how
        self._rate = rate
        self._delay = delay or 0.0
        self._links: list[Link] = []
        self._passed = [0, 0]
        self._connections = self._cuts = 0
        # What has passed is counted before anybody can ask.
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._waker, self._woken = socket.socketpair()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    @property
    def received(self) -> int:
        """
        Octets from server to client that have passed, in all.
        """
        with self._lock:
            return self._passed[0] + sum(each.down.carried for each in self._links)

    @property
    def sent(self) -> int:
        """
        Octets from client to server that have passed, in all.
        """
        with self._lock:
            return self._passed[1] + sum(each.up.carried for each in self._links)

    @property
    def connections(self) -> int:
        """
        Connections that clients have made.
        """
        with self._lock:
            return self._connections

    @property
    def cuts(self) -> int:
        """
        Connections that were cut.
        """
        with self._lock:
            return self._cuts + sum(each.is_cut for each in self._links)

    def stop(self) -> None:
        """
        Close all connections and the port.

        Raises:
            BaseException: what has ended the relay before.
        """
        self._waker.close()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as failure:
            self._failure = failure
        finally:
            for link in self._links:
                link.close()
            for each in (self._listener, self._woken):
                each.close()

    def _turn(self) -> bool:
        """
        Wait for something to do, and do it; tell whether to go on.
        """
        now = time.monotonic()
        poll = select.poll()
        for each in (self._listener, self._woken):
            poll.register(each, select.POLLIN)
        soonest = None
        for link in self._links:
            for connection, mask in link.events(now).items():
                poll.register(connection, mask)
            change = link.next_change(now)
            if change is not None:
                soonest = change if soonest is None else min(soonest, change)
        wait = None if soonest is None else max(0.0, soonest - now) * 1000
        ready = {descriptor for descriptor, _ in poll.poll(wait)}
        if self._woken.fileno() in ready:
            return False
        now = time.monotonic()
        with self._lock:
            if self._listener.fileno() in ready:
                self._accept()
            for link in self._links:
                link.work(now, ready)
            self._forget_closed()
        return True

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self._connections += 1
        limit = self._cut_after
        if callable(limit):
            limit = limit(self._connections)
        self._links.append(
            Link(client, self.server, self._how, self._rate, self._delay, limit)
        )

    def _forget_closed(self) -> None:
        """
        Keep of the connections that are closed what they count.
        """
        for link in [each for each in self._links if each.is_closed]:
            self._links.remove(link)
            self._passed[0] += link.down.carried
            self._passed[1] += link.up.carried
            self._cuts += link.is_cut
