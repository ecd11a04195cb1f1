"""
One account's fetch: connection after connection, until all is there.
"""

from typing import Any

from OpenSSL.SSL import Error as TLSFailure
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as Silence
from twisted.logger import Logger
from twisted.mail.pop3 import LineTooLong

from extretr.client.connection import Connector
from extretr.client.download import Doubt
from extretr.client.events import Connected, Cut, Finished, Warned
from extretr.client.journal import Intent
from extretr.client.protocol import ResumingPOP3Client
from extretr.client.refusals import (
    LoginDelay,
    NotAuthenticated,
    PermanentFailure,
    ProtocolViolation,
    ServerRefusal,
    TextBeforeTLS,
)
from extretr.client.session import Session
from extretr.client.wording import describe
from extretr.client.work import Work
from extretr.errors import ExtRetrError

#: What another connection may not meet again.
PASSING = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    LineTooLong,
    Silence,
    TLSFailure,
    Doubt,
    ProtocolViolation,
    ServerRefusal,
)

#: What is of these, and will not pass by itself.
LASTING = (NotAuthenticated, PermanentFailure, TextBeforeTLS)

_log = Logger()


class GaveUp(ExtRetrError):
    """
    Attempt after attempt has brought nothing.
    """


class Stopped(ExtRetrError):
    """
    The fetch was stopped from outside; what is held is kept.
    """


class Fetch:
    """
    The fetch of one account's mail.
    """

    def __init__(
        self,
        connector: Connector,
        work: Work,
        clock: Any,
        attempts: int = 10,
        policy: Any = None,
    ) -> None:
        """
        Args:
            connector: connects and logs in.
            work: what there is to do, its journal open.
            clock: an IReactorTime.
            attempts: connections that bring nothing, one after another, before it gives
                up; 0 for any number.
            policy: gives the seconds to wait after so many of these; Twisted's, with
                jitter, where it is None.
        """
        self._connector = connector
        self._work = work
        self._clock = clock
        self._attempts = attempts
        self._policy = policy
        self._client: ResumingPOP3Client | None = None
        self._stopping = False
        # What to cancel in order to stop: a wait, or a connection that is being made.
        self._waiting: Deferred[Any] | None = None
        self._connections = 0
        self._told_plain = False

    def run(self) -> "Deferred[None]":
        """
        Fetch all that is to be fetched; the Deferred fires when it is done.

        Raises:
            Stopped: where `stop` was called.
            GaveUp: where the link, or the server, does not come back.
            NotAuthenticated, NotTrusted, NotOffered: where the server is no good.
            OSError, ExtRetrError: where mail cannot be kept or delivered.
        """
        return Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """
        End the fetch as soon as what is held is safe.
        """
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._client is not None:
            self._client.abort()
        for asking in tuple(self._work.asking):
            asking.cancel()

    async def _run(self) -> None:
        work = self._work
        if not work.dry_run:
            # First what was done by half: it may keep the target from being usable.
            await self._settle()
            surprise = work.target.prepare()
            if surprise:
                work.tell(Warned, text=surprise)
            work.target.sweep()
            work.journal.partials.tidy()
        work.delivered = work.journal.delivered()
        fruitless = 0
        while not self._stopping:
            gained = work.gained
            try:
                await self._session()
                break
            except (CancelledError, ConnectingCancelledError):
                if not self._stopping:
                    raise
            except PASSING as error:
                if work.done:
                    # There are servers that do not answer to QUIT.
                    break
                if self._stopping:
                    continue
                if isinstance(error, LASTING):
                    raise
                fruitless = 0 if work.gained > gained else fruitless + 1
                if self._attempts and fruitless >= self._attempts:
                    raise GaveUp(describe(error)) from error
                await self._wait(error, fruitless)
        else:
            raise Stopped
        work.tell(
            Finished,
            delivered=work.messages,
            octets=work.octets,
            saved=work.saved,
            connections=self._connections,
        )

    async def _settle(self) -> None:
        """
        Find out what became of what an earlier run was about to deliver.
        """
        work = self._work
        done, undone = [], []
        for intent in work.journal.intents():
            if intent.target != work.target_name:
                text = (
                    f"an earlier run was delivering to {intent.target} when it ended: "
                    "a message there may come again"
                )
                work.tell(Warned, text=text)
                undone.append(intent.unique_id)
            elif await self._is_delivered(intent):
                done.append(intent.done)
            else:
                undone.append(intent.unique_id)
        if done or undone:
            work.journal.settle(done, undone)

    async def _is_delivered(self, intent: Intent) -> bool:
        try:
            return bool(await self._work.target.settle(intent.intent, None))
        except FileNotFoundError:
            # All of the target is gone, and so is what was delivered to it.
            return False

    async def _session(self) -> None:
        work = self._work
        try:
            connecting = Deferred.fromCoroutine(self._connector.connect(self._opened))
            client, offered = await self._until_stopped(connecting)
            resuming = b"EXT-RETR" in offered
            self._tell_connected(client, resuming)
            await Session(client, work, resuming and work.policy.resume).run()
        except BaseException:
            if self._client is not None:
                self._client.abort()
            raise
        else:
            # In good order: there are servers that delete after they have said so.
            client.transport.loseConnection()
        finally:
            self._client = None

    def _opened(self, client: ResumingPOP3Client) -> None:
        self._client = client
        self._connections += 1
        if self._stopping:
            client.abort()

    def _tell_connected(self, client: ResumingPOP3Client, resuming: bool) -> None:
        self._work.tell(
            Connected,
            host=self._connector.host,
            secure=client.isSecure,
            resuming=resuming,
        )
        if not resuming and not self._told_plain:
            self._told_plain = True
            text = "the server does not offer to resume: a message comes whole or not"
            self._work.tell(Warned, text=text)

    async def _wait(self, error: Exception, fruitless: int) -> None:
        if self._policy is None:
            # Most fetches come without, and it takes long to import.
            from twisted.application.internet import backoffPolicy

            self._policy = backoffPolicy(initialDelay=1.0, maxDelay=60.0)
        seconds = self._policy(fruitless)
        if isinstance(error, LoginDelay):
            seconds = max(seconds, error.seconds)
        self._work.tell(Cut, why=describe(error), wait=seconds)
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, waiting.callback, None)
        try:
            await self._until_stopped(waiting)
        except CancelledError:
            pass

    async def _until_stopped(self, what: "Deferred[Any]") -> Any:
        self._waiting = what
        try:
            return await what
        finally:
            self._waiting = None
