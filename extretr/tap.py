"""
The door for twistd: what ``twistd extretr run`` takes, and how it is wired.
"""

import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.portal import Portal
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.python import usage

from extretr.embedded import HOST, Embedded, data_folder
from extretr.interfaces import IStore
from extretr.server.accounts import PasswdFile
from extretr.server.checkers import OctetsChecker
from extretr.server.factory import MaildropFactory, MaildropRealm
from extretr.server.service import HashingThreads, Listener
from extretr.server.turns import cooperating
from extretr.stores.lock import MOST_TAKEOVER_AFTER
from extretr.stores.maildir import MaildirStore
from extretr.stores.mbox import MboxStore
from extretr.stores.paths import PathTemplate
from extretr.stores.unique_ids import UNIQUE_IDS
from extretr.tap_fetch import FetchOptions, fetch_service
from extretr.tap_options import OneLineOptions

LOOPBACK = f"interface={HOST}"

DEFAULT_LISTEN = f"tcp:8110:{LOOPBACK}"

MAIL_KINDS = ("maildir", "mbox", "mboxrd")


class RunOptions(OneLineOptions, AuthOptionMixin):
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
/etc/extretr/users; with TLS for the world: --listen
ssl:995:privateKey=key.pem:certKey=cert.pem.  "extretr password USER" prints a
line for the users file."""

    optParameters = [
        [
            "mail",
            "m",
            None,
            "Where maildrops rest: maildir:PATH, mbox:PATH or mboxrd:PATH."
            " %u is the user, %n the part before @, %d the domain.",
        ],
        [
            "users",
            "u",
            None,
            "Accounts: a passwd-file as Dovecot has it, user:{SCHEME}hash[:...]."
            " Or use --auth.",
        ],
        [
            "state",
            None,
            None,
            "Where the index and the session locks lie (may hold %u, %n, %d)."
            " [default: in the Maildir; for mbox the state folder of the user]",
        ],
        [
            "unique-ids",
            None,
            "name",
            "What UIDL gives for a Maildir: name, or what dovecot or courier gave,"
            " so that nobody who moves here downloads everything again.",
        ],
        [
            "takeover-after",
            None,
            "15",
            "Seconds that a login waits for a sign of life of the session that holds"
            f" the maildrop, before it takes over; at most {MOST_TAKEOVER_AFTER:g}.",
        ],
    ]

    optFlags = [
        [
            "allow-plaintext",
            None,
            "Take passwords without TLS from other hosts too.",
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
        known = bool(self["users"] or self["checkers"])
        if self["mail"] and not known:
            raise usage.UsageError("--mail needs --users FILE or --auth")
        if known and not self["mail"]:
            raise usage.UsageError("--users and --auth need --mail KIND:PATH")
        if self["users"] and self["checkers"]:
            raise usage.UsageError("--users and --auth exclude each other")
        if self["unique-ids"] not in UNIQUE_IDS:
            raise usage.UsageError(
                f"--unique-ids is one of {', '.join(sorted(UNIQUE_IDS))}"
            )
        self["takeover-after"] = _seconds(self["takeover-after"])
        if self["mail"]:
            self._checkMail()
        elif self["state"] is not None or self["unique-ids"] != "name":
            raise usage.UsageError("--state and --unique-ids need --mail KIND:PATH")

    def _checkMail(self) -> None:
        kind, _, path = self["mail"].partition(":")
        if kind not in MAIL_KINDS or not path:
            raise usage.UsageError(
                f"--mail is KIND:PATH, with KIND one of {', '.join(MAIL_KINDS)}"
            )
        if kind != "maildir" and self["unique-ids"] != "name":
            raise usage.UsageError("--unique-ids is for maildir: only")
        self["kind"] = kind
        self["template"] = _template("--mail", path)
        root = os.fsdecode(self["template"].root)
        if kind != "maildir" and not re.search("%[und]", path):
            # One mbox, whoever logs in.
            root = os.path.dirname(root)
        if not os.path.isdir(root):
            raise usage.UsageError(f"--mail: there is no folder {root}")
        if self["state"] is not None:
            state = os.path.abspath(self["state"])
            if "%" not in state:
                state = os.path.join(state, "%u")
            self["state"] = _template("--state", state)


class Options(OneLineOptions):
    """
    The options of ``twistd extretr``: its sub-commands.
    """

    # Else that of run would have "[options]" in the middle.
    synopsis = ""

    subCommands = [
        ["run", None, RunOptions, "Serve mail by POP3 (the default)."],
        ["fetch", None, FetchOptions, "Fetch mail by POP3, again and again."],
    ]
    defaultSubCommand = "run"

    longdesc = "Mail by POP3, resumable: 'twistd extretr run --help' tells how."


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_TAKEOVER_AFTER:
        raise usage.UsageError(
            f"--takeover-after is a number of seconds, at most {MOST_TAKEOVER_AFTER:g}"
        )
    return seconds


def _template(option: str, path: str) -> PathTemplate:
    try:
        return PathTemplate(os.fsencode(os.path.abspath(path)))
    except ValueError as error:
        raise usage.UsageError(f"{option}: {error}") from None


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    Wire the server together.

    Raises:
        SystemExit: with one line, where it cannot be.
    """
    if reactor is None:
        from twisted.internet import reactor
    run: Any = options.subOptions
    if options.subCommand == "fetch":
        return fetch_service(run, reactor)
    service = MultiService()
    threads = HashingThreads(reactor)
    threads.setServiceParent(service)
    listen = run["listen"] or [DEFAULT_LISTEN]
    if run["mail"]:
        mail, store = run["mail"], _store(run, reactor)
        checkers = run["checkers"] or [_accounts(run["users"], threads)]
    else:
        embedded = _embedded(listen)
        mail = f"maildir:{embedded.maildir}"
        store = MaildirStore(
            template=PathTemplate(os.fsencode(embedded.folder) + b"/mail/%u"),
            clock=reactor,
            cooperate=partial(cooperating, Cooperator()),
            takeover_after=run["takeover-after"],
        )
        checkers = [_accounts(str(embedded.users), threads)]
    portal = Portal(MaildropRealm(store), checkers)
    factory = MaildropFactory(portal, requireTLS=not run["allow-plaintext"])
    for description in listen:
        try:
            endpoint = serverFromString(reactor, description)
        except Exception as error:
            raise SystemExit(
                f"extretr: --listen {description}: {_why_not(description, error)}"
            ) from None
        Listener(description, endpoint, factory).setServiceParent(service)
    Logger("extretr").info("mail rests in {mail}", mail=mail)
    return service


def _why_not(description: str, error: Exception) -> str:
    """
    Tell in one line what a parser of endpoints says in errors of its own.
    """
    if description.startswith("systemd:") and isinstance(error, LookupError):
        return "systemd passed no such socket"
    return " ".join(str(error).split()) or type(error).__name__


def _store(run: Any, reactor: Any) -> IStore:
    common = {
        "template": run["template"],
        "clock": reactor,
        "cooperate": partial(cooperating, Cooperator()),
        "state": run["state"],
        "takeover_after": run["takeover-after"],
    }
    if run["kind"] == "maildir":
        return MaildirStore(unique_ids=run["unique-ids"], **common)
    return MboxStore(quoting=run["kind"] == "mboxrd", **common)


def _accounts(path: str, threads: HashingThreads) -> ICredentialsChecker:
    try:
        return PasswdFile(os.path.abspath(path), threads.run)
    except OSError as error:
        raise SystemExit(f"extretr: --users {path}: {error.strerror}") from None


def _embedded(listen: list[str]) -> Embedded:
    """
    Make the embedded default, and tell the terminal how to use it.

    It has a password that a terminal has shown, so it is for loopback only.
    """
    for description in listen:
        if not _is_loopback(description):
            raise SystemExit(
                f"extretr: --listen {description} is not tcp:PORT:interface=127.0.0.1:"
                " give --mail and --users too"
            )
    try:
        embedded = Embedded(Path(data_folder()))
    except OSError as error:
        raise SystemExit(
            f"extretr: cannot make {data_folder()}: {error.strerror}"
        ) from None
    _, port, *_ = listen[0].split(":")
    # The password belongs to a terminal alone.  It is told before the log begins,
    # and where stdout is no terminal (a log file, a journal), that is a log too.
    terminals = [each for each in (sys.stdout, sys.stderr) if each.isatty()]
    stream = terminals[0] if terminals else sys.stdout
    stream.write(embedded.advice(int(port), shown=bool(terminals)))
    stream.flush()
    return embedded


def _is_loopback(description: str) -> bool:
    kind, port, *rest = [*description.split(":"), ""]
    # What to type next names the port: one that is chosen later cannot be named.
    return kind == "tcp" and port.isdigit() and int(port) > 0 and LOOPBACK in rest
