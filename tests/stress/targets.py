"""
What is fuzzed: each parser with what must hold of it for any octets at all.

A target takes octets and raises AssertionError, or what its parser must not raise.
"""

import struct

from extretr.client.exchange import Body, Exchange, Lines, Refused
from extretr.client.partial import Label
from extretr.client.refusals import ProtocolViolation
from extretr.errors import OffsetOverrun, Refusal, SplitLineEnd, UnsafeUser
from extretr.offsets import Measured, Measurer, locate
from extretr.server.accounts import parse_line
from extretr.server.proxy_header import BadHeaderError, parse_header
from extretr.stores import mbox_layout, packing
from extretr.stores.columns import Block
from extretr.stores.holder import Record
from extretr.stores.mbox_parse import NotAnMboxError, Parser
from extretr.stores.rows import Row
from extretr.syntax import (
    LINE_LIMIT,
    as_unique_id,
    failure,
    is_unique_id,
    parse_index,
    parse_number,
    printable,
    split_user,
    success,
)
from extretr.wire import Canonicalizer, Decoder, Encoder, LineCounter
from tests import models
from tests.server.session_model import number_of, top


def split(octets: bytes) -> list[bytes]:
    """
    Cut octets into chunks, at places that their first three say.
    """
    octets = octets.ljust(3, b"\1")
    sizes = [size % 23 + 1 for size in octets[:3]]
    rest, chunks = octets[3:], []
    while rest:
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(rest[:size])
        rest = rest[size:]
    return chunks


def syntax(octets: bytes) -> None:
    """
    Arguments and reply lines: `extretr.syntax`.
    """
    number = number_of(octets)
    try:
        assert number is not None
        assert parse_number(octets) == min(number, 10**18)
        assert parse_index(octets) == min(number, 10**18) - 1
    except Refusal:
        assert not number
    except (AssertionError, ValueError):
        # Python reads no more than 4,300 digits.
        assert number is None or len(octets) > 4000
    for line in (success(octets), failure(octets)):
        assert len(line) <= LINE_LIMIT
        assert line.endswith(b"\r\n")
    assert is_unique_id(as_unique_id(octets))
    assert all(0x20 <= octet < 0x7F for octet in printable(octets))
    try:
        local, domain = split_user(octets)
    except UnsafeUser:
        return
    assert b"/" not in octets
    assert b"\0" not in octets
    assert local
    assert not octets.startswith(b".")
    assert b"@" not in domain


def wire(octets: bytes) -> None:
    """
    From the stored form to the wire and back: `extretr.wire`.
    """
    chunks = split(octets)
    stored = b"".join(chunks)
    whole = models.canonical(stored)
    canonical = Canonicalizer()
    assert b"".join(map(canonical.feed, chunks)) + canonical.finish() == whole
    encoder = Encoder()
    sent = b"".join(map(encoder.feed, chunks)) + encoder.finish()
    assert sent == models.wire(whole)
    decoder = Decoder()
    assert (
        b"".join(map(decoder.feed, split(octets[:3].ljust(3, b"\1") + sent))) == whole
    )
    assert decoder.finished
    assert not decoder.rest
    for count in (0, 1, 3):
        counter, encoder = LineCounter(count), Encoder()
        head = b"".join(encoder.feed(counter.feed(chunk)) for chunk in chunks)
        assert head + encoder.finish() == models.wire(top(whole, count))


def unwire(octets: bytes) -> None:
    """
    Decode whatever a server sends: chunks make no difference.
    """
    chunks = split(octets)
    by_chunks, at_once = Decoder(), Decoder()
    assert b"".join(map(by_chunks.feed, chunks)) == at_once.feed(b"".join(chunks))
    assert by_chunks.finished == at_once.finished
    assert by_chunks.rest == at_once.rest


def offsets(octets: bytes) -> None:
    """
    Each offset in a message: `extretr.offsets`.
    """
    chunks = split(octets)
    stored = b"".join(chunks)
    whole = models.canonical(stored)
    measurer = Measurer()
    for chunk in chunks:
        measurer.feed(chunk)
    measured = measurer.finish()
    assert measured.size == len(whole)

    def read(place: int, count: int) -> bytes:
        return stored[place : place + count]

    for offset in range(min(len(whole), 300) + 2):
        try:
            position = locate(measured, offset, read)
        except (OffsetOverrun, SplitLineEnd):
            assert not models.accepted(whole, offset)
            continue
        assert models.accepted(whole, offset)
        encoder = Encoder(position)
        sent = encoder.feed(stored[position.seek :]) + encoder.finish()
        assert sent == models.wire(whole[offset:])


def mbox(octets: bytes) -> None:
    """
    Read an mbox: `extretr.stores.mbox_parse`.
    """
    chunks = split(octets)
    whole = b"".join(chunks)
    for quoting in (False, True):
        found = []
        for parts in (chunks, [whole]):
            parser = Parser(quoting)
            try:
                for part in parts:
                    for _ in parser.feed(part):
                        pass
                found.append(parser.finish())
            except NotAnMboxError:
                assert not whole.startswith(b"From ")
                found.append([])
        assert found[0] == found[1]
        places = [0]
        for one in found[0]:
            places += [one.from_at, one.begin, one.end]
        assert places == sorted(places)
        assert places[-1] <= len(whole)


def accounts(octets: bytes) -> None:
    """
    Read a line of a users file: `extretr.server.accounts`.
    """
    try:
        found = parse_line(octets)
    except ValueError:
        return
    assert found is None or (found[0] and found[1].hash)


def remembered(octets: bytes) -> None:
    """
    Read what the index holds, be it damaged in a way that its checksum does not show.
    """
    measured = packing.unpack(octets)
    if measured is not None:
        assert len(measured.stored_marks) == len(measured.offset_marks)
    Record.parse(octets)
    Label.parse(octets)
    try:
        block = Block.decode(octets)
    except ValueError:
        pass
    else:
        assert len(list(block.rows())) == len(block.uniqueIds()) == len(block)
    try:
        for one in mbox_layout.decoded(octets):
            assert len(one.measured.stored_marks) == len(one.measured.offset_marks)
    except ValueError:
        pass


def responses(octets: bytes) -> None:
    """
    Take what a server answers: `extretr.client.exchange`.
    """
    for make in (
        lambda taken: Exchange(b"NOOP"),
        lambda taken: Lines(b"LIST", taken.append, None),
        lambda taken: Body(b"RETR 1", taken.append),
    ):
        ends = []
        chunks = split(octets)
        for parts in (chunks, [b"".join(chunks)]):
            taken: list[bytes] = []
            ends.append((_ended(make(taken), parts), b"".join(taken)))
        # How much was taken of what is no response may differ.
        assert ends[0] == ends[1] or "Violation" in str(ends[0][0]), ends


def _ended(exchange: Exchange, parts: list[bytes]) -> object:
    parts = list(parts)
    while parts:
        try:
            rest = exchange.feed(parts.pop(0))
        except Refused as refused:
            return "refused", refused.rest + b"".join(parts)
        except (ProtocolViolation, ValueError) as error:
            return type(error).__name__ + " Violation"
        except Exception as error:
            if type(error).__name__ != "LineTooLong":
                raise
            return "Violation"
        if rest is not None:
            return "done", rest + b"".join(parts)
    return None


def proxied(octets: bytes) -> None:
    """
    Read what a proxy tells: `extretr.server.proxy_header`.
    """
    for end in range(len(octets) + 1):
        try:
            header = parse_header(octets[:end])
        except BadHeaderError:
            return
        if header is not None:
            assert header.length == end
            for address in (header.source, header.destination):
                if address is not None:
                    assert set(address.host) <= set("0123456789abcdef.:"), address
                    assert 0 <= address.port <= 0xFFFF
            return


#: Each with what it may begin from.
TARGETS = {
    syntax: [b"1 345628", b"alice@example.org", b"007"],
    wire: [b"aaaSubject: x\n\n.dot\r\n..\r\r\n.", b"\1\1\1a\n.\r\n.\r\n"],
    unwire: [b"\1\2\3a\r\n..b\r\n.\r\n+OK", b"aaa.\r\n"],
    offsets: [b"aaaSubject: x\n\n.dot\r\n..\r\r\n.", b"\7\7\7a\r\n.b\n\rc\r"],
    mbox: [b"aaaFrom x\nSubject: y\n\n>From z\n\nFrom x\r\n\r\nb\r\n\r\nFrom "],
    accounts: [b"alice:{PLAIN}secret:1:2", b"# x", b"bob:$6$x$y"],
    remembered: [
        struct.pack("<QQ??I", 3, 2, False, True, 1) + bytes(16),
        b'{"token": "x", "host": "y", "pid": 1, "started": "",'
        b' "contest": 0, "answered": 0}',
        b'{"unique_id": "x", "announced": 1, "begun": 1.0}',
        mbox_layout._MESSAGE.pack(0, 1, 2, 3, b"", 0, 22)
        + packing.pack(Measured(1, 1, True, False)),
        Block(
            [Row(b"1.a", b":2,S", 1, 2, 3, 4), Row(b"2.b", b"", 0, 2, 3, 4)]
        ).encode(),
    ],
    responses: [b"aaa+OK 2\r\n1 20\r\n2 30\r\n.\r\n+OK", b"aaa-ERR [IN-USE] no\r\n"],
    proxied: [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 110\r\n",
        b"PROXY TCP6 ::1 ::2 1 110\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
    ],
}
