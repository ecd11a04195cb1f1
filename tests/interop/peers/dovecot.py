"""
Dovecot, with what makes many logins fast: it refuses a RETR with two arguments.
"""

from tests.interop.peers.base import MAIL_USER, Peer

_CONFIG = """
protocols = pop3
listen = 127.0.0.1
log_path = /var/log/dovecot.log
mail_location = maildir:~/Maildir
mail_max_userip_connections = 5000
mail_fsync = never
first_valid_uid = 100
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
default_process_limit = 1000
default_client_limit = 5000
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%u /etc/dovecot/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u /etc/dovecot/users
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = 5000
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service pop3 {{
  service_count = 1000
  process_min_avail = 2
  process_limit = 1000
}}
"""

_TLS = """
ssl = yes
ssl_cert = </etc/tls/certificate.pem
ssl_key = </etc/tls/key.pem
"""


class Dovecot(Peer):
    """
    Dovecot over Maildirs, with passwords for PLAIN and SCRAM-SHA-256.
    """

    name = "dovecot"
    packages = ("dovecot-pop3d",)
    accounts = {"dovecot": 101, "dovenull": 102}
    offers_tls = True
    logs = ("var/log/dovecot.log",)

    def configure(self) -> None:
        users = [
            f"{user}:{{PLAIN}}{password}:{MAIL_USER}:{MAIL_USER}::{self.home(user)}::\n"
            for user, password in self.users.items()
        ]
        self.write("etc/dovecot/users", "".join(users))
        # A listener of port 0 is none.
        config = _CONFIG.format(port=self.port, tls_port=self.tls_port)
        config += _TLS if self.tls else "ssl = no\n"
        self.write("etc/dovecot/test.conf", config)

    def command(self) -> list[str]:
        return ["/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot/test.conf"]
