"""
A process that is killed by strace as it enters a certain system call.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

from tests.interop import program

#: The system calls that change a store, or make it last.  Where one is not known to the
#: machine it is never made.
CHANGING = (
    *("open", "openat", "unlink", "unlinkat", "rename", "renameat", "renameat2"),
    *("write", "writev", "pwrite64", "pwritev", "ftruncate", "truncate", "fallocate"),
    *("fsync", "fdatasync", "link", "linkat", "mkdir", "mkdirat", "utimensat"),
    *("copy_file_range", "sendfile", "symlink", "symlinkat", "fchmod"),
)

#: Seconds after which something that should have happened will not.
PATIENCE = 30.0


class Traced:
    """
    A forked process that stops once, is traced from there on, and goes on.
    """

    def __init__(self, action: Callable[[Callable[[], None]], object]) -> None:
        """
        Args:
            action: runs in the process; it gets what stops it, and calls that once.
        """
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                action(lambda: os.kill(os.getpid(), signal.SIGSTOP))
                status = 0
            finally:
                # Nothing of the parent's may run here.
                os._exit(status)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise AssertionError(f"ended before it was traced: {status}")

    def go_on(self, *options: str) -> tuple[int, str]:
        """
        Go on under strace; give the wait status, and what was traced.
        """
        names = ",".join(f"?{name}" for name in CHANGING)
        command = [program("strace"), "-qq", "-e", f"trace={names}", *options]
        strace = subprocess.Popen(
            [*command, "-p", str(self.pid)], stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + PATIENCE
        while not self._is_traced():
            if time.monotonic() > deadline or strace.poll() is not None:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"strace does not trace: {strace.communicate()}")
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGCONT)
        _, status = os.waitpid(self.pid, 0)
        return status, strace.communicate(timeout=PATIENCE)[1]

    def _is_traced(self) -> bool:
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            return "TracerPid:\t0\n" not in file.read()


def calls(action: Callable[[Callable[[], None]], object]) -> set[str]:
    """
    Run *action* to its end, and name its system calls that change something.

    Raises:
        AssertionError: where it does not end well.
    """
    status, trace = Traced(action).go_on()
    if status:
        raise AssertionError(trace)
    return set(re.findall(r"^(\w+)\(", trace, re.MULTILINE))


def killed_at(
    name: str, at: int, action: Callable[[Callable[[], None]], object]
) -> bool:
    """
    Kill *action* as it enters the *at*-th system call *name*; tell whether it was.

    Raises:
        AssertionError: where it ended in any other way.
    """
    inject = f"inject={name}:signal=KILL:when={at}"
    status, trace = Traced(action).go_on("-e", inject)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise AssertionError(trace)
    return False
