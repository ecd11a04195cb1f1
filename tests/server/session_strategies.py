"""
What mail may be like, and what clients send, sense and nonsense.
"""

from hypothesis import strategies as st

from tests.server.session_driver import USERS

_PARTS = [
    *(b"a", b"Subject: x", b".", b"..", b"\n", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n"),
    *(b"\r", b"\n.\n", b"\r\n.\r\n", b"From me", b"\nFrom you", b"\xe9\0", b"x" * 40),
]
MESSAGES = st.one_of(
    st.lists(st.sampled_from(_PARTS), max_size=12).map(b"".join),
    st.lists(st.sampled_from(_PARTS), min_size=5, max_size=20).map(b"".join),
    # Often enough the same as another.
    st.sampled_from([b"Subject: y\n\n.\n", b"z\n"]),
)
USER = st.sampled_from(sorted(USERS))
CUTS = st.lists(st.integers(0, 2000), max_size=4)

_NUMBERS = st.one_of(
    st.integers(0, 4).map(b"%d".__mod__),
    st.sampled_from(
        [
            *(
                b"",
                b"-1",
                b"+1",
                b"1_0",
                b"0x1",
                b"01",
                b"1" + b"0" * 30,
                b"99",
                b"one",
            ),
            *(b"\xb2", b" 1", b"1.0", b"4294967297"),
        ]
    ),
)
_OFFSETS = st.one_of(st.integers(0, 60).map(b"%d".__mod__), _NUMBERS)
#: What is no command, whatever comes to be one.
_GARBAGE = st.one_of(
    st.binary(max_size=30).map(lambda octets: b"\xff" + octets),
    st.sampled_from([b"", b" ", b"RETR1", b"XYZZY 1", b"__init__", b"RETR\t1", b"\0"]),
    st.sampled_from([509, 510, 511, 512, 513, 600, 1100]).map(b"x".__mul__),
).filter(lambda line: b"\r\n" not in line and not line.endswith(b"\r"))
_WORDS = st.sampled_from(
    [b"STAT", b"LIST", b"UIDL", b"RSET", b"CAPA", b"NOOP", b"LAST"]
)


def _line(*parts):
    return st.tuples(*parts).map(b" ".join)


_GOOD = st.integers(1, 4).map(b"%d".__mod__)

COMMANDS = st.one_of(
    _WORDS,
    _WORDS,
    _WORDS.map(bytes.lower),
    _line(st.sampled_from([b"LIST", b"UIDL", b"DELE", b"RETR"]), _GOOD),
    _line(st.just(b"TOP"), _GOOD, st.integers(0, 3).map(b"%d".__mod__)),
    _line(st.just(b"RETR"), _GOOD, st.integers(0, 60).map(b"%d".__mod__)),
    _line(st.sampled_from([b"LIST", b"UIDL", b"DELE", b"RETR", b"dele"]), _NUMBERS),
    _line(st.just(b"RETR"), _GOOD, _OFFSETS),
    # As long as a line may be, and longer.
    st.sampled_from([b"RETR 1 ".ljust(count, b"0") for count in (510, 511)]),
    _line(st.just(b"TOP"), _NUMBERS, _NUMBERS),
    _line(_WORDS, _NUMBERS, _NUMBERS),
    _line(st.sampled_from([b"RETR", b"DELE", b"TOP", b"QUIT"]), *[_NUMBERS] * 3),
    st.sampled_from(
        [b"RETR", b"DELE", b"TOP", b"TOP 1", b"USER", b"PASS", b"USER a b"]
    ),
    _GARBAGE,
)

MARKING = [[b"DELE 1"], [b"DELE 2", b"DELE 3"], [b"RSET"], [b"DELE 4", b"RETR 4"]]
