"""
What a server counts, for Prometheus.

With several workers each process counts for itself, in files that the library lays in
the folder that ``PROMETHEUS_MULTIPROC_DIR`` names; the supervisor adds them up.
"""

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from extretr.server.meter import Meter

#: Why sessions end: what a label may say, so that there are no more of them.
ENDINGS = frozenset(
    {
        "QUIT",
        "QUIT, but deletions failed",
        "TLS could not be started",
        "another session took the maildrop over",
        "connection lost",
        "connection lost during a transfer",
        "no login in time",
        "the TLS handshake failed",
        "the TLS handshake took too long",
        "the message could not be read",
        "the server was stopped",
        "timed out",
        "too many bad commands",
        "too many commands at once",
        "too many failed logins",
        "too many octets before a login",
        "turned away",
    }
)

#: The limits that there are.
LIMITS = frozenset(
    {
        "bad commands",
        "command rate",
        "connections",
        "connections of an address",
        "failed logins",
        "login delay",
        "logins of an address",
        "octets before login",
        "sessions of a user",
        "time to log in",
    }
)

#: Seconds to the first octet of a message.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)


class PrometheusMeter(Meter):
    """
    Counts what sessions tell, in metrics of Prometheus.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """
        Args:
            registry: where the metrics are found.
        """
        # When each figure was made is when the process was, and twice as many figures.
        disable_created_metrics()
        common: dict[str, Any] = {"registry": registry}
        self._sessions = Gauge(
            "extretr_sessions",
            "Sessions that are connected now.",
            multiprocess_mode="livesum",
            **common,
        )
        self._ended = Counter(
            "extretr_sessions_ended",
            "Sessions that have ended, by the reason.",
            ["ending"],
            **common,
        )
        self._cut = Counter(
            "extretr_cut_responses",
            "Responses that were not sent whole, by the reason.",
            ["ending"],
            **common,
        )
        self._logins = Counter(
            "extretr_logins",
            "Logins, by mechanism and outcome.",
            ["mechanism", "outcome"],
            **common,
        )
        self._refusals = Counter(
            "extretr_refusals", "Times that a limit was reached.", ["limit"], **common
        )
        self._takeovers = Counter(
            "extretr_takeovers",
            "Maildrops that were taken over by a later login.",
            **common,
        )
        retrievals = Counter(
            "extretr_retrievals", "Messages sent, whole or resumed.", ["kind"], **common
        )
        self._whole, self._resumed = map(retrievals.labels, ("whole", "resumed"))
        self._sent = Counter(
            "extretr_sent_octets", "Octets written to clients.", **common
        )
        self._saved = Counter(
            "extretr_saved_octets", "Octets that resuming has saved.", **common
        )
        self._first = Histogram(
            "extretr_first_octet_seconds",
            "Time from RETR to the first octet of its answer.",
            buckets=_BUCKETS,
            **common,
        )
        # What has not happened yet is 0: an alert does not see a figure that comes with
        # the first time.
        for ending in ENDINGS:
            self._ended.labels(ending)
            self._cut.labels(ending)
        for limit in LIMITS:
            self._refusals.labels(limit)
        for outcome in ("accepted", "refused", "unavailable"):
            self._logins.labels("PASS", outcome)

    def sessionBegan(self) -> None:
        """
        See `Meter`.
        """
        self._sessions.inc()

    def sessionEnded(self, ending: str, cut: bool) -> None:
        """
        See `Meter`.
        """
        ending = ending if ending in ENDINGS else "other"
        self._ended.labels(ending).inc()
        if cut:
            self._cut.labels(ending).inc()
        # Whoever sees no sessions any more sees how all of them have ended.
        self._sessions.dec()

    def loggedIn(self, mechanism: str, outcome: str) -> None:
        """
        See `Meter`.
        """
        self._logins.labels(mechanism, outcome).inc()

    def refused(self, limit: str) -> None:
        """
        See `Meter`.
        """
        self._refusals.labels(limit if limit in LIMITS else "other").inc()

    def tookOver(self) -> None:
        """
        See `Meter`.
        """
        self._takeovers.inc()

    def retrieved(self, held: int, firstOctet: float) -> None:
        """
        See `Meter`.
        """
        if held:
            self._resumed.inc()
            self._saved.inc(held)
        else:
            self._whole.inc()
        self._first.observe(firstOctet)

    def sent(self, octets: int) -> None:
        """
        See `Meter`.
        """
        self._sent.inc(octets)


def registry_of_process() -> CollectorRegistry:
    """
    Give a registry that has what is to be known of this process: memory, descriptors.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def registry_of_workers(folder: str) -> CollectorRegistry:
    """
    Give a registry that adds up what workers have counted in *folder*.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    multiprocess.MultiProcessCollector(registry, path=folder)
    return registry


def forget_worker(pid: int, folder: str) -> None:
    """
    Count the sessions of a worker that is gone no longer; what it did stays counted.
    """
    multiprocess.mark_process_dead(pid, folder)


def exposition(registry: CollectorRegistry) -> bytes:
    """
    Give all metrics in Prometheus's text format.
    """
    return generate_latest(registry)
