"""
The unique-ids of all messages of a Maildir, given in steps where anything has changed.
"""

import os
from collections.abc import Generator, Sequence
from itertools import chain, islice

from extretr.stores.columns import Block
from extretr.stores.index import Index
from extretr.stores.index_blocks import BLOCKS_A_STEP
from extretr.stores.settled import is_settled
from extretr.stores.unique_ids import UNIQUE_IDS, assign

#: The note that tells by what the unique-ids were given.
NAMING = b"maildir unique-ids"

#: Octets that all share.
_SCHEMES = {scheme: scheme.encode("ascii") for scheme in UNIQUE_IDS}

#: Lines of another server's list that are read in one step.
_STEP = 500


def source_of(maildir: bytes, scheme: str, now: float) -> bytes:
    """
    Tell what the unique-ids of a Maildir are given by.

    Args:
        maildir: the Maildir.
        scheme: a key of `UNIQUE_IDS`.
        now: see `extretr.stores.settled`.

    Returns:
        The same only where the unique-ids of the same messages are; empty where that
        may be another soon.
    """
    name = _SCHEMES[scheme]
    source = UNIQUE_IDS[scheme][1]
    if not source:
        return name
    try:
        status = os.stat(os.path.join(maildir, source))
    except OSError:
        return b""
    times = status.st_mtime_ns, status.st_ctime_ns
    if not is_settled(*times, now):
        return b""
    return b"%b %d %d %d %d" % (name, *times, status.st_size, status.st_ino)


class Naming:
    """
    How the messages of one Maildir get their unique-ids.
    """

    def __init__(self, maildir: bytes, index: Index, scheme: str) -> None:
        """
        Args:
            maildir: the Maildir.
            index: what remembers the unique-ids.
            scheme: a key of `UNIQUE_IDS`.
        """
        self._maildir = maildir
        self._index = index
        self._scheme = scheme
        self._read, self._list = UNIQUE_IDS[scheme]

    def steps(
        self, blocks: Sequence[Block], changed: bool, now: float
    ) -> Generator[None, None, None]:
        """
        See to it that each message has its unique-id.

        Args:
            blocks: the messages.
            changed: whether these are others than the last time.
            now: see `extretr.stores.settled`.
        """
        source = source_of(self._maildir, self._scheme, now)
        if not changed and source and source == self._index.note(NAMING):
            return
        if self._list or not (yield from self._plain(blocks)):
            yield from self._assign(blocks)
        self._index.set_note(NAMING, source)

    def _plain(self, blocks: Sequence[Block]) -> Generator[None, None, bool]:
        """
        Let all messages go by their names, which differ; tell whether they can.
        """
        for count, block in enumerate(blocks, 1):
            if not block.isPlain():
                return False
            block.setUniqueIds(None)
            if count % BLOCKS_A_STEP == 0:
                yield
        return True

    def _assign(self, blocks: Sequence[Block]) -> Generator[None, None, None]:
        given = {}
        for count, (name, unique_id) in enumerate(self._read(self._maildir), 1):
            # A later line of the list counts more than an earlier one.
            given[name] = unique_id
            if count % _STEP == 0:
                yield
        names = chain.from_iterable(block.names() for block in blocks)
        unique_ids = assign(names, given)
        for block in blocks:
            block.setUniqueIds(list(islice(unique_ids, len(block))))
            if len(block) > _STEP:
                yield
