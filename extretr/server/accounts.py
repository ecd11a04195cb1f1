"""
Accounts from a passwd-file as Dovecot has it: ``user:{SCHEME}hash[:...]``.

The file is read again when it has changed.  A new version that cannot be read, or
that has nothing but bad lines, keeps the accounts of the old one.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from secrets import token_bytes
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from extretr.coroutines import started
from extretr.errors import LoginUnavailable
from extretr.sasl.scram import ScramKeys
from extretr.server.credentials import IChangingChecker, IScram
from extretr.server.proofs import Proofs, Run
from extretr.server.schemes import FOR_SCRAM, SCHEMES, Account

#: Slow verifications that may wait for a thread; more are told to try again.
MOST_WAITING = 100

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SECRET = re.compile(r"\A\{(?P<scheme>[A-Za-z0-9.-]+)\}(?P<hash>.*)\Z", re.DOTALL)


def parse_line(line: bytes) -> tuple[bytes, Account] | None:
    """
    Read one line: a user and the account, None for a comment or an empty line.

    Raises:
        ValueError: where it is neither; the text holds no secret.
    """
    line = line.rstrip(b"\r\n")
    if not line.strip() or line.startswith(b"#"):
        return None
    user, *fields = line.split(b":")
    if not user or not fields:
        raise ValueError("it is not user:{SCHEME}hash")
    if _CONTROL.search(user):
        raise ValueError("the user's name holds a control octet")
    secret = fields[0].decode("utf-8", "surrogateescape")
    found = _SECRET.match(secret)
    account = Account("CRYPT", secret)
    if found is not None:
        account = Account(found["scheme"].upper(), found["hash"])
    if not account.hash:
        raise ValueError("it has no password")
    if account.scheme == "SCRAM-SHA-256":
        ScramKeys.parse(account.hash)
    return user, account


def read_accounts(
    path: str, complain: Callable[[int, str], object]
) -> tuple[dict[bytes, Account], int]:
    """
    Give the accounts in a file, and the number of lines that are none.

    Args:
        path: of the file.
        complain: is told the number of a line, and what is wrong with it.

    Raises:
        OSError: where it cannot be read.
    """
    accounts: dict[bytes, Account] = {}
    bad = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                parsed = parse_line(line)
            except ValueError as error:
                bad += 1
                complain(number, str(error))
                continue
            if parsed is None:
                continue
            user, account = parsed
            if user in accounts:
                complain(number, "the user has a line already")
                continue
            if account.scheme not in SCHEMES:
                complain(number, f"unknown scheme {account.scheme}")
            accounts[user] = account
    return accounts, bad


@implementer(ICredentialsChecker, IChangingChecker)
class PasswdFile:
    """
    Checks names and passwords against a passwd-file.
    """

    credentialInterfaces: tuple[Any, ...] = (IUsernamePassword, IScram)

    _log = Logger()

    def __init__(
        self, path: str, run: Run, *, apop: bool = False, key: bytes | None = None
    ) -> None:
        """
        Args:
            path: the file.
            run: runs a slow verification where it does not stall other sessions.
            apop: whether APOP is checked too, of users whose password is in clear.
            key: what the salts of users without one are derived from; random for None.

        Raises:
            OSError: where the file cannot be read.
        """
        self._path = path
        #: What it is called in the log.
        self.name = f"users file {path}"
        self._run = run
        self._waiting = 0
        self._proofs = Proofs(token_bytes(32) if key is None else key, self._inThread)
        if apop:
            self.credentialInterfaces = (
                *self.credentialInterfaces,
                IUsernameHashedPassword,
            )
        self._version = self._stat()
        self._take(self._read()[0])

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        Give the name of a user whose password is right; a Deferred that may fail.

        Whoever is not known is refused as one whose password is wrong, and takes as
        long.
        """
        self._refresh()
        if IScram.providedBy(credentials):
            found = self._accounts.get(credentials.username)
            proving = self._proofs.prove(credentials, found, self._able)
            return Deferred.fromCoroutine(proving)
        if IUsernameHashedPassword.providedBy(credentials):
            found = self._accounts.get(credentials.username)
            return self._proofs.compare(credentials, found)
        return started(self._checkPassword(credentials))

    def knows(self, user: bytes) -> bool:
        """
        Tell whether the file has a line for a user.
        """
        self._refresh()
        return user in self._accounts

    def checks(self, interface: Any) -> bool:
        """
        Tell whether every user can log in so: see `IChangingChecker`.
        """
        self._refresh()
        if interface is IScram:
            return 0 < len(self._able) == len(self._accounts)
        return True

    async def _checkPassword(self, credentials: Any) -> bytes:
        user = credentials.username
        found = self._accounts.get(user)
        account = found
        if found is not None and found.scheme not in SCHEMES:
            self._cannot(user, found, "unknown scheme")
            account = None
        if account is None:
            account = self._decoy(user)
        address = getattr(credentials, "address", "")
        try:
            right = await self._verify(account, credentials.password, address)
        except LoginUnavailable:
            raise
        except Exception as error:
            # A hash that cannot be verified is refused as a wrong password is.  A
            # peer that hung up meanwhile has cancelled it.
            if account is found and not isinstance(error, CancelledError):
                self._cannot(user, account, type(error).__name__)
            right = False
        if account is not found or not right:
            raise UnauthorizedLogin
        return user

    def reload(self) -> str:
        """
        Read the file again, changed or not, and tell what was read.

        Raises:
            OSError, ValueError: where it holds no accounts; the old ones stay.
        """
        version = self._stat()
        accounts, bad = self._read()
        if bad and not accounts:
            raise ValueError("bad lines only")
        self._version = version
        self._take(accounts)
        return f"{len(accounts)} accounts"

    def _decoy(self, user: bytes) -> Account:
        """
        Give an account that takes a wrong password's time, always the same for a name.

        Raises:
            UnauthorizedLogin: where there is none.
        """
        if not self._usable:
            raise UnauthorizedLogin
        # hash() of octets has another key in each process: nobody can tell which.
        return self._usable[hash(user) % len(self._usable)]

    def _cannot(self, user: bytes, account: Account, why: str) -> None:
        self._log.error(
            "the password of {user} cannot be verified ({scheme}): {why}",
            user=user.decode("utf-8", "replace"),
            scheme=account.scheme,
            why=why,
        )

    async def _verify(self, account: Account, password: bytes, address: str) -> bool:
        scheme = SCHEMES[account.scheme]
        if not scheme.slow:
            return scheme.verify(password, account.hash)
        verify = partial(scheme.verify, password, account.hash)
        return bool(await self._inThread(verify, address))

    def _inThread(self, function: Callable[[], Any], address: str) -> "Deferred[Any]":
        """
        Run a function that takes long, in the turn of an address; give its result.
        """
        if self._waiting >= MOST_WAITING:
            return maybeDeferred(_tooMany)
        self._waiting += 1
        verified: Deferred[Any] = Deferred()

        def verify() -> Any:
            # Nobody waits for the result where the peer has hung up.
            return False if verified.called else function()

        def done(result: Any) -> Any:
            self._waiting -= 1
            return result

        # Cancelling what is given out does not reach what waits for a thread, which
        # counts until it had its turn.
        self._run(verify, address).addBoth(done).chainDeferred(verified)
        return verified

    def _stat(self) -> tuple[int, int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _refresh(self) -> None:
        """
        Read the file again where it has changed; keep what is known where it fails.
        """
        try:
            version = self._stat()
            if version != self._version:
                accounts, bad = self._read()
                self._version = version
                if accounts or not bad:
                    self._take(accounts)
                else:
                    self._log.error(
                        "users file {path} has bad lines only, the accounts stay as"
                        " they were",
                        path=self._path,
                    )
        except OSError as error:
            self._log.error(
                "users file {path} cannot be read, the accounts stay as they were:"
                " {error}",
                path=self._path,
                error=error.strerror,
            )

    def _take(self, accounts: dict[bytes, Account]) -> None:
        self._accounts = accounts
        self._usable = [each for each in accounts.values() if each.scheme in SCHEMES]
        self._able = [each for each in self._usable if each.scheme in FOR_SCRAM]

    def _read(self) -> tuple[dict[bytes, Account], int]:
        return read_accounts(self._path, self._complain)

    def _complain(self, number: int, what: str) -> None:
        self._log.warn(
            "users file {path}, line {number}: {what}",
            path=self._path,
            number=number,
            what=what,
        )


def _tooMany() -> bool:
    raise LoginUnavailable
