"""
Twisted's own checkers (``--auth``), made fit for names and passwords in octets.

POP3 has octets; on Python 3 some of these checkers compare text to them, or give
text as the avatar's name.
"""

from typing import Any

from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ICredentialsChecker)
class OctetsChecker:
    """
    A checker over another, whose avatars' names are octets.
    """

    credentialInterfaces = (IUsernamePassword,)

    _log = Logger()

    def __init__(self, original: Any) -> None:
        if isinstance(original, InMemoryUsernamePasswordDatabaseDontUse):
            # What came from a command line is text.
            original.users = {
                _octets(user): _octets(password)
                for user, password in original.users.items()
            }
        self.original = original

    def requestAvatarId(self, credentials: Any) -> "Deferred[bytes | tuple[()]]":
        """
        Ask the other checker; an error in it is a refusal and a log line.
        """
        asked = maybeDeferred(self.original.requestAvatarId, credentials)
        return asked.addCallbacks(_octets, self._refuse)

    def _refuse(self, reason: Failure) -> Failure:
        if reason.check(LoginFailed):
            return reason
        if not reason.check(CancelledError):
            # Its text and traceback may hold the password.
            self._log.error(
                "{checker} failed: {error}",
                checker=type(self.original).__name__,
                error=type(reason.value).__name__,
            )
        return Failure(UnauthorizedLogin())


def _octets(name: Any) -> Any:
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
