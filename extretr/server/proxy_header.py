"""
The header by which a proxy tells for whom it connects: the PROXY protocol.

Versions 1 (a line) and 2 (binary) as HAProxy's proxy-protocol.txt has them.  Twisted's
own parser refuses ``PROXY UNKNOWN`` as HAProxy sends it, and a header that comes in
pieces, and takes any text for an address.
"""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address

#: What a header of version 2 begins with.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

_LINE = b"PROXY "

#: Octets of a header of version 1 at most, its CRLF included.
_LINE_LIMIT = 107

#: What follows the signature: version and command, family and transport, length.
_FIXED = struct.Struct("!12sBBH")

#: Families that have an address for us: octets of an address.
_FAMILIES = {0x11: 4, 0x21: 16}

_LOCAL, _PROXY = 0x20, 0x21

Address = IPv4Address | IPv6Address


class BadHeaderError(ValueError):
    """
    What came is no header of the PROXY protocol.
    """


class Header(NamedTuple):
    """
    A header that is entire.
    """

    #: Its octets.
    length: int
    #: The client, and what it connected to; None where the proxy speaks for itself,
    #: or cannot tell.
    source: Address | None = None
    destination: Address | None = None


def parse_header(octets: bytes) -> Header | None:
    """
    Read the header that *octets* begin with, None where more of it has to come.

    Raises:
        BadHeaderError: where they do not begin with one.
    """
    if octets[: len(SIGNATURE)] == SIGNATURE[: len(octets)]:
        return _parse_binary(octets)
    if octets[: len(_LINE)] == _LINE[: len(octets)]:
        return _parse_line(octets)
    raise BadHeaderError


def _parse_line(octets: bytes) -> Header | None:
    end = octets.find(b"\r\n", 0, _LINE_LIMIT)
    if end < 0:
        if len(octets) >= _LINE_LIMIT:
            raise BadHeaderError
        return None
    words = octets[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(end + 2)
    version = {"TCP4": 4, "TCP6": 6}.get(words[1])
    if version is None or len(words) != 6:
        raise BadHeaderError
    _, _, source, destination, source_port, destination_port = words
    return Header(
        end + 2,
        _address(version, source, source_port),
        _address(version, destination, destination_port),
    )


def _address(version: int, host: str, port: str) -> Address:
    try:
        address = ip_address(host)
    except ValueError:
        raise BadHeaderError from None
    decimal = port.isascii() and port.isdecimal() and len(port) <= 5
    # Of a scope ("%eth0") Python checks nothing, and it means nothing here.
    if address.version != version or "%" in host or not decimal or int(port) > 0xFFFF:
        raise BadHeaderError
    return _of(version, str(address), int(port))


def _of(version: int, host: str, port: int) -> Address:
    kind = IPv4Address if version == 4 else IPv6Address
    return kind("TCP", host, port)


def _parse_binary(octets: bytes) -> Header | None:
    if len(octets) < _FIXED.size:
        return None
    _, command, family, rest = _FIXED.unpack_from(octets)
    if command not in (_LOCAL, _PROXY):
        raise BadHeaderError
    length = _FIXED.size + rest
    size = _FAMILIES.get(family)
    if command == _PROXY and size is not None and rest < 2 * size + 4:
        raise BadHeaderError
    if len(octets) < length:
        return None
    if command == _LOCAL or size is None:
        return Header(length)
    source, destination, source_port, destination_port = struct.unpack_from(
        f"!{size}s{size}sHH", octets, _FIXED.size
    )
    version = 4 if size == 4 else 6
    return Header(
        length,
        _of(version, str(ip_address(source)), source_port),
        _of(version, str(ip_address(destination)), destination_port),
    )
