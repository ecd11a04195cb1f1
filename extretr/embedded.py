"""
What ``twistd extretr run`` serves when it is told nothing: one account, one Maildir.

Both lie in the user's data directory, made on the first run and kept.
"""

import os
import random
import secrets
import shlex
import shutil
from email.message import EmailMessage
from pathlib import Path

USER = "demo"

HOST = "127.0.0.1"

#: Octets of the attachment of the sample message.
SAMPLE_OCTETS = 3 * 1024 * 1024

_SAMPLE = "1000000000.M0P0.extretr"


class Embedded:
    """
    The embedded default, in a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        """
        Make what is not there yet.

        Raises:
            OSError: where it cannot be made.
        """
        self.folder = folder
        self.maildir = folder / "mail" / USER
        self.users = folder / "users"
        #: The account once more, as curl reads it where no password must be shown.
        self.netrc = folder / "netrc"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        #: None where the user has made it a hash, or removed it.
        self.password = self._password()
        if self.password is not None:
            line = f"machine {HOST} login {USER} password {self.password}\n"
            _write(self.netrc, line)
        self._deliver_sample()

    def _password(self) -> str | None:
        """
        Give the password of the account, generated on the first run.

        The file is the user's from then on: it is read, and never written again.
        """
        try:
            lines = self.users.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            password = secrets.token_urlsafe(12)
            _write(self.users, f"{USER}:{{PLAIN}}{password}\n")
            return password
        for line in lines:
            user, _, fields = line.partition(":")
            secret = fields.partition(":")[0]
            if user == USER and secret.startswith("{PLAIN}"):
                return secret.removeprefix("{PLAIN}") or None
        return None

    def _deliver_sample(self) -> None:
        """
        Put the sample message into a Maildir that is made here, and only then.
        """
        if self.maildir.exists():
            # The mail is the user's now; a sample that was deleted stays deleted.
            return
        # A first run that is cut short leaves no Maildir without the sample.  The name
        # is one that no user can have.
        draft = self.maildir.with_name(".new")
        shutil.rmtree(draft, ignore_errors=True)
        for name in ("tmp", "cur", "new"):
            (draft / name).mkdir(mode=0o700, parents=True)
        (draft / "new" / _SAMPLE).write_bytes(sample())
        draft.rename(self.maildir)

    def advice(self, port: int, shown: bool) -> str:
        """
        Tell whoever sits at the terminal what to type next.

        Unless it may be *shown*, the commands take the password from a file.
        """
        server = f"pop3://{HOST}:{port}"
        if self.password is None:
            password, account = f"see {self.users}", f"-u {USER}"
        elif shown:
            password = self.password
            account = f"-u {shlex.quote(f'{USER}:{password}')}"
        else:
            password = f"see {self.users}"
            account = f"--netrc-file {shlex.quote(str(self.netrc))}"
        # Without its file, the password is asked for.
        netrc = f" --netrc {shlex.quote(str(self.netrc))}" if self.password else ""
        fetch = f"extretr fetch pop3://{USER}@{HOST}:{port} --to maildir:fetched{netrc}"
        return f"""\
extretr serves a sample maildrop from {self.folder}
  server: {HOST}, port {port}    user: {USER}    password: {password}

Fetch its message, press Ctrl-C after some seconds, and fetch again:
  {fetch} --limit-rate 500K
  {fetch}

By hand: fetch it, and pull the plug after a million octets:
  curl -s {account} {server}/1 | head -c 1000000 > part.eml
Fetch the rest, from the octet after those:
  curl -s {account} -X "RETR 1 1000000" {server}/ >> part.eml
Compare with a download that was never cut:
  curl -s {account} {server}/1 -o whole.eml && cmp part.eml whole.eml && echo same

To serve real mail: twistd -n extretr run --mail maildir:/srv/mail/%u --users FILE
"""


def _write(path: Path, text: str) -> None:
    """
    Write a file that is whole or not there, for the user only.
    """
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text, "utf-8")
    draft.replace(path)


def data_folder() -> Path:
    """
    Give this package's folder in the user's data directory (XDG base directories).
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return folder / "extretr"


def sample() -> bytes:
    """
    Give the sample message: always the same octets, some four mebioctets of them.
    """
    message = EmailMessage()
    message["From"] = "extretr <postmaster@localhost>"
    message["To"] = f"{USER}@localhost"
    message["Subject"] = "A message worth resuming"
    message["Date"] = "Thu, 17 Feb 2000 12:00:00 +0000"
    message["Message-ID"] = "<sample@extretr.invalid>"
    message.set_content(
        "This message has an attachment of some megabytes.\n\n"
        "Cut its download off in the middle, and fetch the rest with\n"
        "RETR 1 OFFSET.\n"
        ".\n"
        ".. and lines that begin with dots come through unharmed.\n"
    )
    noise = random.Random(1939).randbytes(SAMPLE_OCTETS)
    message.add_attachment(
        noise, "application", "octet-stream", filename="attachment.bin"
    )
    message.set_boundary("=_extretr-sample")
    return message.as_bytes()
