"""
Folders that a program of Debian can be run in by chroot, made of its packages.

Debian's POP3 servers refuse to be installed beside each other, and an installed one
starts at once on the public port.  So none is installed: apt resolves what a package
needs on a machine that has nothing, downloads that, and it is unpacked, with no script
of any package run.  The machine's own /etc, users and services stay as they are.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: What no server reads, and what would be copied for each: documents, translations,
#: the libraries of languages.
_EXCLUDED = (
    *("./usr/share/doc", "./usr/share/man", "./usr/share/info", "./usr/share/locale"),
    *(
        "./usr/share/perl",
        "./usr/lib/*/perl",
        "./usr/lib/python3*",
        "./usr/share/guile",
    ),
    *("./usr/lib/*/guile", "./usr/share/lintian", "./usr/share/zoneinfo"),
)

#: Debian 12's /bin and the like are links, which no package brings.
_MERGED = ("bin", "sbin", "lib", "lib64")

#: Said by a folder that is complete; to be changed with what this module does.
_RECIPE = "1"


def cache_folder() -> Path:
    """
    Give the folder that keeps what was downloaded and unpacked.
    """
    named = os.environ.get("EXTRETR_PEERS")
    folder = Path(named) if named else Path.home() / ".cache" / "extretr-peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """
    Run a command, and give what it prints.

    Raises:
        AssertionError: with what it said, where it fails.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


def unpacked(name: str, packages: Sequence[str], alone: Sequence[str] = ()) -> Path:
    """
    Give the folder of that name, with *packages* and all that they need unpacked.

    Of the packages *alone*, nothing is unpacked but they themselves.

    Raises:
        AssertionError: where one cannot be had.
    """
    if os.geteuid() != 0:
        raise AssertionError("Debian's servers are run by chroot: it takes root")
    cache = cache_folder()
    root = cache / name
    recipe = " ".join([_RECIPE, *packages, "+", *alone])
    with _locked(cache / "lock"):
        if not _says(root / ".recipe", recipe):
            _unpack(_archives(cache / "apt", packages, alone), root)
            (root / ".recipe").write_text(recipe)
    return root


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except FileNotFoundError:
        return False


def _archives(
    folder: Path, packages: Sequence[str], alone: Sequence[str]
) -> list[Path]:
    """
    Download packages where they are not there yet, and give their files.
    """
    archives = folder / "archives"
    empty = folder / "empty"
    for each in (archives, empty):
        (each / "partial").mkdir(parents=True, exist_ok=True)
    status = folder / "status"
    status.touch()
    apt = (
        *("apt-get", "-qq", "--yes", "--no-install-recommends"),
        # Nothing is installed, as far as this run knows; the lists are the machine's.
        *("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={folder}"),
        *("-o", f"Dir::State::extended_states={folder / 'extended_states'}"),
        *("-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"),
        *("-o", "Acquire::Retries=3"),
    )
    nothing = ("-o", f"Dir::Cache::archives={empty}")
    names = []
    for action, chosen in (("install", packages), ("download", alone)):
        if chosen:
            # It names only what is not there yet; so it is shown a place with nothing.
            uris = run(*apt, *nothing, "--print-uris", action, *chosen, cwd=empty)
            names += [line.split()[1] for line in uris.splitlines()]
            run(*apt, "--download-only", action, *chosen, cwd=archives)
    return [_downloaded(archives, name) for name in names]


def _downloaded(archives: Path, name: str) -> Path:
    path = archives / name
    if not path.exists():
        raise AssertionError(f"apt-get has not brought {name}")
    return path


def _unpack(archives: Sequence[Path], root: Path) -> None:
    """
    Unpack packages into a new folder, whole or not at all.
    """
    draft = root.with_name(f"{root.name}.draft")
    for folder in (draft, root):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir(mode=0o755)
    for name in _MERGED:
        (draft / "usr" / name).mkdir(parents=True)
        (draft / name).symlink_to(f"usr/{name}")
    excluded = [f"--exclude={pattern}" for pattern in _EXCLUDED]
    for archive in archives:
        tar = draft / ".tar"
        with tar.open("wb") as file:
            command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
            subprocess.run(command, stdout=file, check=True)
        run("tar", "-xf", tar, "-C", draft, "--keep-directory-symlink", *excluded)
        tar.unlink()
    for name in ("dev", "proc", "tmp", "run"):
        (draft / name).mkdir(exist_ok=True)
    (draft / "tmp").chmod(0o1777)
    run("ldconfig", "-r", draft)
    draft.rename(root)
