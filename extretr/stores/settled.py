"""
Whether what the times of a file or folder tell can be trusted the next time.
"""

#: Seconds that it must have been left alone: what changes within one tick of the clock
#: of the file system does not show.
SETTLED = 2.0


def is_settled(mtime_ns: int, ctime_ns: int, wall: float) -> bool:
    """
    Tell whether what has these times has been left alone for long enough.

    Args:
        mtime_ns: nanoseconds.
        ctime_ns: nanoseconds.
        wall: seconds, by the clock that the file system's time stamps are made by.
    """
    return wall - max(mtime_ns, ctime_ns) / 1e9 >= SETTLED
