r"""
A real ``twistd -n extretr run`` in a process of its own, for tests that need one.

::

    with RunningServer(users={b"alice": b"secret"}) as server:
        server.deliver(b"alice", b"1", b"Subject: hello\n\nhello\n")
        poplib.POP3("127.0.0.1", server.port)
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

#: The checkout, whose code and plugin the subprocesses use.
ROOT = Path(__file__).resolve().parents[2]

#: Seconds until a server that does not listen is given up.
PATIENCE = 30.0

_LISTENING = re.compile(r"listening on \S+ port (\d+)")


def twistd_command(*arguments: str) -> list[str]:
    """
    Give the command that runs twistd, also where no script of that name is installed.
    """
    start = "from twisted.scripts.twistd import run; run()"
    return [sys.executable, "-c", start, *arguments]


def environment(**more: str) -> dict[str, str]:
    """
    Give an environment in which Python and twistd find this checkout.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


class RunningServer:
    """
    A server on a free loopback port, with accounts and a store of its own.

    Without *mail*, each user has a Maildir below the server's folder.  With
    *options* that name ``--listen``, the port is that of the first listener; with
    ``--auth`` among them, *users* are not served.
    """

    def __init__(
        self,
        mail: str | None = None,
        users: Mapping[bytes, bytes] | None = None,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        twistd: Sequence[str] = (),
        launcher: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """
        Args:
            mail: what ``--mail`` gets.
            users: names and passwords; alice with "secret" where there are none.
            options: more options of ``extretr run``.
            env: more of the environment.
            twistd: more options of twistd itself.
            launcher: a command that runs the command that it is given.
            pass_fds: descriptors that the launcher inherits.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="extretr-running-"))
        self.users = {b"alice": b"secret"} if users is None else dict(users)
        self._log_path = self.folder / "twistd.log"
        self._output_path = self.folder / "output"
        if mail is None:
            mail = f"maildir:{self.folder}/mail/%u"
            for user in self.users:
                self._make_maildir(self.maildir(user))
        accounts = self.folder / "users"
        accounts.write_bytes(
            b"".join(
                b"%b:{PLAIN}%b\n" % (user, password)
                for user, password in self.users.items()
            )
        )
        self._arguments = ["--mail", mail, *options]
        if "--auth" not in options:
            self._arguments += ["--users", str(accounts)]
        if not any(option in ("--listen", "-l") for option in options):
            self._arguments += ["--listen", "tcp:0:interface=127.0.0.1"]
        self._twistd = twistd
        self._launcher = launcher
        self._pass_fds = pass_fds
        self._environment = environment(**(env or {}))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _make_maildir(folder: Path) -> None:
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """
        Start the server and wait until it listens; after `kill` it is another one.

        Raises:
            RuntimeError: with what the server said, where it does not listen.
        """
        self._log_path.unlink(missing_ok=True)
        command = twistd_command(
            "-n",
            *self._twistd,
            f"--pidfile={self.folder / 'twistd.pid'}",
            f"--logfile={self._log_path}",
            "extretr",
            "run",
            *self._arguments,
        )
        with self._output_path.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._launcher, *command],
                pass_fds=self._pass_fds,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while (found := _LISTENING.search(self.log())) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the server does not listen: {self.output()}{self.log()}"
                )
            time.sleep(0.02)
        self.port = int(found.group(1))

    def restart(self) -> None:
        """
        Kill the server, as a power cut does, and start it again on a new free port.
        """
        self.kill()
        self.start()

    @property
    def pid(self) -> int:
        """
        The server's process.
        """
        assert self._process is not None
        return self._process.pid

    def maildir(self, user: bytes) -> Path:
        """
        Give a user's Maildir, where the server has Maildirs of its own.
        """
        return self.folder / "mail" / os.fsdecode(user)

    def deliver(
        self, user: bytes, name: bytes, stored: bytes, folder: str = "new"
    ) -> Path:
        """
        Put a message in its stored form into a user's Maildir.
        """
        maildir = self.maildir(user)
        draft = maildir / "tmp" / os.fsdecode(name)
        draft.write_bytes(stored)
        return draft.rename(maildir / folder / os.fsdecode(name))

    def log(self) -> str:
        """
        Give what the server has logged so far.
        """
        try:
            return self._log_path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def output(self) -> str:
        """
        Give what the server has printed so far, outside its log.
        """
        try:
            return self._output_path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def wait_for_log(self, text: str, patience: float = PATIENCE) -> str:
        """
        Wait until the log holds *text*, and give the log.

        Raises:
            AssertionError: where it does not come.
        """
        deadline = time.monotonic() + patience
        while text not in (log := self.log()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} is not in the log:\n{log}")
            time.sleep(0.02)
        return log

    def kill(self) -> None:
        """
        Kill the server on the spot; its folder stays.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int | None:
        """
        Shut the server down, remove its folder, and give its exit status.
        """
        status = None
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                status = self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
