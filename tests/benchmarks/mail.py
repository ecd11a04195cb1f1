"""
The mail that is measured: the same for all servers, and what its canonical form is.
"""

import base64
import hashlib
import os
import random
from functools import cache
from typing import NamedTuple

MIB = 1024 * 1024

#: Who owns mail, where root measures; Debian's servers serve it to this number.
OWNER = 5000

_HEAD = b"From: a@example.org\nSubject: large\n\n"
_LINE = b"All work and no play makes Jack a dull boy, said the postmaster.\n"


def _block():
    return base64.encodebytes(random.Random(1).randbytes(57 * 14000))


def attachment(octets):
    """
    Give an LF message with a base64 attachment of about so many octets.
    """
    block = _block()
    return _HEAD + block * max(1, octets // len(block))


def small(octets, number=0):
    """
    Give an LF message of about so many octets of text; no two numbers are alike.

    One in ten has lines that begin with a dot.
    """
    head = b"From: a@example.org\nSubject: small %d\n\n" % number
    dots = b".\n..hidden\n" if number % 10 == 9 else b""
    return head + dots + _LINE * (octets // len(_LINE))


def write_attachment(path, octets, end=b"\n"):
    """
    Write the message that *attachment* gives, with this line end.
    """
    block = _block()
    with path.open("wb") as file:
        file.write(_HEAD.replace(b"\n", end))
        for _ in range(max(1, octets // len(block))):
            file.write(block.replace(b"\n", end))
    return _owned(path)


def write_small(path, octets, number):
    """
    Write the message that *small* gives.
    """
    path.write_bytes(small(octets, number))
    return _owned(path)


def _owned(path):
    if os.geteuid() == 0:
        os.chown(path, OWNER, OWNER)
    return path


def canonical(path):
    """
    Give the canonical form of a stored message of ours, in blocks.
    """
    with path.open("rb") as file:
        # Whole lines only, so that no line end is split.
        while lines := b"".join(file.readlines(MIB)):
            yield lines.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def size(path):
    """
    Give the octets of a message's canonical form.
    """
    return sum(map(len, canonical(path)))


class Prints(NamedTuple):
    """
    What two messages have in common, as SHA-256: all of them, or all but some of it.
    """

    whole: bytes
    #: Without the header, and without line ends at the end.
    body: bytes


def prints(blocks):
    """
    Give the fingerprints of a message in its canonical form, that comes in blocks.
    """
    whole, body = hashlib.sha256(), hashlib.sha256()
    head, rest = b"", None
    for block in blocks:
        whole.update(block)
        if rest is None:
            head += block
            _, found, after = head.partition(b"\r\n\r\n")
            if not found:
                continue
            rest, block = b"", after
        block = rest + block
        text = block.rstrip(b"\r\n")
        body.update(text)
        rest = block[len(text) :]
    return Prints(whole.digest(), body.digest())


@cache
def stored_prints(path):
    """
    Give the fingerprints of a stored message of ours.
    """
    return prints(canonical(path))


def digest(path, offset):
    """
    Give the SHA-256 of a message's canonical form from an offset on.
    """
    made, place = hashlib.sha256(), 0
    for block in canonical(path):
        made.update(block[max(0, offset - place) :])
        place += len(block)
    return made.digest()


def wire_form(path):
    """
    Give what a server sends for a message that has no line with a dot in front.
    """
    yield b"+OK\r\n"
    yield from canonical(path)
    yield b".\r\n"
