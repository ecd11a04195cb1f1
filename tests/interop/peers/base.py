"""
What the servers have in common: a root of their own, users, Maildirs, a free port.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from passlib.hash import sha512_crypt

from tests import certificates
from tests.interop.peers import debian, isolated

#: Seconds until a server that does not answer is given up.
PATIENCE = 30.0

#: How often a port is chosen anew, where somebody else took it in between.
_ATTEMPTS = 3

#: Who owns the mail in a server's root: a number that is nobody's.
MAIL_USER = 5000


def free_port() -> int:
    """
    Give a port of 127.0.0.1 that nobody listens on now.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def hashed(password: str) -> str:
    """
    Hash a password as crypt(3) does, in as few rounds as it takes.
    """
    text: str = sha512_crypt.using(rounds=1000).hash(password)
    return text


class Peer:
    """
    A POP3 server of Debian on a free loopback port, with users of its own.

    It ends with the thread that made it at the latest.
    """

    #: The folder with its programs, and the packages that this is made of.
    name: ClassVar[str]
    packages: ClassVar[Sequence[str]]
    alone: ClassVar[Sequence[str]] = ()

    #: Its own users, by name and number.
    accounts: ClassVar[Mapping[str, int]] = {}

    #: Files in its root that it logs to.
    logs: ClassVar[Sequence[str]] = ()

    #: Whether it can be given a certificate here.
    offers_tls: ClassVar[bool] = False

    def __init__(
        self, users: Mapping[str, str] | None = None, tls: bool = False
    ) -> None:
        """
        Args:
            users: names and passwords; alice with "secret" where there are none.
            tls: offers STLS on `port`, and TLS from the start on `tls_port`.

        Raises:
            AssertionError: where the server cannot be had, or does not listen.
        """
        if tls and not self.offers_tls:
            raise ValueError(f"{self.name} is run without TLS here")
        self.users = {"alice": "secret"} if users is None else dict(users)
        self.tls = tls
        self.port = 0
        self.tls_port = 0
        self._delivered = 0
        self._process: subprocess.Popen[bytes] | None = None
        pristine = self.unpacked()
        running = debian.cache_folder() / "running"
        running.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=running))
        #: What the server takes for the whole file system.
        self.root = self.folder / "root"
        #: The authority, as PEM, that clients have to trust.
        self.certificate = self.folder / "authority.pem"
        try:
            debian.run("cp", "-al", pristine, self.root)
            self._write_accounts()
            for log in self.logs:
                self.write(log, "")
            for user in self.users:
                self.make_mailbox(user)
            if tls:
                self._write_certificate()
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """
        The process that all of the server's descend from.
        """
        assert self._process is not None
        return self._process.pid

    @classmethod
    def unpacked(cls) -> Path:
        """
        Give the folder with the server's programs, downloaded where it is not there.
        """
        return debian.unpacked(cls.name, cls.packages, cls.alone)

    def configure(self) -> None:
        """
        Write what the server reads at its start, for the ports as they are now.
        """
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """
        Give the command that runs the server, in its root and in the foreground.
        """
        raise NotImplementedError

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> Path:
        """
        Write a file in the server's root.
        """
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A new file always: the old one is a link to that of all other roots.
        target.unlink(missing_ok=True)
        target.touch(mode)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    @staticmethod
    def home(user: str) -> str:
        """
        Give a user's home, as the server sees it.
        """
        return f"/mail/{user}"

    def maildir(self, user: str) -> Path:
        """
        Give a user's Maildir, where the server has Maildirs.
        """
        return self.root / "mail" / user / "Maildir"

    def make_mailbox(self, user: str) -> None:
        """
        Make what a user's messages are kept in.
        """
        maildir = self.maildir(user)
        folders = [maildir / name for name in ("tmp", "new", "cur")]
        for folder in folders:
            folder.mkdir(parents=True)
        for folder in (maildir.parent, maildir, *folders):
            os.chown(folder, MAIL_USER, MAIL_USER)

    def deliver(self, user: str, stored: bytes) -> None:
        """
        Put a message in its stored form, with LF, into a user's mailbox.

        What is delivered later has the higher number.
        """
        self._delivered += 1
        count = self._delivered
        name = f"{1_000_000_000 + count}.M{count}P{os.getpid()}.peer"
        draft = self.maildir(user) / "tmp" / name
        draft.write_bytes(stored)
        os.chown(draft, MAIL_USER, MAIL_USER)
        draft.rename(self.maildir(user) / "new" / name)

    def count(self, user: str) -> int:
        """
        Count the messages that a user's mailbox has now.
        """
        folders = (self.maildir(user) / name for name in ("new", "cur"))
        return sum(len(list(folder.iterdir())) for folder in folders)

    def log(self) -> str:
        """
        Give what the server has printed and logged so far.
        """
        paths = [self.folder / "output", *(self.root / name for name in self.logs)]
        return "".join(
            path.read_text("utf-8", "replace") for path in paths if path.exists()
        )

    def stop(self) -> None:
        """
        End the server, and all processes of its, at once; remove its folder.
        """
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _write_accounts(self) -> None:
        """
        Write the users of the root's system: the server's own, and those with mail.
        """
        own = {"root": 0, **self.accounts, "vmail": MAIL_USER, "nobody": 65534}
        groups = [f"{name}:x:{number}:\n" for name, number in own.items()]
        users = [
            f"{name}:x:{number}:{number}::/:/bin/false\n"
            for name, number in own.items()
        ]
        users += [
            f"{user}:x:{MAIL_USER}:{MAIL_USER}::{self.home(user)}:/bin/sh\n"
            for user in self.users
        ]
        passwords = [
            f"{user}:{hashed(password)}:19000:0:99999:7:::\n"
            for user, password in self.users.items()
        ]
        self.write("etc/group", "".join(groups))
        self.write("etc/passwd", "".join(users))
        self.write("etc/shadow", "".join(passwords), 0o600)
        self.write("etc/hosts", "127.0.0.1 localhost\n")

    def _write_certificate(self) -> None:
        made = certificates.for_loopback()
        self.certificate.write_bytes(made.authority)
        self.write("etc/tls/certificate.pem", made.certificate)
        self.write("etc/tls/key.pem", made.key, 0o600)

    def _start(self) -> None:
        for _ in range(_ATTEMPTS):
            self.port = free_port()
            self.tls_port = free_port() if self.tls else 0
            self.configure()
            self._process = isolated.start(
                self.root, self.command(), self.folder / "output"
            )
            if self._listens():
                return
            self._kill()
        raise AssertionError(f"{self.name} does not listen:\n{self.log()}")

    def _listens(self) -> bool:
        """
        Wait until the server greets, or ends, or is given up; tell whether it greets.
        """
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._greets():
                return True
            time.sleep(0.02)
        return False

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as client:
                greeting = client.recv(512)
            if self.tls:
                socket.create_connection(("127.0.0.1", self.tls_port), 5).close()
        except OSError:
            return False
        return greeting.startswith(b"+OK")

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            isolated.kill(process)
