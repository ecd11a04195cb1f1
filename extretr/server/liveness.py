"""
Signs of life of a peer, as far as its transport can tell.

A sign of life is an octet from the peer or an acknowledgement of ours.  On Linux
the kernel tells when the last acknowledgement came (TCP_INFO); elsewhere it counts
that the transport asked for more to send.
"""

import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from zope.interface import implementer

from extretr.interfaces import ISession

#: Octets of struct tcp_info as far as tcpi_bytes_acked (Linux 4.1 and later).
_TCP_INFO_OCTETS = 128
_LAST_ACK_RECV = struct.Struct("@56xI")
_BYTES_ACKED = struct.Struct("@120xQ")

#: Seconds of silence after which the kernel probes a connection, unless a login
#: waits for a sign of life: rarely, since some links are paid by the octet.
RELAXED_PROBE = 120


@implementer(ISession)
class TransportSession:
    """
    The session of a protocol, as the lock of its maildrop sees it.
    """

    def __init__(self, transport: Any, clock: Any, evict: Callable[[], object]) -> None:
        """
        Args:
            transport: the protocol's transport, or whatever wraps it.
            clock: an IReactorTime.
            evict: ends the session at once.
        """
        self._socket = socket_of(transport)
        self._clock = clock
        self._evict = evict
        self._received = self._asked = clock.seconds()

    def start(self) -> None:
        """
        Have the kernel probe a silent connection now and then.
        """
        self._probe_every(RELAXED_PROBE, 30)

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

    def lastSign(self) -> float:
        """
        Give the seconds since the peer last gave a sign of life.
        """
        now: float = self._clock.seconds()
        silent = now - self._received
        info = self._info()
        if info is None:
            # Without the kernel's word: it asked since something was acknowledged.
            return min(silent, now - self._asked)
        (milliseconds,) = _LAST_ACK_RECV.unpack_from(info)
        return min(silent, milliseconds / 1000.0)

    def acknowledged(self) -> int | None:
        """
        Give the octets that the peer has acknowledged, None where nobody can tell.
        """
        info = self._info()
        return None if info is None else int(_BYTES_ACKED.unpack_from(info)[0])

    def challenge(self) -> None:
        """
        Have the kernel probe at once: a living peer's kernel acknowledges it.
        """
        self._probe_every(1, 1)

    def evict(self) -> None:
        """
        End the session at once.
        """
        self._evict()

    def _info(self) -> bytes | None:
        if self._socket is None or not hasattr(socket, "TCP_INFO"):
            return None
        try:
            info = self._socket.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_OCTETS
            )
        except OSError:
            # Closed, or no TCP socket.
            return None
        return info if len(info) == _TCP_INFO_OCTETS else None

    def _probe_every(self, idle: int, interval: int) -> None:
        if self._socket is None or not hasattr(socket, "TCP_KEEPIDLE"):
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in (
                (socket.TCP_KEEPIDLE, idle),
                (socket.TCP_KEEPINTVL, interval),
            ):
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError:
            # Closed, or no TCP socket: there is nothing to probe.
            pass


def socket_of(transport: Any) -> socket.socket | None:
    """
    Give the TCP socket below a transport, through whatever wraps it.
    """
    while transport is not None:
        if ITCPTransport.providedBy(transport) and hasattr(transport, "getHandle"):
            handle = transport.getHandle()
            if isinstance(handle, socket.socket):
                return handle if handle.family in _TCP_FAMILIES else None
        transport = getattr(transport, "transport", None) or getattr(
            transport, "wrappedTransport", None
        )
    return None


_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
