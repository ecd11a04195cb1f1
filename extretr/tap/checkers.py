"""
Who checks the users of ``twistd extretr run``.
"""

import os
from typing import Any

from twisted.cred.checkers import ICredentialsChecker

from extretr.server.accounts import PasswdFile
from extretr.server.certificate_users import CertificateUsers
from extretr.server.hashing import HashingThreads
from extretr.server.token_check import TokenCommand


def checkers_of(
    run: Any, reactor: Any, threads: HashingThreads, key: bytes | None = None
) -> list[ICredentialsChecker]:
    """
    Give the checkers that the options *run* ask for.

    Where there is a users file, nobody gets in whom it does not name.  What is shown of
    users that it does not know is derived from *key*: all workers show the same.

    Raises:
        SystemExit: with one line, where the users file cannot be read.
    """
    checkers: list[ICredentialsChecker] = list(run["checkers"])
    known = None
    if run["users"]:
        users = users_in(run["users"], threads, apop=bool(run["apop"]), key=key)
        known = users.knows
        checkers.append(users)
    if run["token-check"]:
        checkers.append(TokenCommand(reactor, run["token-check"], known=known))
    if run["certificate-user"]:
        checkers.append(CertificateUsers(run["certificate-user"], known))
    return checkers


def users_in(
    path: str,
    threads: HashingThreads,
    *,
    apop: bool = False,
    key: bytes | None = None,
) -> PasswdFile:
    """
    Give the checker of a users file.

    Raises:
        SystemExit: with one line, where it cannot be read.
    """
    try:
        return PasswdFile(os.path.abspath(path), threads.run, apop=apop, key=key)
    except OSError as error:
        raise SystemExit(f"extretr: --users {path}: {error.strerror}") from None
