"""
A small model of RFC 1939 with the draft: what a server has to answer, and keep.

It knows whole messages in the canonical form and nothing of how a server works.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from tests import models

#: Octets of a line, its CRLF included.
LIMIT = 512

_NUMBER = re.compile(rb"[0-9]+")
_CODE = re.compile(rb"-ERR \[([A-Z/-]+)\] ")

#: Where no more than -ERR is asked for, the draft's code does no harm.
_MISSING = frozenset({None, b"NON-EXISTENT"})

#: What every session announces; there may be more.
CAPABILITIES = {b"TOP", b"USER", b"UIDL", b"PIPELINING", b"RESP-CODES", b"EXT-RETR"}

_BEFORE_LOGIN = {b"CAPA", b"USER", b"PASS", b"QUIT"}
_LOGGED_IN = {
    *(b"CAPA", b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"RSET"),
    *(b"NOOP", b"LAST", b"QUIT"),
}


@dataclass(eq=False)
class Mail:
    """
    A message in a store: the same object in every session.
    """

    canonical: bytes
    #: Its name, where the store goes by names.
    name: bytes = b""


class Reply(NamedTuple):
    """
    One reply as it must be, but for the free text.
    """

    good: bool
    #: The response codes that a refusal may have.
    codes: frozenset[bytes | None] = frozenset({None})
    #: The words that the text begins with.
    words: bytes = b""
    #: The lines that follow on the wire, to the terminating one; of CAPA, a set.
    body: bytes | set[bytes] | None = None


OK = Reply(True)
BAD = Reply(False)


def refused(*codes: bytes | None) -> Reply:
    """
    Give a refusal with one of these response codes.
    """
    return Reply(False, frozenset(codes))


def number_of(argument: bytes) -> int | None:
    """
    Read digits and nothing else: reading 8.
    """
    return int(argument) if _NUMBER.fullmatch(argument) else None


def top(canonical: bytes, count: int) -> bytes:
    """
    Give the header, the blank line and *count* lines of the body.
    """
    lines = re.findall(rb"(?s).*?\r\n", canonical)
    blank = lines.index(b"\r\n") if b"\r\n" in lines else len(lines)
    return b"".join(lines[: blank + 1 + count])


@dataclass
class SessionModel:
    """
    One session: what it answers to each line, and what it wants deleted.
    """

    #: Names and passwords.
    users: dict[bytes, bytes]
    user: bytes | None = None
    #: Unique-id and message by index, once logged in.
    drop: list[tuple[bytes, Mail]] | None = None
    deleted: set[int] = field(default_factory=set)
    highest: int = 0
    over: bool = False

    def is_login(self, line: bytes) -> bytes | None:
        """
        Tell whose login this line is, if the password is right.
        """
        command, *words = line.split(b" ")
        if self.over or self.drop is not None or command.upper() != b"PASS":
            return None
        if self.user is None or self.users.get(self.user) != b" ".join(words):
            return None
        return self.user

    def answer(self, line: bytes) -> Reply:
        """
        Give the reply to a line, but for a login that `is_login` tells of.
        """
        if len(line) > LIMIT - 2:
            return BAD
        command, *arguments = line.split(b" ")
        name = command.upper()
        known = _BEFORE_LOGIN if self.drop is None else _LOGGED_IN
        if name not in known:
            return BAD
        answer = getattr(self, "_" + name.decode().lower())
        try:
            return answer(*arguments)
        except TypeError:
            # Too many arguments, or too few.
            return BAD

    def marked(self) -> list[Mail]:
        """
        Give the messages that UPDATE is to remove.
        """
        return [self._listed()[index][1] for index in sorted(self.deleted)]

    def _listed(self) -> list[tuple[bytes, Mail]]:
        assert self.drop is not None
        return self.drop

    def _present(self) -> list[tuple[int, bytes, int]]:
        """
        Give number, unique-id and size of each message not marked as deleted.
        """
        return [
            (index + 1, unique_id, len(mail.canonical))
            for index, (unique_id, mail) in enumerate(self._listed())
            if index not in self.deleted
        ]

    def _find(self, argument: bytes) -> tuple[int, bytes, Mail] | None:
        number = number_of(argument)
        if number is None or not 1 <= number <= len(self._listed()):
            return None
        if number - 1 in self.deleted:
            return None
        return number, *self._listed()[number - 1]

    # Commands

    def _capa(self) -> Reply:
        return Reply(True, body=CAPABILITIES)

    def _user(self, name: bytes) -> Reply:
        self.user = name
        return OK

    def _pass(self, *words: bytes) -> Reply:
        self.user = None
        return Reply(False, frozenset({None, b"AUTH"}))

    def _quit(self) -> Reply:
        self.over = True
        return OK

    def _noop(self) -> Reply:
        return OK

    def _last(self) -> Reply:
        return Reply(True, words=b"%d" % self.highest)

    def _rset(self) -> Reply:
        self.deleted.clear()
        self.highest = 0
        return OK

    def _stat(self) -> Reply:
        present = self._present()
        size = sum(size for _, _, size in present)
        return Reply(True, words=b"%d %d" % (len(present), size))

    def _list(self, *argument: bytes) -> Reply:
        if not argument:
            lines = [
                b"%d %d\r\n" % (number, size) for number, _, size in self._present()
            ]
            return Reply(True, body=b"".join(lines) + b".\r\n")
        (one,) = self._one(argument)
        found = self._find(one)
        if found is None:
            return refused(*_MISSING)
        return Reply(True, words=b"%d %d" % (found[0], len(found[2].canonical)))

    def _uidl(self, *argument: bytes) -> Reply:
        if not argument:
            lines = [b"%d %b\r\n" % (number, uid) for number, uid, _ in self._present()]
            return Reply(True, body=b"".join(lines) + b".\r\n")
        (one,) = self._one(argument)
        found = self._find(one)
        if found is None:
            return refused(*_MISSING)
        return Reply(True, words=b"%d %b" % found[:2])

    @staticmethod
    def _one(argument: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if len(argument) > 1:
            raise TypeError
        return argument

    def _dele(self, argument: bytes) -> Reply:
        found = self._find(argument)
        if found is None:
            return refused(*_MISSING)
        self.deleted.add(found[0] - 1)
        return OK

    def _top(self, argument: bytes, count: bytes) -> Reply:
        lines, found = number_of(count), self._find(argument)
        if lines is None:
            return BAD
        if found is None:
            return refused(*_MISSING)
        self.highest = max(self.highest, found[0])
        body = top(found[2].canonical, min(lines, 10**9))
        return Reply(True, body=models.wire(body))

    def _retr(self, argument: bytes, offset: bytes = b"0") -> Reply:
        held = number_of(offset)
        if held is None or number_of(argument) is None:
            return BAD
        found = self._find(argument)
        if found is None:
            return refused(b"NON-EXISTENT")
        whole = found[2].canonical
        if held > len(whole):
            return refused(b"OFFSET-OVERRUN")
        if not models.accepted(whole, held):
            return BAD
        self.highest = max(self.highest, found[0])
        words = b"%d octets" % len(whole)
        return Reply(True, words=words, body=models.wire(whole[held:]))


class Mismatch(AssertionError):
    """
    The server's octets are not what the model says.
    """


def read_reply(octets: bytes, reply: Reply) -> bytes | None:
    """
    Take one reply off the octets and give what follows; None where more must come.

    Raises:
        Mismatch: where it is another reply.
    """
    line, end, rest = octets.partition(b"\r\n")
    if not end:
        if len(octets) >= LIMIT:
            raise Mismatch(f"a long line: {octets!r}")
        return None
    if len(line) > LIMIT - 2:
        raise Mismatch(f"a long line: {line!r}")
    good = line.startswith(b"+OK")
    code = _CODE.match(line)
    if good != reply.good or not line.startswith((b"+OK ", b"-ERR ")):
        raise Mismatch(f"{line!r} is not {reply}")
    if not good and (code and code[1]) not in reply.codes:
        raise Mismatch(f"{line!r} is not {reply}")
    if reply.words and not (line + b" ").startswith(b"+OK " + reply.words + b" "):
        raise Mismatch(f"{line!r} is not {reply}")
    if reply.body is None:
        return rest
    if isinstance(reply.body, set):
        lines, end, rest = (b"\r\n" + rest).partition(b"\r\n.\r\n")
        words = {each.split(b" ")[0] for each in lines.split(b"\r\n")[1:]}
        if end and not words >= reply.body:
            raise Mismatch(f"{lines!r} lacks some of {reply.body}")
        return rest if end else None
    if rest.startswith(reply.body):
        return rest[len(reply.body) :]
    if reply.body.startswith(rest):
        return None
    raise Mismatch(f"{rest[:2000]!r} does not begin with {reply.body[:2000]!r}")
