"""
In what state the folders of a Maildir are, which tells whether they have changed.
"""

import os
import struct
from collections.abc import Sequence

from extretr.stores.maildir_entries import FOLDERS
from extretr.stores.settled import is_settled

#: mtime and ctime in nanoseconds, inode; zeros where there is no folder.
State = tuple[int, int, int]

_ABSENT = (0, 0, 0)

#: What no folder's times are.
_UNSETTLED = -1

_PACKED = struct.Struct("<" + "qqQ" * len(FOLDERS))


def states_of(maildir: bytes) -> list[State]:
    """
    Give the states of both folders, in the order of `FOLDERS`.
    """
    return [_state(b"%b/%b" % (maildir, folder)) for folder in FOLDERS]


def _state(path: bytes) -> State:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return _ABSENT
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def settled(state: State, now: float) -> State:
    """
    Give a state where it is another after the next change, else one that none is like.

    Args:
        state: of a folder that was listed after it.
        now: see `extretr.stores.settled`.
    """
    return state if is_settled(*state[:2], now) else unsettled(state)


def unsettled(state: State) -> State:
    """
    Give a state that none is like, of the same folder.
    """
    return _UNSETTLED, _UNSETTLED, state[2]


def pack_states(states: Sequence[State]) -> bytes:
    """
    Give the octets of the states of both folders.
    """
    new, cur = states
    return _PACKED.pack(*new, *cur)


def unpack_states(octets: bytes) -> list[State] | None:
    """
    Give what `pack_states` was given, None for what it never gives.
    """
    if len(octets) != _PACKED.size:
        return None
    fields = _PACKED.unpack(octets)
    return [fields[:3], fields[3:]]
