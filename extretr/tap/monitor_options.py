"""
Monitoring: the options of ``twistd extretr run`` for it, and what is monitored.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.python import usage

from extretr.server.meter import Meter
from extretr.server.service import Listener
from extretr.tap.listening import parse_endpoint
from extretr.tap.one_line import OneLineOptions

#: By which the library finds the folder that processes count in.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class MonitorOptions(OneLineOptions):
    """
    ``--metrics`` and ``--check``.
    """

    optParameters = [
        [
            "metrics",
            None,
            None,
            "A Twisted endpoint, as tcp:9110:interface=127.0.0.1, for HTTP: there are"
            " /metrics, for Prometheus, and /health.",
        ],
    ]

    optFlags = [
        [
            "check",
            None,
            "Look at all that is configured, say what is wrong, and serve nothing.",
        ],
    ]

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        if self["check"]:
            if not self["mail"]:
                raise usage.UsageError("--check needs --mail KIND:PATH")
            # It may run beside the server whose configuration it checks.
            self.twistd["pidfile"] = ""
        if self["metrics"]:
            try:
                import prometheus_client  # noqa: F401
            except ImportError:
                raise usage.UsageError(
                    "--metrics needs the package prometheus-client: "
                    "pip install 'extretr[metrics]'"
                ) from None


class Monitor:
    """
    What counts, and what shows it.
    """

    def __init__(self, run: Any, reactor: Any) -> None:
        """
        Args:
            run: the options.
            reactor: listens.
        """
        self._run = run
        self._reactor = reactor
        #: Where workers count, where there are any.
        self.folder: str | None = None
        self._registry: Any = None

    def meter(self) -> Meter:
        """
        Give what sessions of this process are counted by.
        """
        if not self._run["metrics"]:
            return Meter()
        from extretr.server.metrics import PrometheusMeter, registry_of_process

        self._registry = registry_of_process()
        return PrometheusMeter(self._registry)

    def share(self, environ: "dict[str, str]") -> None:
        """
        Have workers count in a folder, by their environment.
        """
        if not self._run["metrics"]:
            return
        from extretr.server.metrics import registry_of_workers

        folder = self.folder = tempfile.mkdtemp(prefix="extretr-metrics-")
        uid, gid = (self._run.twistd.get(name) for name in ("uid", "gid"))
        if uid is not None or gid is not None:
            # Workers have given up their privileges.
            os.chown(folder, -1 if uid is None else uid, -1 if gid is None else gid)
        environ[FOLDER] = folder
        self._registry = registry_of_workers(folder)
        self._reactor.addSystemEventTrigger(
            "after", "shutdown", shutil.rmtree, folder, True
        )

    def forget(self, pid: int) -> None:
        """
        Take note that a worker is gone.
        """
        if self.folder is not None:
            from extretr.server.metrics import forget_worker

            forget_worker(pid, self.folder)

    def serve(
        self, service: MultiService, checks: Mapping[str, Callable[[], bool]]
    ) -> MultiService:
        """
        Give *service*, with a listener that shows how it does where that is wanted.

        Raises:
            SystemExit: with one line, where the endpoint is none.
        """
        if not self._run["metrics"]:
            return service
        from extretr.server.metrics import exposition
        from extretr.server.monitor import MonitoredService, MonitorSite

        monitored = MonitoredService(service)
        running = {"stopping": lambda: not monitored.stops}
        site = MonitorSite(
            lambda: exposition(self._registry), {**running, **checks}, self._reactor
        )
        endpoint = endpoint_of(self._run, self._reactor)
        listener = Listener(f"metrics {self._run['metrics']}", endpoint, site)
        listener.setServiceParent(monitored)
        return monitored


def endpoint_of(run: Any, reactor: Any) -> Any:
    """
    Give the endpoint at which the figures are shown.

    Raises:
        SystemExit: with one line, where it is none.
    """
    return parse_endpoint("--metrics", run["metrics"], reactor)


def listening(listeners: Sequence[Listener]) -> dict[str, Callable[[], bool]]:
    """
    Give what must be so that connections are taken.
    """
    return {"listeners": lambda: all(each.isListening for each in listeners)}


def checks_of(run: Any) -> dict[str, Callable[[], bool]]:
    """
    Give what must be so that mail can be served, whatever process looks.
    """
    checks: dict[str, Callable[[], bool]] = {}
    if run["mail"]:
        root = run["root"]
        checks["mail"] = lambda: os.access(root, os.R_OK | os.X_OK, effective_ids=True)
    if run["users"]:
        users = os.path.abspath(run["users"])
        checks["users"] = lambda: os.access(users, os.R_OK, effective_ids=True)
    return checks
