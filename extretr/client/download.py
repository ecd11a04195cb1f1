"""
One message on its way: what is held of it already, and what comes.

What is held is asked for again in its last octets, and compared: where they are not
the same, the message is not the one that was begun, and nothing is spliced.  What comes
is kept in memory at first, since most messages are short, and then in a partial.
"""

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.logger import Logger

from extretr.client.partial import Partial, Partials
from extretr.client.refusals import ProtocolViolation
from extretr.errors import ExtRetrError

#: Octets that are asked for again and compared.
OVERLAP = 1024

#: Octets kept in memory before they go to the disk.
SPILL = 256 * 1024

#: Seconds for which octets may be in memory alone, or on the disk and not synced.
SYNC_EVERY = 5.0

#: What a message may exceed twice its announced size by: some servers count a line
#: end as one octet, but nobody sends for ever.
_MORE = 1024 * 1024

_log = Logger()

_SIZE = re.compile(rb"(?:^|\s)([0-9]{1,18})(?:\s|$)")


class Doubt(ExtRetrError):
    """
    What is held may not be of the message that the server sends: begin again.
    """


class Source(Protocol):
    """
    A message that has come whole.
    """

    #: Canonical octets.
    size: int

    def pieces(self) -> Iterator[bytes]:
        """
        Give the canonical octets, in chunks.
        """


class InMemory:
    """
    A short message that has come whole.
    """

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.size = len(octets)

    def pieces(self) -> Iterator[bytes]:
        """
        Give the canonical octets, at once.
        """
        yield self.octets


class Download:
    """
    The download of one message, from where it stopped the last time.
    """

    def __init__(
        self,
        unique_id: bytes,
        announced: int,
        partials: Partials,
        seconds: Callable[[], float],
        resuming: bool,
        begun: Callable[[int], object],
        progress: Callable[[int], object],
    ) -> None:
        """
        Look for what is held.

        Args:
            unique_id: of the message.
            announced: octets that the server's list has for it.
            partials: where parts are held.
            seconds: the time, by a clock that nobody sets.
            resuming: whether what is held may be used, and kept for later.
            begun: gets the octets that were held, when the message begins to come.
            progress: gets the octets held, as they grow.

        Raises:
            OSError: where the partial cannot be read.
            Doubt: where it is of another message.
        """
        self._unique_id = unique_id
        self._announced = announced
        self._partials = partials
        self._seconds = seconds
        self._resuming = resuming
        self._begun = begun
        self._progress = progress
        self._partial: Partial | None = None
        self._memory: list[bytes] = []
        self._in_memory = 0
        self._synced_at: float | None = None
        #: Canonical octets held before.
        self.resumed_at = 0
        #: What to ask the server for: canonical octets that it need not send.
        self.offset = 0
        # What has to come first.
        self._overlap = b""
        if resuming:
            self._take_up()
        else:
            partials.discard(unique_id)

    def _take_up(self) -> None:
        partial = self._partials.find(self._unique_id)
        if partial is None:
            return
        if partial.label.announced != self._announced:
            partial.discard()
            raise Doubt("the server announces another size than before")
        begin = partial.size - OVERLAP
        if begin > 0 and partial.read(begin - 1, begin) == b"\r":
            # Readers differ on what comes after half a line end.
            begin -= 1
        if begin <= 0:
            # As much would be asked for again as is held.
            partial.discard()
            return
        self._partial = partial
        self.resumed_at = partial.size
        self.offset = begin
        self._overlap = partial.read(begin, partial.size)

    @property
    def is_begun(self) -> bool:
        """
        Whether the server has begun to send the message.
        """
        return self._synced_at is not None

    @property
    def held(self) -> int:
        """
        Canonical octets held.
        """
        return (self._partial.size if self._partial else 0) + self._in_memory

    def started(self, text: bytes) -> None:
        """
        Take the text of the ``+OK`` line.

        Raises:
            Doubt: where it has another size for a message that is gone on with.
        """
        self._synced_at = self._seconds()
        found = _SIZE.search(text) if self.offset else None
        # One that resumes tells the size of the whole (draft, section 2.2).
        if found is not None and int(found[1]) != self._announced:
            raise Doubt("the server announces another size than before")
        self._begun(self.resumed_at)

    def received(self, octets: bytes) -> None:
        """
        Take canonical octets as they come.

        Raises:
            Doubt: where they are not those that are held.
            ProtocolViolation: where there is no end of them.
            OSError: where they cannot be kept.
        """
        if self._overlap:
            length = min(len(octets), len(self._overlap))
            if octets[:length] != self._overlap[:length]:
                raise Doubt("the message is not the one that was begun")
            self._overlap, octets = self._overlap[length:], octets[length:]
            if not octets:
                return
        now = self._seconds()
        late = self._synced_at is not None and now - self._synced_at >= SYNC_EVERY
        if self._partial is not None:
            self._partial.append(octets)
        else:
            self._memory.append(octets)
            self._in_memory += len(octets)
            if self._in_memory >= SPILL or late:
                self._spill()
        if late and self._partial is not None:
            self._partial.sync()
            self._synced_at = now
        if self.held > 2 * self._announced + _MORE:
            self._resuming = False
            raise ProtocolViolation("the message does not end")
        self._progress(self.held)

    def _spill(self) -> None:
        begun = self._partials.begin(self._unique_id, self._announced, self._resuming)
        self._partial = begun
        octets, self._memory, self._in_memory = self._memory, [], 0
        begun.append(b"".join(octets))

    def finish(self) -> Source:
        """
        Give the message, which has come to its terminating line.

        Raises:
            Doubt: where it was gone on with, and is not what was announced.
        """
        if self._overlap:
            raise Doubt("the message ends before what is held of it")
        if self.resumed_at and self.held != self._announced:
            raise Doubt("the message does not end at the size that was announced")
        if self._partial is not None:
            return self._partial
        return InMemory(b"".join(self._memory))

    def cut(self) -> int:
        """
        Keep what is held for the next time; give the octets that are held since this.

        What cannot be kept, on a full disk say, is lost, and no more than that.
        """
        if not self._resuming:
            self.discard()
            return 0
        gained = 0
        try:
            if self._partial is None and self._in_memory > OVERLAP:
                self._spill()
            if self._partial is not None:
                gained = self._partial.size - self.resumed_at
                self._partial.sync()
        except OSError as error:
            _log.warn("a part of a message cannot be kept: {why}", why=str(error))
        if self._partial is not None:
            self._partial.close()
        self._memory, self._in_memory = [], 0
        return gained

    def discard(self) -> None:
        """
        Remove what is held.
        """
        self._memory, self._in_memory = [], 0
        if self._partial is not None:
            self._partial.discard()
            self._partial = None
