"""
Signs of life of a peer, as far as its transport can tell.

A sign of life is an octet from the peer or an acknowledgement of ours.  On Linux the
kernel knows when either came last (TCP_INFO), also while nobody reads what came;
elsewhere it counts that octets were read, or that the transport asked for more.

A client whose program sleeps has a kernel that acknowledges: it lives.  One that has
closed its window for long may not: its kernel is asked at growing intervals only.
"""

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from extretr.interfaces import ISession

#: struct tcp_info, as far as it is read: milliseconds since data and since an
#: acknowledgement came; octets acknowledged (Linux 4.1 and later).
_TCP_INFO = struct.Struct("=52xII60xQ")

#: Keep-alive: seconds of silence before the first probe, seconds between probes, and
#: how many may fail before the kernel gives the connection up.
#:
#: Rarely, since some links are paid by the octet; and in all longer than the 600
#: seconds after which a silent client is logged out anyway.  The odd 61 is nobody
#: else's: a socket that has it has all that `prepare` sets.
RELAXED = (120, 61, 10)

#: While a login waits for a sign of life.  The kernel must not end a session that the
#: lock would have let live: the longest wait is 60 seconds.
URGENT = (1, 1, 120)

#: Seconds after which no login waits any longer.
URGENT_FOR = 60.0

#: Wrappers around a transport that are looked through.
_DEPTH = 16

_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@implementer(ISession)
class TransportSession:
    """
    The session of a protocol, as the lock of its maildrop sees it.
    """

    # There are thousands of them.
    __slots__ = (
        "_asked",
        "_challenged",
        "_clock",
        "_evict",
        "_received",
        "_socket",
        "_takesOver",
    )

    def __init__(
        self,
        transport: Any,
        clock: Any,
        evict: Callable[[], object],
        takesOver: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            transport: the protocol's transport, or whatever wraps it.
            clock: an IReactorTime.
            evict: ends the session at once.
            takesOver: is called when it has taken a maildrop over.
        """
        self._socket = socket_of(transport)
        self._clock = clock
        self._evict = evict
        self._takesOver = takesOver
        self._received = self._asked = clock.seconds()
        #: When a login began to wait for a sign of life.
        self._challenged: float | None = None

    def start(self) -> bool:
        """
        Have the kernel probe a silent connection now and then.

        Returns:
            Whether the socket was prepared, by what it was accepted from.
        """
        if _is_prepared(self._socket):
            return True
        self._probe(*RELAXED)
        return False

    def received(self) -> None:
        """
        Take note of octets from the peer.
        """
        self._received = self._clock.seconds()

    def asked(self) -> None:
        """
        Take note that the transport asks for more to send.
        """
        self._asked = self._clock.seconds()

    def now(self) -> float:
        """
        Give the time in seconds, by the clock that signs of life are told by.
        """
        return float(self._clock.seconds())

    def silence(self) -> float:
        """
        Give the seconds since octets were read, or the transport asked for more.
        """
        return float(self._clock.seconds() - max(self._received, self._asked))

    def lastSign(self) -> float:
        """
        Give the seconds since the peer last gave a sign of life.
        """
        now: float = self._clock.seconds()
        info = self._info()
        # What was read just now may have come long ago; the kernel knows.
        silence = self.silence() if info is None else min(info[0], info[1]) / 1000.0
        self._relax(silence, now)
        return silence

    def acknowledged(self) -> int | None:
        """
        Give the octets that the peer has acknowledged, None where nobody can tell.
        """
        info = self._info()
        return None if info is None else info[2]

    def challenge(self) -> None:
        """
        Have the kernel probe at once: a living peer's kernel acknowledges it.

        Where data is under way, its retransmission does that.
        """
        self._challenged = self._clock.seconds()
        self._probe(*URGENT)

    def evict(self) -> None:
        """
        End the session at once.
        """
        self._evict()

    def tookOver(self) -> None:
        """
        Take note that the maildrop was taken over from another session.
        """
        self._takesOver()

    def _relax(self, silence: float, now: float) -> None:
        """
        Probe rarely again, once there was a sign or nobody waits for one any more.
        """
        if self._challenged is None:
            return
        since = now - self._challenged
        if silence < since or since > URGENT_FOR:
            self._challenged = None
            self._probe(*RELAXED)

    def _info(self) -> tuple[int, int, int] | None:
        if self._socket is None or sys.platform != "linux":
            return None
        try:
            octets = self._socket.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size
            )
        except OSError:
            # Closed meanwhile.
            return None
        if len(octets) < _TCP_INFO.size:
            return None
        data_age, acknowledgement_age, acknowledged = _TCP_INFO.unpack(octets)
        return data_age, acknowledgement_age, acknowledged

    def _probe(self, idle: int, interval: int, count: int) -> None:
        if self._socket is None or not hasattr(socket, "TCP_KEEPIDLE"):
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # The first probe goes out as TCP_KEEPIDLE is set, so that comes last.
            for option, value in (
                (socket.TCP_KEEPCNT, count),
                (socket.TCP_KEEPINTVL, interval),
                (socket.TCP_KEEPIDLE, idle),
            ):
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError:
            # Closed meanwhile: there is nothing to probe.
            pass


class ProtocolSession(TransportSession):
    """
    The session of a `extretr.server.session.SessionMixin`.

    To have the protocol costs less than to have two of its bound methods.
    """

    __slots__ = ("_protocol",)

    def __init__(self, transport: Any, clock: Any, protocol: Any) -> None:
        super().__init__(transport, clock, _nothing, _nothing)
        self._protocol = protocol

    def evict(self) -> None:
        """
        End the session at once.
        """
        self._protocol._evicted()

    def tookOver(self) -> None:
        """
        Take note that the maildrop was taken over from another session.
        """
        self._protocol._takesOver()


def _nothing() -> None:
    pass


def prepare(listening: socket.socket) -> None:
    """
    Set, on what listens, what the sockets that it accepts are to have from it.

    Where that is not inherited sessions set it by themselves: so they do where they
    came before this was called, or to a socket of somebody else's.
    """
    if listening.family not in _TCP_FAMILIES or not hasattr(socket, "TCP_KEEPIDLE"):
        return
    idle, interval, count = RELAXED
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_KEEPCNT, count),
            (socket.TCP_KEEPIDLE, idle),
            # By it the others are known, so that it comes last.
            (socket.TCP_KEEPINTVL, interval),
        ):
            listening.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        # A system that has them for connections only.
        pass


def _is_prepared(accepted: socket.socket | None) -> bool:
    if accepted is None or not hasattr(socket, "TCP_KEEPIDLE"):
        return False
    try:
        interval = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
    except OSError:
        # Closed meanwhile.
        return False
    return interval == RELAXED[1]


def socket_of(transport: Any) -> socket.socket | None:
    """
    Give the TCP socket below a transport, through whatever wraps it, None without.
    """
    layer = transport
    for _ in range(_DEPTH):
        if layer is None:
            break
        # Over TLS, getHandle gives OpenSSL's connection; the socket is kept still.
        for found in (_handle(layer), getattr(layer, "socket", None)):
            if isinstance(found, socket.socket):
                return found if found.family in _TCP_FAMILIES else None
        layer = getattr(layer, "transport", None)
    return None


def _handle(layer: Any) -> Any:
    get_handle = getattr(layer, "getHandle", None)
    return None if get_handle is None else get_handle()
