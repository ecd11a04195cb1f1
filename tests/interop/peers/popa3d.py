"""
Openwall's popa3d, over mboxes: it refuses a RETR with two arguments, and has no CAPA.
"""

import os
from pathlib import Path

from tests.interop.peers.base import MAIL_USER, Peer

#: Hashes are compared where the system keeps them, with no delay after a wrong one.
_PAM = """
auth required pam_unix.so nodelay
account required pam_unix.so
"""

_SEPARATOR = b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"


class Popa3d(Peer):
    """
    popa3d, started for each connection, with the users of the system that it sees.
    """

    name = "popa3d"
    # By itself it would listen on port 110 of all addresses; tcpserver does it here.
    packages = ("popa3d", "ucspi-tcp")
    accounts = {"mail": 8, "popa3d": 101}

    def mbox(self, user: str) -> Path:
        """
        Give a user's mailbox.
        """
        return self.root / "var/mail" / user

    def make_mailbox(self, user: str) -> None:
        os.chown(self.write(f"var/mail/{user}", b"", 0o600), MAIL_USER, MAIL_USER)

    def deliver(self, user: str, stored: bytes) -> None:
        """
        Append a message in its stored form, with LF, to a user's mailbox.

        Raises:
            ValueError: where it has a line that would begin another message.
        """
        if b"\nFrom " in b"\n" + stored:
            raise ValueError("a line begins with From")
        end = b"\n" if stored.endswith(b"\n") else b"\n\n"
        with self.mbox(user).open("ab") as file:
            file.write(_SEPARATOR + stored + end)

    def count(self, user: str) -> int:
        return (b"\n" + self.mbox(user).read_bytes()).count(b"\nFrom ")

    def configure(self) -> None:
        self.write("etc/pam.d/popa3d", _PAM)

    def command(self) -> list[str]:
        options = ["-v", "-H", "-R", "-l0", "-c1000", "-b1000"]
        return [
            "/usr/bin/tcpserver",
            *options,
            "127.0.0.1",
            str(self.port),
            "/usr/sbin/popa3d",
        ]
