"""
Counts that several processes share: a table in memory that all of them have mapped.

Each key has a slot, with a count for each process that only this one writes; their sum
is what there is in all.  Who counts one more looks at the sum and adds to its own count
under a lock of the kernel, which goes with a process that dies: so what is allowed is
kept exactly, and nobody is refused what is free.  To count one less needs no lock.
"""

import fcntl
import hashlib
import mmap
import os
import tempfile
from array import array
from functools import lru_cache
from typing import Any

from extretr.errors import ServerBusy

#: Octets of a word: all that is written without the lock is one, so no other process
#: sees a half of it.
_WORD = 4

#: Octets, and words, of what stands for a key, and for no other one.
_DIGEST, _DIGEST_WORDS = 16, 4

#: Slots that a key may lie in, and how many there are for each key: that they are all
#: taken does not happen once in a billion of keys.
_WAYS, _ROOM = 16, 8

#: Rows of times, one for each of many keys.
_TIMES = 1 << 14


def make_table(workers: int, keys: int) -> int:
    """
    Make an empty table for so many processes and keys at once; give its descriptor.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("extretr-counts")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    buckets = keys * _ROOM // _WAYS + 1
    words = _TIMES + buckets * _WAYS * (_DIGEST_WORDS + workers)
    os.ftruncate(descriptor, words * _WORD)
    return descriptor


class SharedCounts:
    """
    The table, as one process has it.

    To look, and then to count one more, is to be done ``with`` it: that is the lock.
    """

    def __init__(
        self, descriptor: int, workers: int, number: int = 0, secret: bytes = b""
    ) -> None:
        """
        Args:
            descriptor: of the table; kept open.
            workers: how many processes count in it.
            number: which of them this one is, from 0 on.
            secret: all of them have it, and nobody else can tell where a key lies.
        """
        self.descriptor = descriptor
        self._workers = workers
        self._own = _DIGEST_WORDS + number
        self._slot_words = _DIGEST_WORDS + workers
        self._map = mmap.mmap(descriptor, 0)
        self._words = memoryview(self._map).cast("I")
        self._bucket = _WAYS * self._slot_words * _WORD
        self._buckets = (len(self._map) - _TIMES * _WORD) // self._bucket
        self._digest = lru_cache(4096)(
            lambda key: hashlib.blake2b(key, key=secret, digest_size=_DIGEST).digest()
        )

    def __enter__(self) -> None:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *reason: Any) -> None:
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def of(self, key: bytes) -> int:
        """
        Give what all processes have counted of *key*.
        """
        _, found = self._find(key)
        if found < 0:
            return 0
        return sum(self._counts(found // _WORD))

    def more(self, *keys: bytes) -> None:
        """
        Count one more of each.

        Raises:
            ServerBusy: where there is no room; then nothing is counted.
        """
        counted = []
        try:
            for key in keys:
                word = self._slot(key) + self._own
                self._words[word] += 1
                counted.append(word)
        except ServerBusy:
            for word in counted:
                self._words[word] -= 1
            raise

    def less(self, key: bytes) -> None:
        """
        Count one less, of what this process has counted.
        """
        _, found = self._find(key)
        if found >= 0:
            word = found // _WORD + self._own
            self._words[word] = max(self._words[word] - 1, 0)

    def forget(self, number: int) -> None:
        """
        Take back all that a process has counted, the first of which is 0: it is dead.
        """
        own = self._words[_TIMES + _DIGEST_WORDS + number :: self._slot_words]
        own[:] = memoryview(array("I", bytes(len(own) * _WORD)))

    def note(self, key: bytes, now: float) -> None:
        """
        Note that it is now for *key*.
        """
        self._words[self._row(key)] = int(now) + 1

    def is_noted(self, key: bytes, since: float) -> bool:
        """
        Tell whether that was noted since; of some that were not it may be told too.
        """
        noted = self._words[self._row(key)]
        return noted > 0 and since <= noted

    def _row(self, key: bytes) -> int:
        return int.from_bytes(self._digest(key)[:4]) % _TIMES

    def _counts(self, word: int) -> memoryview:
        begin = word + _DIGEST_WORDS
        return self._words[begin : begin + self._workers]

    def _find(self, key: bytes) -> tuple[int, int]:
        """
        Give the octet at which the slots begin that *key* may lie in, and the one at
        which it lies, else -1.
        """
        digest = self._digest(key)
        bucket = int.from_bytes(digest[:4]) % self._buckets
        begin = _TIMES * _WORD + bucket * self._bucket
        return begin, self._map.find(digest, begin, begin + self._bucket)

    def _slot(self, key: bytes) -> int:
        """
        Give the word at which the slot of *key* begins; one that is free becomes it.
        """
        begin, found = self._find(key)
        if found >= 0:
            return found // _WORD
        first, end = begin // _WORD, (begin + self._bucket) // _WORD
        for word in range(first, end, self._slot_words):
            if not any(self._counts(word)):
                at = word * _WORD
                self._map[at : at + _DIGEST] = self._digest(key)
                return word
        raise ServerBusy
