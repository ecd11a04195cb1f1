"""
The HTTP side of monitoring: metrics, and whether the server is well.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

#: What Prometheus takes for its text format.
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class _Page(Resource):
    """
    A page that is made anew for each request, and may be looked at only.
    """

    isLeaf = False
    _log = Logger()

    def __init__(self, kind: bytes, make: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._kind = kind
        self._make = make

    def getChild(self, path: bytes, request: Any) -> Resource:
        """
        Give what is below a page: nothing.
        """
        return _Page(b"text/plain", _missing)

    def render(self, request: Any) -> bytes:
        """
        Answer GET and HEAD; Twisted answers what it does not know by 501.
        """
        body = self._answer(request)
        request.setHeader(b"content-length", b"%d" % len(body))
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Any) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(http.NOT_ALLOWED)
            request.setHeader(b"allow", b"GET, HEAD")
            return b"GET and HEAD only\n"
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"cache-control", b"no-store")
        try:
            return self._make(request)
        except Exception:
            self._log.failure("a page of the monitor cannot be made")
            request.setResponseCode(http.INTERNAL_SERVER_ERROR)
            return b"the server's log has the reason\n"


def _missing(request: Any) -> bytes:
    request.setResponseCode(http.NOT_FOUND)
    return b"there are /metrics and /health\n"


class MonitorSite(Site):
    """
    ``/metrics`` and ``/health``, and nothing else.
    """

    def __init__(
        self,
        metrics: Callable[[], bytes],
        checks: Mapping[str, Callable[[], bool]],
        reactor: Any = None,
    ) -> None:
        """
        Args:
            metrics: gives all metrics as text.
            checks: by name, whether something is as it should be.
            reactor: tells the time.
        """
        root = _Page(b"text/plain", _missing)
        root.putChild(b"metrics", _Page(TEXT, lambda _: metrics()))
        root.putChild(b"health", _Page(b"application/json", self._health))
        self._checks = checks
        super().__init__(root, reactor=reactor)
        self.noisy = False

    def log(self, request: Any) -> None:
        """
        Log no request: they come every few seconds.
        """

    def _health(self, request: Any) -> bytes:
        failing = [name for name, check in self._checks.items() if not check()]
        if failing:
            request.setResponseCode(503)
        status = "failing" if failing else "serving"
        return json.dumps({"status": status, "failing": failing}).encode() + b"\n"


class MonitoredService(MultiService):
    """
    A service, and the listener that shows how it does until it has stopped.
    """

    def __init__(self, service: IService) -> None:
        super().__init__()
        #: Whether it is being stopped.
        self.stops = False
        service.setServiceParent(self)

    def stopService(self) -> "Deferred[Any]":
        """
        Stop the service, and then be seen no longer.
        """
        self.running = False
        self.stops = True
        service, *others = self
        stopped = maybeDeferred(service.stopService)
        for other in others:
            stopped.addBoth(_then, other.stopService)
        return stopped


def _then(result: Any, stop: Callable[[], Any]) -> "Deferred[Any]":
    return maybeDeferred(stop).addCallback(lambda _: result)
