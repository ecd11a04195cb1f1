"""
How many sessions a user may have: asked when it is known who it is, before the maildrop
is opened.
"""

from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from extretr.coroutines import awaited, started
from extretr.errors import LoginTooSoon, TooManyLogins
from extretr.interfaces import IBrakes
from extretr.server.meter import Meter


async def counted(
    counting: Any,
    undo: Callable[..., Any],
    *arguments: Any,
    refused: Callable[[Any], bool] = bool,
) -> Any:
    """
    Give the answer of what counts something; to cancel is to want it no more.

    What is counted all the same, when nobody waits for the answer any longer, is taken
    back when it comes.

    Args:
        counting: the answer, or a Deferred of it.
        undo: takes it back.
        arguments: of what takes it back.
        refused: whether an answer means that it was not counted.
    """
    if not isinstance(counting, Deferred):
        # So it mostly is, several times a session.
        return counting
    answer: Deferred[Any] = Deferred()

    def came(result: Any) -> None:
        if not answer.called:
            answer.callback(result)
        elif not refused(result):
            tell(undo, *arguments)

    def failed(reason: Failure) -> None:
        if not answer.called:
            answer.errback(reason)

    counting.addCallbacks(came, failed)
    return await answer


def tell(function: Callable[..., Any], *arguments: Any) -> None:
    """
    Tell what needs no answer; that it fails is logged.
    """
    try:
        told = function(*arguments)
    except Exception:
        _lost(Failure())
    else:
        if isinstance(told, Deferred):
            told.addErrback(_lost)


def _lost(reason: Failure) -> None:
    Logger(__name__).failure("it cannot be told what is to count", failure=reason)


class _Logout:
    """
    What ends a session: it costs less than a closure, and there are thousands.
    """

    __slots__ = ("_brakes", "_logout", "_user")

    def __init__(self, brakes: IBrakes, user: Any, logout: Callable[[], Any]) -> None:
        self._brakes = brakes
        self._user = user
        self._logout = logout

    def __call__(self) -> Any:
        tell(self._brakes.leave, self._user)
        return self._logout()


@implementer(IRealm)
class BrakedRealm:
    """
    A realm whose users have so many sessions at once, and not too soon.
    """

    def __init__(self, original: IRealm, brakes: IBrakes, meter: Meter) -> None:
        self._original = original
        self._brakes = brakes
        self._meter = meter

    def requestAvatar(
        self, avatarId: Any, mind: Any, *interfaces: Any
    ) -> "Deferred[Any]":
        """
        Give the avatar, as the other realm does.

        Raises:
            LoginTooSoon, TooManyLogins: where a limit is reached.
        """
        return started(self._enter(avatarId, mind, *interfaces))

    async def _enter(self, user: Any, mind: Any, *interfaces: Any) -> Any:
        brakes = self._brakes
        limit = await counted(brakes.enter(user), brakes.leave, user)
        if limit:
            self._meter.refused(limit)
            raise LoginTooSoon if limit == "login delay" else TooManyLogins
        try:
            interface, avatar, logout = await awaited(
                self._original.requestAvatar, user, mind, *interfaces
            )
        except BaseException:
            tell(brakes.leave, user)
            raise
        return interface, avatar, _Logout(brakes, user, logout)
