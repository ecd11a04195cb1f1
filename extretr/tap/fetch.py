"""
``twistd extretr fetch``: the fetcher as a service, beside the server or without it.
"""

import sys
import time
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import usage

from extretr.cli.lines import line_of
from extretr.cli.secrets import Secrets
from extretr.client.account import Account
from extretr.client.config import ConfigError, config_path, load_accounts
from extretr.client.events import Event, Failed
from extretr.client.places import state_folder
from extretr.client.run import Run
from extretr.client.values import BadValue, parse_duration
from extretr.tap.one_line import OneLineOptions


class FetchOptions(OneLineOptions):
    """
    The options of ``twistd extretr fetch``.
    """

    command = "fetch"
    synopsis = "[options] [ACCOUNT ...]"
    longdesc = (
        "Fetches the accounts of the configuration file, all of them by default, and "
        "again so long after each round.  What happens goes to the log.  'extretr "
        "fetch --help' tells of the file, and is what to use without twistd."
    )

    optParameters = [
        ["config", None, None, "The configuration file."],
        ["state", None, None, "Where partials and the fetch journal are kept."],
        ["every", None, "5m", "Time from the end of a round to the next one."],
    ]

    def parseArgs(self, *names: str) -> None:
        """
        Take the names of accounts.
        """
        self["names"] = names

    def postOptions(self) -> None:
        """
        Look at all that was given.

        Raises:
            UsageError: where it is not as it must be.
        """
        path = Path(self["config"]) if self["config"] else config_path()
        try:
            self["seconds"] = parse_duration(self["every"])
            self["accounts"] = load_accounts(path.absolute(), self["names"])
        except BadValue as error:
            raise usage.UsageError(f"--every {error}") from None
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None
        if self["seconds"] <= 0:
            raise usage.UsageError("--every must be more than nothing")
        if any(account.to.kind == "stdout" for account in self["accounts"]):
            raise usage.UsageError("a service has no standard output for mail")
        self["state"] = Path(self["state"] or state_folder()).absolute()


class FetchService(Service):
    """
    A `Run` that goes on as long as the service does.
    """

    name = "fetch"
    _log = Logger()
    _done: "Deferred[Any] | None" = None

    def __init__(
        self, reactor: Any, accounts: list[Account], state: Path, every: float
    ) -> None:
        """
        Args:
            reactor: connects, runs commands, tells the time.
            accounts: what to fetch.
            state: the folder below which each account has its own.
            every: seconds from the end of a round to the next one.
        """
        self._secrets = Secrets()
        self._run = Run(
            reactor,
            accounts,
            self._secrets.of,
            self._show,
            state,
            sys.stdout.buffer,
            time.time,
            every,
        )

    def startService(self) -> None:
        """
        Begin with the first round.
        """
        super().startService()
        self._done = self._run.start()
        self._done.addErrback(
            lambda failure: self._log.failure("the fetcher has failed", failure)
        )

    def stopService(self) -> Any:
        """
        Stop; the Deferred fires when what is held is safe.
        """
        super().stopService()
        self._run.stop()
        return self._done

    def _show(self, event: Event) -> None:
        line = line_of(event)
        if isinstance(event, Failed):
            self._secrets.forget(event.account)
            self._log.error("{line}", line=line)
        elif line is not None:
            self._log.info("{line}", line=line)


def fetch_service(options: Any, reactor: Any) -> FetchService:
    """
    Give the service that the options tell of.
    """
    return FetchService(
        reactor, options["accounts"], options["state"], options["seconds"]
    )
