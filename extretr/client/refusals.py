"""
What a server refuses, and what goes wrong between it and the client.

A refusal is Twisted's `ServerErrorResponse`, told apart by its extended response
code (RFC 2449, section 8; RFC 3206; the draft, section 3).
"""

import re
from typing import Any, ClassVar

from twisted.mail.pop3 import POP3ClientError, ServerErrorResponse

from extretr.errors import ExtRetrError

_CODE = re.compile(rb"\[([^\]\[\x00-\x20]+)\] ?")


class ServerRefusal(ServerErrorResponse, ExtRetrError):
    """
    The server has answered ``-ERR``.
    """

    code: ClassVar[bytes | None] = None

    def __init__(self, reason: bytes, consumer: Any = None) -> None:
        super().__init__(reason, consumer)
        #: What follows ``-ERR`` and the response code: for a human.
        self.text: bytes = _CODE.sub(b"", reason, count=1)

    def __str__(self) -> str:
        return " ".join(self.text.decode("utf-8", "backslashreplace").split())


class InUse(ServerRefusal):
    """
    Another session has the maildrop (RFC 2449, section 8.1.2): wait.
    """

    code = b"IN-USE"


class LoginDelay(ServerRefusal):
    """
    The last login was too short a time ago (RFC 2449, section 8.1.1): wait.
    """

    code = b"LOGIN-DELAY"
    #: Seconds to be waited from login to login, as far as the server says.
    seconds: float = 0.0


class TemporaryFailure(ServerRefusal):
    """
    The server has a problem that will pass (RFC 3206, section 4): wait.
    """

    code = b"SYS/TEMP"


class PermanentFailure(ServerRefusal):
    """
    The server has a problem that somebody must solve (RFC 3206, section 4).
    """

    code = b"SYS/PERM"


class NotAuthenticated(ServerRefusal):
    """
    User name and password are not right (RFC 3206, section 5): do not try again.
    """

    code = b"AUTH"


class NonExistent(ServerRefusal):
    """
    The message is not there (draft, section 3).
    """

    code = b"NON-EXISTENT"


class OffsetOverrun(ServerRefusal):
    """
    The offset is beyond the size of the message (draft, section 3).
    """

    code = b"OFFSET-OVERRUN"


_BY_CODE = {
    kind.code: kind
    for kind in (
        InUse,
        LoginDelay,
        TemporaryFailure,
        PermanentFailure,
        NotAuthenticated,
        NonExistent,
        OffsetOverrun,
    )
}


def refusal(reason: bytes, consumer: Any = None) -> ServerRefusal:
    """
    Give the exception for what follows ``-ERR``.
    """
    code = _CODE.match(reason)
    kind = _BY_CODE.get(code[1].upper(), ServerRefusal) if code else ServerRefusal
    return kind(reason, consumer)


class ProtocolViolation(POP3ClientError, ExtRetrError):
    """
    What the server sent is not POP3; the connection is given up.
    """


class TextBeforeTLS(ProtocolViolation):
    """
    Octets came in clear behind the answer to STLS: somebody may have put them there.
    """


class NotTrusted(POP3ClientError, ExtRetrError):
    """
    The server has not proved to be the one that is wanted.
    """


class NotOffered(POP3ClientError, ExtRetrError):
    """
    The server does not list the capability that this needs.
    """
