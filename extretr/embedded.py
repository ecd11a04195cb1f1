"""
What ``twistd extretr run`` serves when it is told nothing: one account, one Maildir.

Both lie in the user's data directory, made on the first run and kept.
"""

import os
import random
import secrets
import stat
from email.message import EmailMessage
from pathlib import Path

USER = "demo"

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
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.password = self._password()
        self._deliver_sample()

    def _password(self) -> str:
        """
        Give the password of the account, generated on the first run.
        """
        try:
            user, _, secret = self.users.read_text("utf-8").strip().partition(":")
        except FileNotFoundError:
            user, secret = "", ""
        if user == USER and secret.startswith("{PLAIN}") and len(secret) > 7:
            return secret.removeprefix("{PLAIN}").partition(":")[0]
        password = secrets.token_urlsafe(12)
        draft = self.users.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.chmod(stat.S_IRUSR | stat.S_IWUSR)
        draft.write_text(f"{USER}:{{PLAIN}}{password}\n", "utf-8")
        draft.replace(self.users)
        return password

    def _deliver_sample(self) -> None:
        """
        Put the sample message into a Maildir that is made here, and only then.
        """
        if self.maildir.exists():
            # The mail is the user's now; a sample that was deleted stays deleted.
            return
        for name in ("tmp", "cur", "new"):
            (self.maildir / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.maildir / "tmp" / _SAMPLE
        draft.write_bytes(sample())
        draft.rename(self.maildir / "new" / _SAMPLE)

    def advice(self, host: str, port: int) -> str:
        """
        Tell whoever sits at the terminal what to type next.
        """
        server = f"pop3://{host}:{port}"
        account = f"-u {USER}:{self.password}"
        return f"""\
extretr serves a sample maildrop from {self.folder}
  server: {host}, port {port}    user: {USER}    password: {self.password}

Fetch its message, and pull the plug after a million octets:
  curl -s {account} {server}/1 | head -c 1000000 > part.eml
Fetch the rest, from the octet after those:
  curl -s {account} -X "RETR 1 1000000" {server}/ >> part.eml
Compare with a download that was never cut:
  curl -s {account} {server}/1 -o whole.eml && cmp part.eml whole.eml && echo same

To serve real mail: twistd -n extretr run --mail maildir:/srv/mail/%u --users FILE
"""


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
