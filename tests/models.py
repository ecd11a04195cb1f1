"""
The independent models that the tests compare with: whole messages, one regex each.
"""

import re


def canonical(stored: bytes) -> bytes:
    """
    Give the canonical form: spec readings 2, 11 and 12.
    """
    whole = re.sub(rb"(?<!\r)\n", b"\r\n", stored)
    return whole if whole.endswith(b"\r\n") or not whole else whole + b"\r\n"


def wire(body: bytes) -> bytes:
    """
    Give the wire form of a body that is canonical: spec reading 9.
    """
    return re.sub(rb"(\A|(?<=\r\n))\.", b"..", body) + b".\r\n"


def accepted(whole: bytes, offset: int) -> bool:
    """
    Tell whether *offset* into the canonical form is answered with +OK: reading 10.
    """
    if whole[offset - 1 : offset + 1] != b"\r\n" or offset == 0:
        return offset <= len(whole)
    return whole[offset + 1 : offset + 2] not in (b"", b".")
