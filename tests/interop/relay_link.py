"""
A connection through a relay: both its directions, and how it is cut.
"""

import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from typing import Literal

from tests.interop.relay_pipe import Pipe

#: What a cut is to the client and the server.
#:
#: close: the end of the connection, in good order, after the last octet.
#: reset: a reset, once the client's system has that octet.
#: silence: nothing passes any more, in neither direction, not even an end.
#: stall: nothing of the server's passes any more; what the client says does.
How = Literal["close", "reset", "silence", "stall"]

#: Seconds until it is looked again whether the last octets have arrived.
_SOON = 0.001

_NO_LINGER = struct.pack("ii", 1, 0)


def _unacknowledged(connection: socket.socket) -> int:
    """
    Count the octets that were sent and have not arrived yet.
    """
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
    (count,) = struct.unpack("i", answer)
    return int(count)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    connection.close()


class Link:
    """
    A client's connection, and ours to the server in its name.
    """

    def __init__(
        self,
        client: socket.socket,
        address: tuple[str, int],
        how: How,
        rate: float | None,
        delay: float,
        limit: int | None,
    ) -> None:
        """
        Args as for a relay; *limit* is what passes of the server's before a cut.
        """
        self._client = client
        self._server = socket.socket()
        for each in (client, self._server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = address
        self._how = how
        self.up = Pipe(client, self._server, rate, delay)
        self.down = Pipe(self._server, client, rate, delay, limit)
        self._connects_at = time.monotonic() + 3 * delay
        self._is_connected = False
        self.is_cut = False
        self.is_closed = False

    def events(self, now: float) -> dict[socket.socket, int]:
        """
        Give what each socket is waited for.
        """
        if self.is_cut and self._how in ("close", "reset"):
            return {self._client: select.POLLIN}
        if not self._is_connected or (self.is_cut and self._how == "silence"):
            return {}
        events = {self._client: 0, self._server: 0}
        carrying = [(self.up, self._client, self._server)]
        if not self.is_cut:
            carrying.append((self.down, self._server, self._client))
        for pipe, source, sink in carrying:
            if pipe.wants_to_read(now):
                events[source] |= select.POLLIN
            if pipe.wants_to_write(now):
                events[sink] |= select.POLLOUT
        return {each: mask for each, mask in events.items() if mask}

    def next_change(self, now: float) -> float | None:
        """
        Give when, by the clock alone, there is something to do.
        """
        if self.is_cut and self._how in ("close", "silence"):
            return None
        if self.is_cut and self._how == "reset":
            return now + _SOON
        if not self._is_connected:
            return self._connects_at
        pipes = [self.up] if self.is_cut else [self.up, self.down]
        times = [pipe.next_change(now) for pipe in pipes]
        return min((each for each in times if each is not None), default=None)

    def work(self, now: float, ready: set[int]) -> None:
        """
        Do what there is to do, given the file descriptors that are ready.
        """
        if self.is_cut and self._how == "silence":
            return
        try:
            if self.is_cut and self._how != "stall":
                self._finish_cut(self._client.fileno() in ready)
            elif self._is_connected:
                self._carry(now, ready)
            elif now >= self._connects_at:
                self._is_connected = True
                self._server.connect_ex(self._address)
        except OSError:
            # One side has gone without an end: so does the other one.
            self.close(_reset)

    def _carry(self, now: float, ready: set[int]) -> None:
        if self._client.fileno() in ready and self.up.wants_to_read(now):
            self.up.read(now)
        self.up.write(now)
        if not self.is_cut:
            if self._server.fileno() in ready and self.down.wants_to_read(now):
                self.down.read(now)
            self.down.write(now)
            if self.down.is_full:
                self._cut()
        if self.up.finished and (self.down.finished or self.is_cut):
            self.close()

    def _cut(self) -> None:
        self.is_cut = True
        if self._how == "close":
            # Closed at once, it would be a reset where the client has more to say.
            self._client.shutdown(socket.SHUT_WR)
            self._server.close()
        elif self._how == "reset":
            _reset(self._server)
            self._finish_cut(False)

    def _finish_cut(self, is_ready: bool) -> None:
        """
        Wait until the client has all, and let go; what it says meanwhile is lost.
        """
        has_ended = is_ready and not self._client.recv(1 << 16)
        if has_ended or (self._how == "reset" and not _unacknowledged(self._client)):
            self.close(_reset if self._how == "reset" else socket.socket.close)

    def close(
        self, close: Callable[[socket.socket], None] = socket.socket.close
    ) -> None:
        """
        Let both connections go.
        """
        self.is_closed = True
        for each in (self._client, self._server):
            if each.fileno() >= 0:
                close(each)
