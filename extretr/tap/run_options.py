"""
What ``twistd extretr run`` takes.
"""

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from extretr.server.checkers import OctetsChecker
from extretr.tap.limit_options import LimitOptions
from extretr.tap.mail_options import MailOptions
from extretr.tap.monitor_options import MonitorOptions
from extretr.tap.process_options import ProcessOptions
from extretr.tap.sasl_options import SaslOptions


class RunOptions(
    MailOptions,
    SaslOptions,
    LimitOptions,
    MonitorOptions,
    ProcessOptions,
    AuthOptionMixin,
):
    """
    The options of ``twistd extretr run``.
    """

    supportedInterfaces = (IUsernamePassword,)

    synopsis = "[--mail KIND:PATH --users FILE] [--listen ENDPOINT]... [options]"

    longdesc = """\
Serve mail by POP3, so that an interrupted download goes on where it stopped
(RETR msg offset).  With no option at all a sample maildrop is served on
loopback, and what to type next is printed.

Examples: twistd -n extretr run --mail maildir:/srv/mail/%u --users
/etc/extretr/users; with TLS for the world: --certificate cert.pem --key key.pem
--listen tcp:110 --listen-tls tcp:995.  "extretr password USER" prints a line
for the users file."""

    optParameters = [
        [
            "users",
            "u",
            None,
            "Accounts: a passwd-file as Dovecot has it, user:{SCHEME}hash[:...]."
            " Or use --auth.",
        ],
    ]

    optFlags = [
        [
            "allow-plaintext",
            None,
            "Take passwords without TLS from other hosts too.",
        ],
        [
            "strict-utf8",
            None,
            "Hold messages with UTF-8 in their header back from clients that have not"
            " said UTF8 (RFC 6856). [default: everybody gets them as they are]",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """
        Listen on a Twisted endpoint (default tcp:8110:interface=127.0.0.1), repeatable.
        """
        self["listen"].append(description)

    opt_l = opt_listen

    def addChecker(self, checker: ICredentialsChecker) -> None:
        """
        Take a checker that --auth names.
        """
        if IUsernamePassword in checker.credentialInterfaces:
            checker = OctetsChecker(checker)
        super().addChecker(checker)

    def parseArgs(self, *rest: str) -> None:
        """
        Take no arguments.

        Raises:
            UsageError: where there are any.
        """
        if rest:
            raise usage.UsageError(f"unexpected argument {rest[0]!r}")

    def postOptions(self) -> None:
        """
        Check all that can be checked before anything is started.

        Raises:
            UsageError: with one line that says what to do.
        """
        self["checkers"] = self.get("credCheckers", [])
        sources = ("users", "checkers", "token-check", "certificate-user")
        known = any(self[source] for source in sources)
        if self["mail"] and not known:
            raise usage.UsageError("--mail needs --users FILE or --auth")
        if known and not self["mail"]:
            raise usage.UsageError("accounts need --mail KIND:PATH")
        if self["users"] and self["checkers"]:
            raise usage.UsageError("--users and --auth exclude each other")
        super().postOptions()
