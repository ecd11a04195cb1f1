"""
A run of the fetcher: account after account, once or again and again.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from extretr.client.account import Account
from extretr.client.connection import Connector, trust_root_of
from extretr.client.delivery import filter_of, target_of
from extretr.client.events import Event, Failed
from extretr.client.fetch import Fetch, Stopped
from extretr.client.journal import Journal
from extretr.client.outcome import explain, status_of
from extretr.client.places import account_folder
from extretr.client.work import Policy, Work


class Run:
    """
    Fetches accounts, one after another: a thin link is not to be shared.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        accounts: Sequence[Account],
        secret_of: Callable[[Account], Callable[[], bytes]],
        emit: Callable[[Event], object],
        state: Path,
        output: BinaryIO,
        now: Callable[[], float],
        every: float | None = None,
        dry_run: bool = False,
    ) -> None:
        """
        Args:
            reactor: connects, runs commands, tells the time.
            accounts: what to fetch.
            secret_of: gives what gives the password of an account, at each login.
            emit: gets what happens.
            state: the folder below which each account has its own.
            output: the standard output.
            now: seconds since the epoch.
            every: seconds from the end of a round to the next one; None for one round.
            dry_run: whether to say only what would be done.
        """
        self._reactor = reactor
        self._accounts = accounts
        self._secret_of = secret_of
        self._emit = emit
        self._state = state
        self._output = output
        self._now = now
        self._every = every
        self._dry_run = dry_run
        self._stopping = False
        self._fetch: Fetch | None = None
        self._pause: Deferred[None] | None = None
        #: The exit status: that of the first account that failed.
        self.status = os.EX_OK

    def start(self) -> "Deferred[int]":
        """
        Begin; the Deferred fires with the exit status when all is done.
        """
        return Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """
        End as soon as what is held is safe.
        """
        self._stopping = True
        if self._fetch is not None:
            self._fetch.stop()
        if self._pause is not None:
            self._pause.cancel()

    async def _run(self) -> int:
        while not self._stopping:
            self.status = os.EX_OK
            for account in self._accounts:
                await self._one(account)
                if self._stopping:
                    break
            if self._every is None or self._stopping:
                break
            await self._wait(self._every)
        return self.status

    async def _wait(self, seconds: float) -> None:
        pause: Deferred[None] = Deferred(lambda _: call.cancel())
        self._pause = pause
        call = self._reactor.callLater(seconds, pause.callback, None)
        try:
            await pause
        except CancelledError:
            pass
        finally:
            self._pause = None

    async def _one(self, account: Account) -> None:
        try:
            await self._account(account)
        except Exception as error:
            status = status_of(error)
            if status == os.EX_SOFTWARE:
                self._log.failure("the fetch of {name} has failed", name=account.name)
            if isinstance(error, Stopped):
                self._stopping = True
                if self._every is not None:
                    # To be stopped is how a daemon ends.
                    return
            self.status = self.status or status
            event = Failed(account=account.name, why=explain(error), status=status)
            self._emit(event)
        finally:
            self._fetch = None

    async def _account(self, account: Account) -> None:
        secret = self._secret_of(account)
        folder = account_folder(self._state, account.host, account.port, account.user)
        connector = Connector(
            self._reactor,
            account.host,
            account.port,
            account.user.encode(),
            secret,
            implicit_tls=account.tls == "implicit",
            plaintext=account.plaintext,
            trust_root=trust_root_of(account.ca_file),
            authentication=account.auth,
            timeout=account.timeout,
            rate_limit=account.limit_rate,
        )
        with Journal(folder, self._now) as journal:
            work = Work(
                account=account.name,
                policy=policy_of(account),
                journal=journal,
                target=target_of(
                    account, self._reactor, self._output, self._now, folder
                ),
                target_name=str(account.to),
                seconds=self._reactor.seconds,
                now=self._now,
                emit=self._emit,
                wanted=filter_of(account, self._reactor, folder),
                dry_run=self._dry_run,
            )
            if self._stopping:
                raise Stopped
            self._fetch = Fetch(connector, work, self._reactor, account.attempts)
            await self._fetch.run()
            if work.failed:
                self.status = self.status or os.EX_TEMPFAIL


def policy_of(account: Account) -> Policy:
    """
    Give what an account says of what to fetch and to delete.
    """
    return Policy(
        delete_after=account.delete_after,
        max_size=account.max_size,
        headers_of_large=account.oversize == "headers",
        resume=account.resume,
        partial_days=account.partial_days,
    )
