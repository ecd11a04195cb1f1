"""
Messages that fit in one chunk: read, encoded and answered in one go.

Of a message of 4 KiB the octets cost less than the objects that a transfer is made of,
and the system calls in which it looks at the file twice.
"""

from time import perf_counter
from typing import Any

from twisted.python.failure import Failure

from extretr.server.language import LanguageMixin
from extretr.syntax import success
from extretr.wire import encode_whole

#: Octets of the stored form, at most, of a message that is read in one go.
SHORT = 64 * 1024


class ShortMixin(LanguageMixin):
    """
    How a session answers RETR of a short message.
    """

    _highest: int

    #: Whether a subclass leaves all as it is that RETR passes on its way.
    _isUnchanged = False

    def _answersAtOnce(self, line: bytes) -> bool:
        # From the line to the method of its command it is ten calls, which take as
        # long as the system calls of a short message.
        if not line.startswith(b"RETR "):
            return False
        # To ask for it makes it, and it stays: an idle session does without.
        own = self.__dict__
        if (
            not self._isUnchanged
            or self._mailbox is None
            or self._stopping
            or self.state != "COMMAND"
            # An object may have been given its own.
            or "do_RETR" in own
            or "lineReceived" in own
            or "state_COMMAND" in own
            or "processCommand" in own
        ):
            return False
        begun, number = perf_counter(), line[5:]
        if not number.isdigit() or len(number) > 9:
            return False
        try:
            return self._sendShort(int(number) - 1, begun)
        except Exception:
            self._replyTo(Failure())
            return True

    def _sendShort(self, index: int, begun: float) -> bool:
        """
        Send a short message as a whole; tell whether it was possible, and is done.
        """
        if self.strictUTF8 and not self.utf8Mode:
            return False
        response = whole_response(self._mailbox, index)
        if response is None:
            return False
        if index >= self._highest:
            self._highest = index + 1
        self.transport.write(response)
        self._tellRetrieved(0, perf_counter() - begun)
        return True


def whole_response(mailbox: Any, index: int) -> bytes | None:
    """
    Give the whole response to RETR of a short message, at once.

    None says that it takes another way, be it only to say what is wrong: whatever is
    not as it should be is found again there, and told there.
    """
    # What stands around a mailbox, and passes on the rest, may have its own way.
    read = getattr(type(mailbox), "readShort", None)
    if read is None:
        return None
    found = read(mailbox, index, SHORT)
    if found is None:
        return None
    size, stored = found
    return retrieved(size) + encode_whole(stored)


def retrieved(size: int, held: int = 0) -> bytes:
    """
    Format the response line of RETR.

    Args:
        size: canonical octets of the whole message: a resumed download sees by it that
            the message is the same.
        held: the offset.
    """
    if held:
        return success(b"%d octets (%d to come)" % (size, size - held))
    return b"+OK %d octets\r\n" % size
