"""
A program in a root of its own, with name spaces of its own for processes and mounts.

Its end is the end of all that it has started, and of what was mounted for it.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: Shows a root the devices and its own processes, and then only the root to a command.
_CHROOT = """
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def start(root: Path, command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """
    Start a command that ends with the calling thread at the latest.

    What it prints is appended to *output*.  To be ended by `kill` only.
    """
    with output.open("ab") as file:
        return subprocess.Popen(
            [
                # Where the tests are killed, so is the server.
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-euc", _CHROOT, str(root), *command),
            ],
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """
    Kill the command and all that it has started, and wait until they are gone.
    """
    # The name space ends with its first process, the only child of what waits for it;
    # and that child can be waited for only when the others have ended.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        first = [int(number) for number in children.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        first = []
    for number in first:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if not first:
        process.kill()
    process.wait()
