"""
Courier's POP3 server: it ignores what follows the message number of a RETR.
"""

from tests.interop.peers.base import MAIL_USER, Peer, hashed
from tests.interop.peers.debian import run

#: Both daemons, each with the environment that its packaged settings make.
_START = """
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
. /etc/courier/pop3d
exec /usr/sbin/couriertcpd -address=127.0.0.1 -maxprocs=1000 -maxperip=1000 \\
    -maxperc=1000 $TCPDOPTS {port} /usr/lib/courier/courier/courierpop3login \\
    /usr/lib/courier/courier/courierpop3d Maildir
"""


class Courier(Peer):
    """
    Courier over Maildirs, with its own database of users.
    """

    name = "courier"
    # A mail transport agent, which courier-pop asks for, is not run here.
    packages = ("courier-base", "courier-authlib-userdb", "dash")
    alone = ("courier-pop",)
    accounts = {"courier": 101}

    def configure(self) -> None:
        users = [
            f"{user}\tuid={MAIL_USER}|gid={MAIL_USER}|home={self.home(user)}"
            f"|mail={self.home(user)}/Maildir|pop3pw={hashed(password)}\n"
            for user, password in self.users.items()
        ]
        self.write("etc/courier/userdb", "".join(users), 0o600)
        run("chroot", self.root, "/usr/sbin/makeuserdb")
        settings = self.root / "etc/courier/authdaemonrc"
        self.write(
            "etc/courier/authdaemonrc",
            settings.read_text() + '\nauthmodulelist="authuserdb"\n',
        )
        (self.root / "run/courier/authdaemon").mkdir(parents=True, exist_ok=True)
        self.write("etc/courier/start", "set -a\n" + _START.format(port=self.port))

    def command(self) -> list[str]:
        return ["/bin/sh", "-e", "/etc/courier/start"]
