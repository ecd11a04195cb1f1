"""
How the messages of a maildrop are measured, when they are first asked for.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from twisted.logger import Logger

from extretr.errors import MessageChanged, Refusal, StoreUnavailable
from extretr.message import measuring
from extretr.offsets import Measured
from extretr.stores.entries import Entries, Entry
from extretr.stores.index import NONE, Index
from extretr.stores.steps import Cooperate

#: What says nothing about a message: the process, or the host, is short of something.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})


class Sizing:
    """
    The entries of a maildrop, and what measures them; a store says how one is opened.
    """

    # There are thousands of them.
    __slots__ = ("_cooperate", "_entries", "_gone", "_index")

    _log = Logger()

    def __init__(self, entries: Entries, index: Index, cooperate: Cooperate) -> None:
        self._entries = entries
        self._index = index
        self._cooperate = cooperate
        #: Indexes of those found to be no longer in the store, or not to be readable;
        #: and whether it is the latter.
        self._gone: dict[int, bool] = NONE

    # What a store says.

    def _openEntry(self, entry: Entry) -> tuple[Any, Callable[[], bool]]:
        """
        Open the stored form, with a check whether it is still the same.

        Raises:
            MessageChanged: where it is not what was listed.
        """
        raise NotImplementedError

    def _remember(self, entry: Entry, measured: Measured) -> None:
        """
        Keep for later sessions what was measured of a message.
        """
        self._index.remember(entry.key, entry.signature, measured)

    def _distrust(self, entry: Entry) -> None:
        """
        Let the next session look anew: a message was found to be another.
        """
        self._index.forget(entry.key)

    def _openListed(self, entry: Entry) -> tuple[Any, Callable[[], bool]]:
        try:
            return self._openEntry(entry)
        except MessageChanged:
            # Else the next session would trust what this one has found wrong.
            self._distrust(entry)
            raise

    def _measuredOne(self, index: int, result: Callable[[Any], Any]) -> Any:
        """
        Give *result* of an entry once it is measured: at once where it is.
        """
        entry = self._entries.at(index)
        if entry.measured is not None or index in self._gone:
            return result(entry)
        return self._measured([index], lambda: result(self._entries.at(index)))

    def _measuredAll(self, result: Callable[[], Any]) -> Any:
        """
        Give *result()* once all are measured: at once where they are.
        """
        missing = self._entries.unmeasured()
        first = next(missing, None)
        if first is None:
            return result()
        return self._measured(chain((first,), missing), result)

    def _measured(self, missing: Iterable[int], result: Callable[[], Any]) -> Any:
        """
        Give *result()* once all that is *missing* is measured: at once where it is.
        """
        steps = self._measuring(missing)
        # One small message is measured on the spot; more would hold the reactor.
        if next(steps, self) is self:
            return result()
        return self._cooperate(steps).addCallback(lambda _: result())

    def _measuring(self, indexes: Iterable[int]) -> Iterator[None]:
        begun = False
        for index in indexes:
            if index in self._gone:
                continue
            if begun:
                yield
            begun = True
            entry = self._entries.at(index)
            if entry.measured is not None or index in self._gone:
                # Another command, or session, was quicker.
                continue
            try:
                file, unchanged = self._openEntry(entry)
                yield from measuring(file, self._keeper(entry, unchanged))
            except MessageChanged:
                self._distrust(entry)
                self._isGone(index, False)
            except OSError as error:
                if error.errno in _PASSING:
                    # A list without the message would tell clients that it is gone.
                    self._log.failure("the maildrop cannot be read at present")
                    raise StoreUnavailable from None
                # It may be readable again later; now it cannot be listed.
                self._log.failure("cannot read a message of the maildrop")
                self._isGone(index, True)
        count = len(self._entries)
        if count and len(self._gone) == count and all(self._gone.values()):
            # It is not empty, and must not look as if it were.
            self._gone = NONE
            raise StoreUnavailable

    def _isGone(self, index: int, unreadable: bool) -> None:
        """
        Take note of a message that cannot be had.
        """
        self._gone = self._gone or {}
        self._gone[index] = unreadable

    def _keeper(
        self, entry: Entry, unchanged: Callable[[], bool]
    ) -> Callable[[Measured], None]:
        def keep(measured: Measured) -> None:
            if not unchanged():
                raise MessageChanged
            self._entries.learn(entry.index, measured)
            self._remember(entry, measured)

        return keep

    def _measuredOf(self, entry: Entry) -> Measured:
        if entry.measured is None:
            raise self._why(entry.index)
        return entry.measured

    def _why(self, index: int) -> Refusal:
        """
        Tell why a message that is listed cannot be had.
        """
        return StoreUnavailable() if self._gone.get(index) else MessageChanged()
