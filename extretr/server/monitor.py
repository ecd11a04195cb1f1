"""
The HTTP side of monitoring: metrics, and whether the server is well.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Site

#: What Prometheus takes for its text format.
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class _Page(Resource):
    """
    A page that is made anew for each request.
    """

    isLeaf = False
    _log = Logger()

    def __init__(self, kind: bytes, make: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._kind = kind
        self._make = make

    def render_GET(self, request: Any) -> bytes:
        """
        Give the page; HEAD goes by it too.
        """
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"cache-control", b"no-store")
        try:
            return self._make(request)
        except Exception:
            self._log.failure("a page of the monitor cannot be made")
            request.setResponseCode(500)
            return b"the server's log has the reason\n"


class MonitorSite(Site):
    """
    ``/metrics`` and ``/health``, and nothing else.
    """

    def __init__(
        self,
        metrics: Callable[[], bytes],
        checks: Mapping[str, Callable[[], bool]],
    ) -> None:
        """
        Args:
            metrics: gives all metrics as text.
            checks: by name, whether something is as it should be.
        """
        root = Resource()
        root.putChild(b"metrics", _Page(TEXT, lambda _: metrics()))
        root.putChild(b"health", _Page(b"application/json", self._health))
        self._checks = checks
        super().__init__(root)
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
