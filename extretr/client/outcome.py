"""
How a fetch ended, in a line for the user and in an exit status of sysexits.h.
"""

import os

from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.mail.pop3 import InsecureAuthenticationDisallowed, LineTooLong

from extretr.client.config import ConfigError
from extretr.client.fetch import GaveUp, Stopped
from extretr.client.journal import AlreadyRunningError, JournalDamagedError
from extretr.client.refusals import (
    NotAuthenticated,
    NotOffered,
    NotTrusted,
    PermanentFailure,
    ProtocolViolation,
)
from extretr.client.secrets import NoPassword
from extretr.client.wording import describe
from extretr.sasl import SaslError
from extretr.stores.appending import CannotDeliver, TargetBusy

#: For each kind of exception the exit status; the first that fits.
_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (Stopped, os.EX_TEMPFAIL),
    (GaveUp, os.EX_TEMPFAIL),
    (AlreadyRunningError, os.EX_TEMPFAIL),
    (TargetBusy, os.EX_TEMPFAIL),
    (CannotDeliver, os.EX_CANTCREAT),
    (JournalDamagedError, os.EX_DATAERR),
    (ConfigError, os.EX_CONFIG),
    (NoPassword, os.EX_NOPERM),
    (NotAuthenticated, os.EX_NOPERM),
    (SaslError, os.EX_NOPERM),
    (InsecureAuthenticationDisallowed, os.EX_UNAVAILABLE),
    (NotTrusted, os.EX_UNAVAILABLE),
    (NotOffered, os.EX_UNAVAILABLE),
    (PermanentFailure, os.EX_UNAVAILABLE),
    (ProtocolViolation, os.EX_PROTOCOL),
    (ConnectError, os.EX_TEMPFAIL),
    (ConnectionClosed, os.EX_TEMPFAIL),
    (OSError, os.EX_IOERR),
)

_KEPT = "what is held is kept for the next time"

#: What servers of something else do, each time that they are tried.
_NO_POP3 = (ProtocolViolation, LineTooLong)


def status_of(error: BaseException) -> int:
    """
    Give the exit status for what a fetch ended with.
    """
    if isinstance(error, GaveUp) and isinstance(error.__cause__, _NO_POP3):
        return os.EX_PROTOCOL
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return os.EX_SOFTWARE


def explain(error: BaseException) -> str:
    """
    Say in a line what a fetch ended with.
    """
    if isinstance(error, Stopped):
        return f"stopped; {_KEPT}"
    if isinstance(error, GaveUp):
        return f"gave up: {error}; {_KEPT}"
    if isinstance(error, InsecureAuthenticationDisallowed):
        return (
            "the server offers no TLS, and the password is not sent in clear "
            "(--plaintext would)"
        )
    if isinstance(error, NotAuthenticated):
        return f"the server refuses the login: {error}"
    if isinstance(error, NotTrusted):
        return f"the server is not trusted: {error}"
    if status_of(error) == os.EX_IOERR:
        return f"{describe(error)}; {_KEPT}"
    if status_of(error) == os.EX_SOFTWARE:
        return f"{type(error).__name__}: {describe(error)}"
    return describe(error)
