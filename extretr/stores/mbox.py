"""
Mboxes: a file a user, the messages one after another in it.

Where messages begin and end is told in `extretr.stores.mbox_parse`; how they are
taken out in `extretr.stores.mbox_rewrite`.  Index, session lock and safety copies lie
in a state folder, one a mailbox: beside a mailbox others put their own files.
"""

import os
import re
import stat
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from extretr.coroutines import started
from extretr.errors import Refusal, StoreUnavailable
from extretr.interfaces import ISession, IStore
from extretr.stores.held import Held
from extretr.stores.index import Index
from extretr.stores.lock import SessionLock, make_state
from extretr.stores.maildrop import Maildrop, empty_maildrop
from extretr.stores.mbox_copy import SafetyCopy
from extretr.stores.mbox_layout import (
    MboxEntry,
    recall,
    remember,
    signature_of,
)
from extretr.stores.mbox_lock import LockedMailbox, MailboxLocks
from extretr.stores.mbox_maildrop import MboxMaildrop
from extretr.stores.mbox_parse import NotAnMboxError, Parsed, Parser, parsing
from extretr.stores.mbox_rewrite import recovering
from extretr.stores.paths import PathTemplate
from extretr.stores.settled import is_settled
from extretr.stores.steps import Cooperate, run

#: Attempts to read a mailbox that changes in spite of the locks.
ATTEMPTS = 3

_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9@_-]")


@implementer(IStore)
class MboxStore:
    """
    The mboxes of all users.
    """

    _log = Logger()

    def __init__(
        self,
        template: PathTemplate,
        clock: Any,
        cooperate: Cooperate,
        state: PathTemplate | None = None,
        takeover_after: float = 15.0,
        quoting: bool = False,
        lock_timeout: float = 20.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            template: where a user's mbox is.
            clock: an IReactorTime.
            cooperate: runs what takes long, a step a turn.
            state: below which index, lock and safety copy lie; the state folder of
                the system (for root) or of the user where it is None.
            takeover_after: see `SessionLock`.
            quoting: whether lines are unquoted, as mboxrd has them.
            lock_timeout: seconds to wait for other mail software.
            wall: the time that the file system's time stamps are made by.
        """
        self._template = template
        self._clock = clock
        self._cooperate = cooperate
        self._state = state
        self._takeover_after = takeover_after
        self._quoting = quoting
        self._wall = wall
        self._locks = MailboxLocks(clock, lock_timeout, wall)

    def openMaildrop(
        self, user: bytes, session: ISession | None
    ) -> "Deferred[Maildrop]":
        """
        Open a user's maildrop: see `IStore`.
        """
        return started(self._open(user, session))

    async def _open(self, user: bytes, session: ISession | None) -> Maildrop:
        path = os.path.abspath(self._template.expand(user))
        if not self._isThere(path):
            return empty_maildrop(self._cooperate)
        base = self._state.expand(user) if self._state else default_state()
        state = os.path.join(base, folder_name(path))
        lock = SessionLock(state + b"/lock", self._clock, self._takeover_after)
        held = lock.acquireNow(session)
        if held is None:
            make_state(state)
            held = await lock.acquire(session)
        try:
            return await self._openHeld(path, state, held)
        except FileNotFoundError:
            held.release()
            return empty_maildrop(self._cooperate)
        except NotAnMboxError:
            held.release()
            raise self._unavailable(path, "does not begin with a From_ line") from None
        except OSError:
            held.release()
            self._log.failure("a mailbox cannot be read")
            raise StoreUnavailable from None
        except BaseException:
            held.release()
            raise

    def _isThere(self, path: bytes) -> bool:
        """
        Tell whether the mailbox is there.

        Raises:
            StoreUnavailable: where the mail root is not, or it is no regular file.
        """
        root = os.path.abspath(self._template.root)
        if root == path:
            root = os.path.dirname(path)
        if not os.path.isdir(root):
            raise self._unavailable(root, "is not there: the mail root")
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        except OSError:
            self._log.failure("a mailbox cannot be reached")
            raise StoreUnavailable from None
        if not stat.S_ISREG(status.st_mode):
            raise self._unavailable(path, "is no regular file")
        return True

    async def _openHeld(self, path: bytes, state: bytes, held: Held) -> Maildrop:
        index = Index(os.path.join(state, b"index"))
        copy = SafetyCopy(state)
        copy.discardNew()
        entries, status = None, os.lstat(path)
        if not copy.exists():
            known = recall(index, signature_of(status), self._quoting)
            entries = await run(self._cooperate, known)
        if entries is None:
            entries, status = await self._read(path, index, copy)
        index.rest()
        return MboxMaildrop(
            path,
            status,
            self._quoting,
            self._locks,
            copy,
            entries,
            index,
            held,
            self._cooperate,
        )

    async def _read(
        self, path: bytes, index: Index, copy: SafetyCopy
    ) -> tuple[list[MboxEntry], os.stat_result]:
        """
        Read the mailbox through, and first finish what was begun in it.
        """
        locked = await self._locks.acquire(path)
        try:
            if copy.exists():
                await self._recover(path, locked, copy)
            for _ in range(ATTEMPTS):
                status = os.fstat(locked.descriptor)
                times = status.st_mtime_ns, status.st_ctime_ns
                settled = is_settled(*times, self._wall())
                messages = await self._parse(locked, status.st_size)
                if signature_of(os.fstat(locked.descriptor)) == signature_of(status):
                    break
            else:
                raise self._unavailable(path, "changes in spite of the locks")
        finally:
            locked.release()
        signature = signature_of(status) if settled else b""
        remembering = remember(index, messages, signature, self._quoting)
        return await run(self._cooperate, remembering), status

    async def _recover(
        self, path: bytes, locked: LockedMailbox, copy: SafetyCopy
    ) -> None:
        if not locked.writable:
            raise self._unavailable(path, "has to be repaired and is not ours to write")
        self._log.warn(
            "a rewrite of {path} was cut off and is being finished",
            path=path.decode("utf-8", "replace"),
        )
        try:
            steps = recovering(locked.descriptor, copy)
            await run(self._cooperate, steps, locked.refresh)
        finally:
            copy.close()

    async def _parse(self, locked: LockedMailbox, size: int) -> list[Parsed]:
        parser = Parser(self._quoting)
        steps = parsing(locked.descriptor, parser, 0, size)
        await run(self._cooperate, steps, locked.refresh)
        return parser.finish()

    def _unavailable(self, path: bytes, text: str) -> Refusal:
        self._log.error(
            "{path} {text}", path=path.decode("utf-8", "replace"), text=text
        )
        return StoreUnavailable()


def default_state() -> bytes:
    """
    Give the folder for the state of all mailboxes: the system's or the user's.
    """
    if os.geteuid() == 0:
        return b"/var/lib/extretr/mbox"
    home = os.environb.get(b"XDG_STATE_HOME", b"")
    if not os.path.isabs(home):
        home = os.path.expanduser(b"~/.local/state")
    return os.path.join(home, b"extretr/mbox")


def folder_name(path: bytes) -> bytes:
    """
    Name the state folder of the mailbox at *path*: no two are named alike.
    """
    # The first part is for human readers.
    plain = _NOT_PLAIN.sub(b"_", os.path.basename(path))[:64]
    return plain + b"-" + sha256(path).hexdigest()[:32].encode("ascii")
