"""
Who the peer is: its address for the log, and whether it is on this host.
"""

from ipaddress import ip_address
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


def is_local(peer: Any) -> bool:
    """
    Tell whether an address is one of this host alone: a loopback or a UNIX one.
    """
    if isinstance(peer, UNIXAddress):
        return True
    try:
        address = ip_address(str(getattr(peer, "host", "")).partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
