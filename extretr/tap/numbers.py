"""
Numbers in options.
"""

import math

from twisted.python import usage


def seconds_of(option: str, text: str) -> float:
    """
    Give the seconds that an option says.

    Raises:
        UsageError: where it is no number of them.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds < 0 or not math.isfinite(seconds):
        raise usage.UsageError(f"{option} is a number of seconds, 0 or more")
    return seconds


def count_of(option: str, text: str, least: int, most: int) -> int:
    """
    Give the whole number that an option says.

    Raises:
        UsageError: where it is none, or not within its bounds.
    """
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    count = int(text) if digits else least - 1
    if not least <= count <= most:
        raise usage.UsageError(f"{option} is a number from {least} to {most}")
    return count
