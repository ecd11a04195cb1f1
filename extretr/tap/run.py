"""
How the server of ``twistd extretr run`` is wired together.
"""

import os
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.cred.portal import Portal
from twisted.internet.task import Cooperator
from twisted.logger import Logger

from extretr.interfaces import IStore
from extretr.server.accounts import PasswdFile
from extretr.server.entering import BrakedRealm
from extretr.server.factory import MaildropFactory, MaildropRealm
from extretr.server.hashing import HashingThreads
from extretr.server.reloading import Reloads
from extretr.server.turns import Slice, cooperating
from extretr.stores.maildir import MaildirStore
from extretr.stores.mbox import MboxStore
from extretr.stores.paths import PathTemplate
from extretr.tap.checkers import checkers_of, users_in
from extretr.tap.limit_options import brakes_of, session_limits
from extretr.tap.listening import listeners, plain_endpoints
from extretr.tap.monitor_options import Monitor, checks_of, listening
from extretr.tap.process import Handed, Process, WorkerProcess
from extretr.tap.sample import offer_sample
from extretr.tap.tls_options import tls_of
from extretr.tap.workers import supervised


def run_service(run: Any, reactor: Any) -> IService:
    """
    Give the service that serves mail as the options *run* have it.

    Raises:
        SystemExit: with one line, where it cannot be.
    """
    if run["workers"] == 1:
        return serving(run, reactor, Process(reactor, run["stop-after"]))
    # What a worker would find wrong is told before any is started.
    serving(run, reactor, WorkerProcess(reactor, run["stop-after"]))
    return supervised(run, reactor)


def serving(
    run: Any, reactor: Any, process: Process, handed: Handed | None = None
) -> IService:
    """
    Give the service that serves in this process.

    Args:
        run: the options.
        reactor: runs the process.
        process: what this process does beside serving.
        handed: what a supervisor has handed over.

    Raises:
        SystemExit: with one line, where it cannot be.
    """
    handed = handed or Handed()
    service = MultiService()
    threads = HashingThreads(reactor)
    threads.setServiceParent(service)
    tls = tls_of(run, reactor)
    if run["mail"]:
        mail, store = run["mail"], _store(run, reactor)
        checkers = checkers_of(run, reactor, threads, handed.users_key)
    else:
        embedded = offer_sample(plain_endpoints(run))
        mail = f"maildir:{embedded.maildir}"
        store = MaildirStore(
            template=PathTemplate(os.fsencode(embedded.folder) + b"/mail/%u"),
            clock=reactor,
            cooperate=partial(cooperating, Cooperator(Slice)),
            takeover_after=run["takeover-after"],
        )
        checkers = [users_in(str(embedded.users), threads)]
    reloads = Reloads()
    for checker in checkers:
        if isinstance(checker, PasswdFile):
            reloads.add(checker.name, checker.reload)
    if tls is not None:
        reloads.add("certificate", tls.reload)
    monitor = Monitor(run, reactor)
    brakes, meter = handed.brakes or brakes_of(run, reactor), monitor.meter()
    realm = BrakedRealm(MaildropRealm(store), brakes, meter)
    factory = MaildropFactory(
        Portal(realm, checkers),
        clock=reactor,
        requireTLS=not run["allow-plaintext"],
        tls=tls,
        apop=bool(run["apop"]),
        strictUTF8=bool(run["strict-utf8"]),
        meter=meter,
        **session_limits(run, brakes),
        **handed.attributes,
    )
    made = list(listeners(run, factory, tls, reactor, handed.ports))
    for listener in made:
        listener.setServiceParent(service)
    process.complete(service, factory.sessions, reloads)
    if handed.ports is None:
        Logger("extretr").info("mail rests in {mail}", mail=mail)
    if isinstance(process, WorkerProcess):
        return service
    return monitor.serve(service, {**checks_of(run), **listening(made)})


def _store(run: Any, reactor: Any) -> IStore:
    common = {
        "template": run["template"],
        "clock": reactor,
        "cooperate": partial(cooperating, Cooperator(Slice)),
        "state": run["state"],
        "takeover_after": run["takeover-after"],
    }
    if run["kind"] == "maildir":
        return MaildirStore(unique_ids=run["unique-ids"], **common)
    return MboxStore(quoting=run["kind"] == "mboxrd", **common)
