"""
Values of settings as people write them: text in, value out, or what is wrong with it.
"""

import difflib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from extretr.errors import ExtRetrError

#: Seconds in each unit of a duration.
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

#: Octets in each unit of a size.
_OCTETS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhd])")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([kmg]?)", re.IGNORECASE)
_COUNT = re.compile(r"[0-9]{1,9}")

_Value = TypeVar("_Value")


class BadValue(ExtRetrError):
    """
    A value that a setting does not take; the text says what it takes.
    """


def parse_duration(text: str) -> float:
    """
    Give the seconds of a duration: one number and its unit, as in ``90s`` or ``1.5h``.

    Raises:
        BadValue: for anything else.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadValue(
            "must be a number and its unit, s, m, h or d: 90s, 5m, 1.5h or 30d"
        )
    return float(found[1]) * _SECONDS[found[2]]


def parse_timeout(text: str) -> float:
    """
    Give the seconds of a duration of at most a day; a number alone is seconds.

    Raises:
        BadValue: for anything else.
    """
    try:
        seconds = parse_duration(text + "s" if text[-1:].isdigit() else text)
    except BadValue:
        seconds = 0.0
    if not 0 < seconds <= _SECONDS["d"]:
        raise BadValue("must be seconds, as in 60, or as in 5m; at most a day, not 0")
    return seconds


def parse_days(text: str) -> float | None:
    """
    Give the days of a duration, 0 for "delivery", None for "never".

    Raises:
        BadValue: for anything else.
    """
    if text == "never":
        return None
    if text == "delivery":
        return 0.0
    try:
        return parse_duration(text) / _SECONDS["d"]
    except BadValue:
        raise BadValue(
            'must be "never", "delivery", or a number and its unit: 12h or 30d'
        ) from None


def parse_size(text: str) -> int | None:
    """
    Give the octets of a size: a number, with K, M or G for powers of 1,024, or "none".

    Raises:
        BadValue: for anything else.
    """
    if text == "none":
        return None
    found = _SIZE.fullmatch(text)
    octets = int(float(found[1]) * _OCTETS[found[2].lower()]) if found else 0
    if not octets:
        raise BadValue('must be "none" or octets: 500000, 500K, 10M or 1.5G, not 0')
    return octets


def parse_count(text: str) -> int:
    """
    Give a whole number that is not negative.

    Raises:
        BadValue: for anything else.
    """
    if not _COUNT.fullmatch(text):
        raise BadValue("must be a whole number, 0 or more")
    return int(text)


def parse_command(text: str) -> str | None:
    """
    Give a command for the shell, None for an empty text.

    Raises:
        BadValue: where it holds NUL.
    """
    if "\0" in text:
        raise BadValue("must not hold NUL")
    return text if text.strip() else None


def parse_path(text: str, base: Path) -> Path:
    """
    Give the absolute path for one that may begin with ``~`` or at *base*.

    Raises:
        BadValue: for an empty path, NUL, or the home of a user that there is not.
    """
    if not text or "\0" in text:
        raise BadValue("must be a path")
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise BadValue(f"{text.partition('/')[0]} is nobody's home") from None


def optional(
    parse: Callable[[str, Path], _Value],
) -> Callable[[str, Path], _Value | None]:
    """
    Make a parser that gives None for an empty text.
    """
    return lambda text, base: parse(text, base) if text else None


def one_of(*words: str) -> Callable[[str], str]:
    """
    Make a parser that takes one of some words.
    """

    def parse(text: str) -> str:
        if text not in words:
            raise BadValue(f"must be one of {', '.join(words)}{suggest(text, words)}")
        return text

    return parse


def suggest(word: str, known: Collection[str]) -> str:
    """
    Give the question whether another word was meant, or "" where none is like it.
    """
    near = difflib.get_close_matches(word.lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
