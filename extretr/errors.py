"""
What can go wrong, as one family of exceptions.

A `Refusal` carries the answer that a client gets: an extended response code
(RFC 2449, section 8) or none, and a fixed text.  Neither ever holds the text
of another exception, nor a path.
"""

from typing import ClassVar


class ExtRetrError(Exception):
    """
    The root of all exceptions that this package raises on purpose.
    """


class Refusal(ExtRetrError):
    """
    A command that is answered with ``-ERR``.
    """

    response_code: ClassVar[bytes | None] = None
    text: ClassVar[bytes] = b"refused"

    def __str__(self) -> str:
        return self.reply.decode("ascii")

    @property
    def reply(self) -> bytes:
        """
        What follows ``-ERR`` on the wire.
        """
        if self.response_code is None:
            return self.text
        return b"[%b] %b" % (self.response_code, self.text)


class BadSyntax(Refusal):
    """
    An argument that is not what the command takes.
    """

    text = b"bad argument"


class NoSuchMessage(Refusal):
    """
    There is no message of that number, or it is marked as deleted.
    """

    response_code = b"NON-EXISTENT"
    text = b"no such message"


class OffsetOverrun(Refusal):
    """
    The offset lies beyond the size of the message (draft, section 3).
    """

    response_code = b"OFFSET-OVERRUN"
    text = b"message exists"


class SplitLineEnd(Refusal):
    """
    The offset lies between CR and LF where readers would not agree on the rest.
    """

    text = b"the offset splits a line end: step back one octet"


class MessageChanged(Refusal):
    """
    The stored message is not what was listed: replaced, truncated or gone.
    """

    text = b"the message has changed in the store"


class InUse(Refusal):
    """
    Another session that shows signs of life holds the maildrop (RFC 2449, 8.1.2).
    """

    response_code = b"IN-USE"
    text = b"maildrop is in use by another session"


class LockLost(Refusal):
    """
    A later login has taken the maildrop over: this session may delete nothing.
    """

    response_code = b"IN-USE"
    text = b"another session has taken over: nothing was deleted"


class StoreUnavailable(Refusal):
    """
    The store cannot be reached at present (RFC 3206, section 4).
    """

    response_code = b"SYS/TEMP"
    text = b"the mail store is not available, try again later"


class ServerBusy(Refusal):
    """
    The server cannot take on more at present (RFC 3206, section 4).
    """

    response_code = b"SYS/TEMP"
    text = b"the server is busy, try again later"


class TooManyConnections(ServerBusy):
    """
    There are as many connections as there may be, in all or from one address.
    """

    text = b"too many connections, try again later"


class TooManyLogins(ServerBusy):
    """
    As many logins as may be wait at one address, or for one user.
    """

    text = b"too many logins at once, try again later"


class LoginTooSoon(Refusal):
    """
    The user has logged in a short while ago (RFC 2449, section 8.1.1).
    """

    response_code = b"LOGIN-DELAY"
    text = b"too soon after the last login"


class ServerStops(Refusal):
    """
    The server takes on nothing new, since it is being stopped (RFC 3206, section 4).
    """

    response_code = b"SYS/TEMP"
    text = b"the server is being stopped, try again later"


class LoginUnavailable(Refusal):
    """
    Who it is cannot be found out at present (RFC 3206, section 4).
    """

    response_code = b"SYS/TEMP"
    text = b"logins cannot be checked, try again later"


class Misconfigured(Refusal):
    """
    The server has to be mended by somebody first (RFC 3206, section 4).
    """

    response_code = b"SYS/PERM"
    text = b"the server is misconfigured, its administrator has to see to it"


class ExchangeCancelled(Refusal):
    """
    The client has called its AUTH off (RFC 5034, section 4).
    """

    text = b"authentication cancelled"


class BadExchange(Refusal):
    """
    A SASL response that is not what the mechanism has.
    """

    text = b"the response is not what the mechanism demands"


class NotBase64(BadExchange):
    """
    A SASL response that is no base64 (RFC 5034, section 4).
    """

    text = b"the response is no base64"


class ResponseTooLong(BadExchange):
    """
    A SASL response that is longer than any may be.
    """

    text = b"the response is too long"


class NotAllDeleted(Refusal):
    """
    Some messages marked as deleted could not be removed (RFC 1939, section 6).
    """

    response_code = b"SYS/TEMP"
    text = b"some deleted messages not removed"


class NeedsUTF8(Refusal):
    """
    The header of the message has UTF-8, and the client is not in UTF-8 mode (RFC 6856).
    """

    response_code = b"UTF8"
    text = b"the message needs UTF-8 mode"


class UnsafeUser(ExtRetrError):
    """
    A user name that must never become part of a path.
    """
