"""
What is held of messages that have not come whole: canonical octets, on disk.

A partial is a file, whose length is the offset to go on from, and a label next to it
that says of what message it is.  A file without a label is never gone on with.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from extretr.client.places import boot, make_folder, placed, write_durably

#: Octets read at once.
CHUNK = 64 * 1024


@dataclass(kw_only=True)
class Label:
    """
    What a partial is a part of.
    """

    unique_id: bytes
    #: Octets that the server announced when it was begun: to be compared, not trusted.
    announced: int
    #: Seconds since the epoch.
    begun: float
    #: Octets that are known to be on the disk, whatever happens to the machine.
    synced: int = 0
    #: Since when the machine is running: what it has not synced is safe as long.
    boot: str = ""
    #: Whether it may be gone on with.
    resumable: bool = True

    def format(self) -> bytes:
        """
        Give the label as it is written.
        """
        fields = {**vars(self), "unique_id": self.unique_id.decode("latin-1")}
        return json.dumps(fields, indent=1).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, text: bytes) -> "Label | None":
        """
        Read a label, None where it is none.
        """
        try:
            fields = json.loads(text)
            unique_id = fields.pop("unique_id").encode("latin-1")
            label = cls(unique_id=unique_id, **fields)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return None
        numbers = (label.announced, label.synced)
        whole = all(type(one) is int and one >= 0 for one in numbers)
        if not whole or type(label.begun) not in (int, float):
            return None
        return label if label.resumable is True or label.resumable is False else None


class Partial:
    """
    The part of one message that is held.
    """

    def __init__(self, path: Path, label: Label) -> None:
        """
        Open the file, which is made where it is not there.

        Raises:
            OSError: where that fails.
        """
        self.label = label
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        #: Canonical octets held.
        self.size = os.fstat(self._descriptor).st_size
        same_boot = boot() != "" and label.boot == boot()
        if not same_boot and self.size > label.synced:
            # The machine went down since: what was not synced may be anything.
            os.ftruncate(self._descriptor, label.synced)
            self.size = label.synced

    def append(self, octets: bytes) -> None:
        """
        Put octets behind those that are held.

        Raises:
            OSError: where the disk takes no more; what it took is held.
        """
        while octets:
            with placed(str(self._path)):
                written = os.write(self._descriptor, octets)
            self.size += written
            octets = octets[written:]

    def read(self, begin: int, end: int) -> bytes:
        """
        Give held octets.
        """
        with placed(str(self._path)):
            return os.pread(self._descriptor, end - begin, begin)

    def pieces(self) -> Iterator[bytes]:
        """
        Give all held octets, in chunks.
        """
        at = 0
        while octets := self.read(at, at + CHUNK):
            yield octets
            at += len(octets)

    def sync(self) -> None:
        """
        See to it that what is held is on the disk, and that the label says so.

        Raises:
            OSError: where that fails.
        """
        if self.label.synced != self.size or self.label.boot != boot():
            with placed(str(self._path)):
                os.fdatasync(self._descriptor)
            self.label.synced, self.label.boot = self.size, boot()
            write_durably(_label_of(self._path), self.label.format())

    def close(self) -> None:
        """
        Close the file, and keep it.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """
        Close the file, and remove it with its label.
        """
        self.close()
        self._path.unlink(missing_ok=True)
        _label_of(self._path).unlink(missing_ok=True)


class Partials:
    """
    The partials of one account.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        """
        Take a folder, which is made when it is first needed.
        """
        self._folder = folder
        self._now = now
        # What is there, by the name without its ending: most messages have no partial,
        # and to find that out by looking costs more than to fetch them.
        self._stems: set[str] | None = None

    def _known(self) -> set[str]:
        if self._stems is None:
            self._stems = {path.stem for path in self._folder.glob("*.*")}
        return self._stems

    def begin(self, unique_id: bytes, announced: int, resumable: bool) -> Partial:
        """
        Begin a new partial, in the place of any old one.

        Raises:
            OSError: where that fails.
        """
        make_folder(self._folder)
        path = self._path(unique_id)
        self._known().add(path.stem)
        path.unlink(missing_ok=True)
        label = Label(
            unique_id=unique_id,
            announced=announced,
            begun=self._now(),
            boot=boot(),
            resumable=resumable,
        )
        # First the label: no file is ever there without.
        write_durably(_label_of(path), label.format())
        return Partial(path, label)

    def find(self, unique_id: bytes) -> Partial | None:
        """
        Give the partial of a message, if there is one that can be gone on with.

        Raises:
            OSError: where it cannot be read.
        """
        if not self.has(unique_id):
            return None
        path = self._path(unique_id)
        label = _read_label(path)
        usable = label is not None and label.unique_id == unique_id and label.resumable
        if label is None or not usable or not path.exists():
            path.unlink(missing_ok=True)
            _label_of(path).unlink(missing_ok=True)
            return None
        return Partial(path, label)

    def has(self, unique_id: bytes) -> bool:
        """
        Tell whether something is held of a message.
        """
        known = self._known()
        return bool(known) and _stem(unique_id) in known

    def labels(self) -> list[tuple[Label, int]]:
        """
        Give the label of each partial, and the octets that it holds.
        """
        found = []
        for path in sorted(self._folder.glob("*.part")):
            label = _read_label(path)
            if label is None:
                continue
            try:
                found.append((label, path.stat().st_size))
            except FileNotFoundError:
                # A run that is under way has just delivered it.
                pass
        return found

    def tidy(self) -> None:
        """
        Remove what a run that was killed has left: half of a pair, or a draft.
        """
        for path in self._folder.glob("*"):
            whole = path.with_suffix(".part").exists() and _label_of(path).exists()
            if path.suffix not in (".part", ".json") or not whole:
                path.unlink(missing_ok=True)

    def discard(self, unique_id: bytes) -> None:
        """
        Remove the partial of a message, if there is one.
        """
        if self.has(unique_id):
            path = self._path(unique_id)
            path.unlink(missing_ok=True)
            _label_of(path).unlink(missing_ok=True)

    def _path(self, unique_id: bytes) -> Path:
        return self._folder / f"{_stem(unique_id)}.part"


def _stem(unique_id: bytes) -> str:
    return sha256(unique_id).hexdigest()[:32]


def _label_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_label(path: Path) -> Any:
    try:
        return Label.parse(_label_of(path).read_bytes())
    except FileNotFoundError:
        return None
