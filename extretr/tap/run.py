"""
How the server of ``twistd extretr run`` is wired together.
"""

import os
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.cred.portal import Portal
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Cooperator
from twisted.logger import Logger

from extretr.interfaces import IStore
from extretr.server.accounts import PasswdFile
from extretr.server.entering import BrakedRealm
from extretr.server.factory import MaildropFactory, MaildropRealm
from extretr.server.hashing import HashingThreads
from extretr.server.meter import Meter
from extretr.server.proxied import ProxiedFactory
from extretr.server.reloading import Reloads
from extretr.server.service import Listener
from extretr.server.turns import cooperating
from extretr.stores.maildir import MaildirStore
from extretr.stores.mbox import MboxStore
from extretr.stores.paths import PathTemplate
from extretr.tap.checkers import checkers_of, users_in
from extretr.tap.limit_options import brakes_of, session_limits
from extretr.tap.process import process_services
from extretr.tap.sample import DEFAULT_LISTEN, offer_sample
from extretr.tap.tls_options import secured, tls_of


def run_service(run: Any, reactor: Any) -> IService:
    """
    Give the service that serves mail as the options *run* have it.

    Raises:
        SystemExit: with one line, where it cannot be.
    """
    service = MultiService()
    threads = HashingThreads(reactor)
    threads.setServiceParent(service)
    tls = tls_of(run, reactor)
    listen = run["listen"]
    if not listen and not run["listen-tls"]:
        listen = [DEFAULT_LISTEN]
    if run["mail"]:
        mail, store = run["mail"], _store(run, reactor)
        checkers = checkers_of(run, reactor, threads)
    else:
        embedded = offer_sample(listen)
        mail = f"maildir:{embedded.maildir}"
        store = MaildirStore(
            template=PathTemplate(os.fsencode(embedded.folder) + b"/mail/%u"),
            clock=reactor,
            cooperate=partial(cooperating, Cooperator()),
            takeover_after=run["takeover-after"],
        )
        checkers = [users_in(str(embedded.users), threads)]
    reloads = Reloads()
    for checker in checkers:
        if isinstance(checker, PasswdFile):
            reloads.add(checker.name, checker.reload)
    if tls is not None:
        reloads.add("certificate", tls.reload)
    brakes, meter = brakes_of(run, reactor), Meter()
    realm = BrakedRealm(MaildropRealm(store), brakes, meter)
    factory = MaildropFactory(
        Portal(realm, checkers),
        requireTLS=not run["allow-plaintext"],
        tls=tls,
        apop=bool(run["apop"]),
        strictUTF8=bool(run["strict-utf8"]),
        meter=meter,
        **session_limits(run, brakes),
    )
    for description in listen:
        _listener("--listen", description, factory, reactor).setServiceParent(service)
    for description in run["listen-tls"]:
        listener = _listener(
            "--listen-tls", description, secured(tls, factory), reactor
        )
        listener.setServiceParent(service)
    process_services(service, run, reactor, factory.sessions, reloads)
    Logger("extretr").info("mail rests in {mail}", mail=mail)
    return service


def _listener(option: str, description: str, factory: Any, reactor: Any) -> Listener:
    inner = description.removeprefix("haproxy:")
    if inner != description:
        if inner.startswith(("ssl:", "tls:")):
            # A proxy speaks for its client first, before any TLS.
            raise SystemExit(
                f"extretr: {option} {description}: use --certificate and"
                " --listen-tls haproxy:tcp:..."
            )
        factory = ProxiedFactory(reactor, factory)
    try:
        endpoint = serverFromString(reactor, inner)
    except Exception as error:
        raise SystemExit(
            f"extretr: {option} {description}: {_why_not(inner, error)}"
        ) from None
    return Listener(description, endpoint, factory)


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
