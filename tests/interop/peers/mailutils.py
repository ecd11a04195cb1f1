"""
GNU mailutils' POP3 server: it adds a header field to what it sends, unannounced.

So the sizes that it lists are too small.  It refuses a RETR with two arguments.
"""

from tests.interop.peers.base import Peer

_CONFIG = """
mode daemon;
foreground yes;
pidfile /run/pop3d.pid;
max-children 1000;
timeout 600;
mailbox {{
  mailbox-pattern "maildir:/mail/${{user}}/Maildir";
}}
auth {{
  authentication generic:system;
  authorization system;
}}
server 127.0.0.1:{port} {{ }}
logging {{
  syslog no;
}}
"""


class Mailutils(Peer):
    """
    GNU mailutils over Maildirs, with the users of the system that it sees.
    """

    name = "mailutils"
    packages = ("mailutils-pop3d",)
    accounts = {"mail": 8}

    def configure(self) -> None:
        locks = self.root / "var/lock/subsys/mail"
        locks.mkdir(parents=True, exist_ok=True)
        locks.chmod(0o1777)
        self.write("etc/test.conf", _CONFIG.format(port=self.port))

    def command(self) -> list[str]:
        return ["/usr/sbin/pop3d", "--no-site-config", "--config-file=/etc/test.conf"]
