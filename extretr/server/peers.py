"""
Who the peer is: its address for the log, and whether it is on this host.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from twisted.internet.address import UNIXAddress


def host_of(transport: Any) -> str:
    """
    Give the peer's address as a text for the log.
    """
    try:
        peer = transport.getPeer()
    except Exception:
        # The log line of a connection that is gone must not fail on its address.
        return "unknown"
    if isinstance(peer, UNIXAddress):
        return "local socket"
    return str(getattr(peer, "host", peer))


def network_of(peer: Any) -> str:
    """
    Give what limits count a peer by: its IPv4 address, or the /64 of its IPv6 one.

    Who has an IPv6 address has a /64 of them.  It is empty where there is no address.
    """
    address = _parsed(_host(peer))
    if address is None:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), 64), strict=False))
    return str(address)


def is_local(peer: Any) -> bool:
    """
    Tell whether an address is one of this host alone: a loopback or a UNIX one.
    """
    return isinstance(peer, UNIXAddress) or _is_loopback(_host(peer))


def _host(peer: Any) -> str:
    return str(getattr(peer, "host", ""))


# Both are asked for several times a session, and take longer than a system call.


@lru_cache(1000)
def _is_loopback(host: str) -> bool:
    address = _parsed(host)
    return address is not None and address.is_loopback


@lru_cache(1000)
def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # An IPv4 peer of a socket that takes both.
    return getattr(address, "ipv4_mapped", None) or address
