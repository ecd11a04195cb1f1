"""
Who holds a maildrop: the record of the session lock.

It names a process, so that what a dead one has left is known as that.
"""

import json
import os
import socket
from dataclasses import dataclass
from functools import cache


@dataclass(slots=True)
class Record:
    """
    The holder of a maildrop, and how far it has answered those who contest it.
    """

    #: Names one holding of the lock, and no other ever.
    token: str
    #: The host and the namespace in which the process number means something.
    host: str
    pid: int
    #: When the process started, in the kernel's units; empty where it is not told.
    started: str
    #: The number of the last contest that was opened against this token.
    contest: int = 0
    #: The last contest after whose opening the holder has shown a sign of life.
    answered: int = 0

    @classmethod
    def of_this_process(cls, token: str) -> "Record":
        """
        Give a new record for this process.
        """
        pid = os.getpid()
        return cls(token, host_identity(), pid, _start_of(pid))

    @classmethod
    def parse(cls, octets: bytes) -> "Record | None":
        """
        Give the record that *octets* hold, None where they hold none.
        """
        try:
            fields = json.loads(octets)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or set(fields) != set(_FIELDS):
            return None
        if any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
            return None
        if fields["pid"] <= 0 or not fields["token"]:
            return None
        return cls(**fields)

    def format(self) -> bytes:
        """
        Give the octets that `parse` reads.
        """
        fields = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(fields).encode("ascii") + b"\n"

    def is_of_dead_process(self) -> bool:
        """
        Tell whether the process is known to have ended.

        Of another host, or another container, nothing can be known.
        """
        if self.host != host_identity():
            return False
        state, started = _state_and_start(self.pid)
        if state:
            return state in "ZX" or (self.started != "" and started != self.started)
        # No /proc, or one that hides the processes of others (hidepid).
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        return False


_FIELDS: dict[str, type] = {
    "token": str,
    "host": str,
    "pid": int,
    "started": str,
    "contest": int,
    "answered": int,
}


def new_token() -> str:
    """
    Give a token that there was never before.
    """
    return os.urandom(16).hex()


def own_record(token: str) -> bytes:
    """
    Give the octets of a new record of this process, for a token of `new_token`.
    """
    before, after = _around_token(os.getpid())
    return before + token.encode("ascii") + after


@cache
def _around_token(pid: int) -> tuple[bytes, bytes]:
    """
    Give what stands before and after the token in the records of this process.

    By its number, since a process that was forked has another.
    """
    before, _, after = Record.of_this_process("?").format().partition(b"?")
    return before, after


@cache
def host_identity() -> str:
    """
    Give what tells this boot of this host, and this pid namespace, from all others.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@cache
def _start_of(pid: int) -> str:
    """
    Give the start time of a process that asks for its own: that never changes.
    """
    return _state_and_start(pid)[1]


def _state_and_start(pid: int) -> tuple[str, str]:
    """
    Give the state letter and the start time of a process, both empty if not told.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return "", ""
    # The name of the program, in brackets, may hold blanks and brackets itself.
    fields = line.rpartition(b")")[2].split()
    if len(fields) < 20:
        return "", ""
    return fields[0].decode("ascii"), fields[19].decode("ascii")
