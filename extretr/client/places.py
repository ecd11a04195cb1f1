"""
Where the client keeps what it remembers, and how that is put on the disk to stay.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

from extretr.stores.folders import sync_folder

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9@._-]")


def state_folder() -> Path:
    """
    Give the folder for what is remembered from run to run, as XDG has it.
    """
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "extretr" / "fetch"


def account_folder(base: Path, host: str, port: int, user: str) -> Path:
    """
    Give the folder of one account: it is known by its server and its user.

    The name that the configuration has for it is not in it, so that mail is not
    fetched twice where that is changed.
    """
    plain = _NOT_PLAIN.sub("_", f"{user}@{host}")[:100].lstrip(".")
    digest = sha256(f"{host.lower()}\0{port}\0{user}".encode()).hexdigest()
    return base / f"{plain}-{digest[:16]}"


def write_durably(path: Path, octets: bytes) -> None:
    """
    Write a file that is there whole, or as it was before, whatever happens.

    Raises:
        OSError: where that fails.
    """
    draft = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """
    Make a folder, and those above it, to stay: with its name all in it would be lost.

    Raises:
        OSError: where that fails.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


@cache
def boot() -> str:
    """
    Give a name of this run of the machine, "" where it has none.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@contextmanager
def placed(where: str) -> Iterator[None]:
    """
    Have an error of the system that comes from within, and names no file, say where.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = where
        raise
