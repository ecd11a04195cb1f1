"""
The server's maildrop, as one session lists it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from extretr.client.protocol import ResumingPOP3Client
from extretr.client.refusals import (
    NotOffered,
    ProtocolViolation,
    ServerRefusal,
)
from extretr.errors import ExtRetrError, Refusal
from extretr.syntax import parse_index, parse_number

#: Messages in a maildrop: who lists more does not mean it well.
MOST_MESSAGES = 5_000_000

#: Octets of a unique-id: 70 are allowed (RFC 1939, section 7).
MOST_UNIQUE_ID = 512


@dataclass(slots=True)
class Entry:
    """
    One message of the maildrop.
    """

    #: Counted from 0, in the session in which it was listed.
    index: int
    #: Behind that of another message that has the same comes a space, and a number.
    unique_id: bytes
    #: Octets, as the server's list has them.
    size: int
    #: Whether another message has the same unique-id.
    ambiguous: bool = False
    #: Whether it is so large that its header is to do.
    header_only: bool = False
    #: Whether index and unique-id are known to be right in this session.
    confirmed: bool = True

    @property
    def listed_as(self) -> bytes:
        """
        The unique-id as the server has it.
        """
        return self.unique_id.partition(b" ")[0]


class Renumbered(ExtRetrError):
    """
    A message is not where an earlier session has listed it.
    """


async def list_maildrop(client: ResumingPOP3Client) -> list[Entry]:
    """
    List all of the maildrop.

    Raises:
        NotOffered: where the server has no unique-ids.
        ProtocolViolation: where its two lists do not agree.
    """
    sizes: list[tuple[int, int]] = []
    unique_ids: list[tuple[int, bytes]] = []
    # Not Twisted's own: more may follow a size, and an index be past all memory.
    sized = client.sendLong(b"LIST", None, _limited(sizes), _pair_with(parse_number))
    named = client.sendLong(b"UIDL", None, _limited(unique_ids), _pair_with(_name))
    try:
        await gatherResults([sized, named], consumeErrors=True)
    except Exception as error:
        reason: Any = getattr(error, "subFailure", Failure()).value
        if type(reason) is ServerRefusal and client.isUsable:
            raise NotOffered(
                f"the server does not list its messages: {reason}"
            ) from None
        raise reason from None
    size_of = dict(sizes)
    counts = Counter(unique_id for _, unique_id in unique_ids)
    if len(size_of) != len(sizes) or size_of.keys() != dict(unique_ids).keys():
        raise ProtocolViolation("the server's lists of sizes and names do not agree")
    entries = []
    met: Counter[bytes] = Counter()
    for index, unique_id in unique_ids:
        ambiguous = counts[unique_id] > 1
        met[unique_id] += 1
        # Each is remembered by itself: to have delivered one is to have delivered one.
        name = unique_id
        if met[unique_id] > 1:
            name += b" %d" % met[unique_id]
        entries.append(Entry(index, name, size_of[index], ambiguous))
    return entries


def _pair_with(parse: Callable[[bytes], Any]) -> Callable[[bytes], tuple[int, Any]]:
    def pair(line: bytes) -> tuple[int, Any]:
        words = line.split(maxsplit=2)
        try:
            return parse_index(words[0]), parse(words[1])
        except (IndexError, Refusal):
            raise ProtocolViolation("the server's list makes no sense") from None

    return pair


def _name(word: bytes) -> bytes:
    if len(word) > MOST_UNIQUE_ID:
        raise ProtocolViolation("the server's list makes no sense")
    return word


def _limited(found: list[Any]) -> Any:
    def take(pair: Any) -> None:
        if len(found) >= MOST_MESSAGES:
            raise ProtocolViolation("the server's list does not end")
        found.append(pair)

    return take


async def confirm(
    client: ResumingPOP3Client, entries: Iterable[Entry], sizes: bool
) -> None:
    """
    See whether messages are where an earlier session listed them.

    Args:
        client: logged in.
        entries: the messages; those that are confirmed already are not asked for.
        sizes: whether their sizes matter.

    Raises:
        Renumbered: where any is not.
    """
    asked: list[Deferred[Any]] = []
    unsure = [entry for entry in entries if not entry.confirmed]
    for entry in unsure:
        asked.append(client.uniqueIdOf(entry.index))
        if sizes:
            asked.append(client.sizeOf(entry.index))
    try:
        answers = await gatherResults(asked, consumeErrors=True)
    except Exception as error:
        reason: Any = getattr(error, "subFailure", Failure()).value
        if isinstance(reason, ServerRefusal):
            raise Renumbered from None
        raise reason from None
    wanted: list[Any] = []
    for entry in unsure:
        wanted += [entry.listed_as, entry.size] if sizes else [entry.listed_as]
    if answers != wanted:
        raise Renumbered
    for entry in unsure:
        entry.confirmed = True
