"""
Proofs of knowing a password that is not sent: SCRAM and APOP, of users in a file.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred

from extretr.sasl.scram import ScramKeys
from extretr.server.schemes import FOR_SCRAM, IN_CLEAR, Account
from extretr.server.stand_ins import StandIns

#: Runs a function that takes long, in the turn of an address.
Run = Callable[[Callable[[], Any], str], "Deferred[Any]"]


class Proofs:
    """
    Checks proofs; a name that is not known looks like one that is.
    """

    def __init__(self, key: bytes, run: Run) -> None:
        """
        Args:
            key: what the salts of users without one are derived from.
            run: runs what takes long.
        """
        self._standIns = StandIns(key)
        self._run = run

    async def prove(
        self, credentials: Any, found: Account | None, able: Sequence[Account]
    ) -> bytes:
        """
        Give the name of a user who knows the password, by SCRAM.

        Args:
            credentials: an `extretr.server.credentials.IScram`.
            found: the account of the user, None where there is none.
            able: all accounts that SCRAM can be served by.

        Raises:
            UnauthorizedLogin: for all others; nobody can tell which names are known.
        """
        user: bytes = credentials.username
        if not able:
            raise UnauthorizedLogin
        keys = None
        if found is not None and found.scheme in FOR_SCRAM:
            keys = await self._keysOf(credentials, found)
        known = keys is not None
        if keys is None:
            # It looks like one of the known ones, always the same for a name.
            model = able[self._standIns.choose(user, len(able))]
            keys = await self._keysOf(credentials, model, stand_in=True)
        right = await credentials.prove(keys or self._standIns.keys(user))
        if not right or not known:
            raise UnauthorizedLogin
        return user

    async def _keysOf(
        self, credentials: Any, account: Account, *, stand_in: bool = False
    ) -> ScramKeys | None:
        user: bytes = credentials.username
        if account.scheme not in IN_CLEAR:
            keys = ScramKeys.parse(account.hash)
            if not stand_in:
                return keys
            return self._standIns.keys(user, keys.iterations, len(keys.salt))
        password, salt = account.octets, self._standIns.salt(user)
        if stand_in:
            # Nobody's, and yet it takes the time of somebody's.
            password = self._standIns.password(user)

        def derive() -> ScramKeys | None:
            try:
                return ScramKeys.of_password(password, salt)
            except ValueError:
                return None

        return await self._run(derive, getattr(credentials, "address", ""))

    def compare(self, credentials: Any, found: Account | None) -> bytes:
        """
        Give the name of a user whose digest is right, by APOP.

        Raises:
            UnauthorizedLogin: for all others.
        """
        user: bytes = credentials.username
        known = found is not None and found.scheme in IN_CLEAR
        password = found.octets if found and known else self._standIns.password(user)
        if not credentials.checkPassword(password) or not known:
            raise UnauthorizedLogin
        return user
