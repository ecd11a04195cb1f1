"""
`extretr.server.metrics` and `extretr.server.monitor`: what is counted, and shown.
"""

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.metrics import ENDINGS, LIMITS, PrometheusMeter, exposition
from extretr.server.monitor import MonitoredService, MonitorSite
from tests.server.dialogue import DialogueTestCase

ROOT = Path(__file__).resolve().parents[2]


class MeterTests(DialogueTestCase):
    """
    Sessions tell what happens, and it is counted.
    """

    def makeSession(self):
        session = super().makeSession()
        self.registry = CollectorRegistry()
        session.meter = PrometheusMeter(self.registry)
        return session

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels)

    def test_retrievals(self):
        """
        A message from an offset on is a resumed one, and saves its offset; the first
        octet of each is timed.
        """
        for arguments in (b"1", b"1 5", b"1 4", b"1 0", b"9", b"1 99"):
            self.send(b"RETR " + arguments + b"\r\n")
        self.assertEqual(self.value("extretr_retrievals_total", kind="whole"), 2)
        self.assertEqual(self.value("extretr_retrievals_total", kind="resumed"), 2)
        self.assertEqual(self.value("extretr_saved_octets_total"), 9)
        self.assertEqual(self.value("extretr_first_octet_seconds_count"), 4)

    def test_session(self):
        """
        A session counts while it lives; then its end and its octets do, once.
        """
        self.assertEqual(self.value("extretr_sessions"), 1)
        said = len(self.send(b"NOOP\r\nQUIT\r\n"))
        self.lose()
        self.lose()
        self.assertEqual(self.value("extretr_sessions"), 0)
        self.assertEqual(self.value("extretr_sessions_ended_total", ending="QUIT"), 1)
        self.assertGreaterEqual(self.value("extretr_sent_octets_total"), said)

    def test_cut(self):
        """
        A session that was cut off is told by its reason; so is what it was sending.
        """
        ending = "another session took the maildrop over"
        for cuts in (0, 1):
            self.setUp()
            self.mailbox.messages[0] = b"x\n" * 1000000
            if cuts:
                self.session.dataReceived(b"RETR 1\r\n")
            self.session.session.evict()
            self.lose()
            for name, value in (("sessions_ended", 1), ("cut_responses", cuts)):
                found = self.value(f"extretr_{name}_total", ending=ending)
                self.assertEqual(found, value)

    def test_zero(self):
        """
        What has not happened yet is 0, so that an alert sees the first time.
        """
        for name, label, values in (
            ("sessions_ended", "ending", ENDINGS),
            ("cut_responses", "ending", ENDINGS),
            ("refusals", "limit", LIMITS),
        ):
            for value in values:
                found = self.value(f"extretr_{name}_total", **{label: value})
                self.assertEqual(found, 0, value)
        self.assertNotIn(b"_created", exposition(self.registry))

    def test_takeover(self):
        """
        It is counted where the maildrop is now.
        """
        self.session.session.tookOver()
        self.assertEqual(self.value("extretr_takeovers_total"), 1)

    def test_fixed(self):
        """
        Labels are of fixed sets: an ending that is not known is another.
        """
        self.session.meter.sessionEnded("from 192.0.2.1", False)
        self.assertEqual(self.value("extretr_sessions_ended_total", ending="other"), 1)
        self.session.meter.refused("connections")
        self.assertEqual(self.value("extretr_refusals_total", limit="connections"), 1)

    def test_endings(self):
        """
        All endings that the server's modules have are known.
        """
        found = set()
        for path in (ROOT / "extretr" / "server").glob("*.py"):
            text = path.read_text("utf-8")
            found |= set(re.findall(r'_(?:finish|abort)\(\s*"([^"]+)"', text))
            found |= set(
                re.findall(r'^ *(?:ENDING|TURNED_AWAY|ending) = "([^"]+)"', text, re.M)
            )
        self.assertGreater(len(found), 10)
        self.assertEqual(found, ENDINGS)

    def test_limits(self):
        """
        All limits that the server's modules have are known; any other is another.
        """
        found = set()
        for path in (ROOT / "extretr" / "server").glob("*.py"):
            text = path.read_text("utf-8")
            found |= set(re.findall(r'meter\.refused\(\s*"([^"]+)"', text))
            if path.name == "limits.py":
                found |= set(re.findall(r'return "([^"]+)"', text))
        self.assertGreater(len(found), 5)
        self.assertEqual(found, LIMITS)
        self.session.meter.refused("patience")
        self.assertEqual(self.value("extretr_refusals_total", limit="other"), 1)


class SiteTests(SynchronousTestCase):
    """
    What HTTP clients get.
    """

    def setUp(self):
        self.well = {"mail": True, "users": True}
        checks = {name: lambda name=name: self.well[name] for name in self.well}
        registry = CollectorRegistry()
        PrometheusMeter(registry)
        self.site = MonitorSite(lambda: exposition(registry), checks)

    def ask(self, request):
        """
        Send the first line of a request; give status, header and body.
        """
        protocol = self.site.buildProtocol(None)
        protocol.callLater = lambda *_: None
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(request + b" HTTP/1.0\r\n\r\n")
        head, _, body = transport.value().partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower(), body

    def test_metrics(self):
        """
        /metrics is text as Prometheus reads it.
        """
        status, head, body = self.ask(b"GET /metrics")
        self.assertEqual(status, 200)
        self.assertIn(b"content-type: text/plain; version=0.0.4", head)
        self.assertIn(b"# TYPE extretr_sessions gauge", body)

    def test_health(self):
        """
        /health names what fails, and nothing more of it.
        """
        status, _, body = self.ask(b"GET /health")
        self.assertEqual((status, json.loads(body)["status"]), (200, "serving"))
        self.well["mail"] = False
        status, _, body = self.ask(b"GET /health")
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body), {"status": "failing", "failing": ["mail"]})

    def test_broken(self):
        """
        A page that cannot be made is a 500 without the reason, which is logged.
        """
        self.well.clear()
        status, _, body = self.ask(b"GET /health")
        self.assertEqual(status, 500)
        self.assertNotIn(b"KeyError", body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_others(self):
        """
        HEAD is the same without the body; there are no other methods, wherever, and no
        other pages.
        """
        for path in (b" /metrics", b" /health", b" /none"):
            status, head, body = self.ask(b"GET" + path)
            self.assertIn(b"content-length: %d\r\n" % len(body), head + b"\r\n")
            self.assertEqual(self.ask(b"HEAD" + path), (status, head, b""))
        for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"FOO"):
            for path in (b" /metrics", b" /health", b" /", b" /none/at/all"):
                status, head, _ = self.ask(method + path)
                self.assertEqual(status, 405, method + path)
                self.assertIn(b"allow: get, head", head)
        for path in (
            b"/", b"/metrics/", b"/metrics/x", b"/..", b"/health/", b"//metrics",
            b"/x/metrics", b"/METRICS", b"/..%2fmetrics", b"/%ff",
        ):  # fmt: skip
            self.assertEqual(self.ask(b"GET " + path)[0], 404, path)


class Slow(Service):
    """
    A service that takes its time to stop.
    """

    def __init__(self):
        self.stopped = Deferred()

    def stopService(self):
        super().stopService()
        return self.stopped


class MonitoredTests(SynchronousTestCase):
    """
    A service that is seen for as long as it takes to stop.
    """

    def test_order(self):
        """
        The listener goes when the service has stopped; meanwhile that is told.
        """
        inner, slow, monitor = MultiService(), Slow(), Service()
        slow.setServiceParent(inner)
        service = MonitoredService(inner)
        verifyObject(IService, service)
        monitor.setServiceParent(service)
        service.startService()
        self.assertTrue(slow.running)
        self.assertFalse(service.stops)
        stopped = service.stopService()
        self.assertTrue(service.stops)
        self.assertFalse(slow.running)
        self.assertTrue(monitor.running)
        self.assertNoResult(stopped)
        slow.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertFalse(monitor.running)


class DashboardTests(SynchronousTestCase):
    """
    The files for Grafana and Prometheus.
    """

    def setUp(self):
        registry = CollectorRegistry()
        PrometheusMeter(registry)
        self.metrics = {
            metric.name: {sample.name for sample in metric.samples}
            for metric in registry.collect()
        }

    def assertKnown(self, text):
        """
        All figures and the values of labels that a text names are there; give the
        former.
        """
        used = set(re.findall(r"\bextretr_\w+", text))
        self.assertGreater(len(used), 3)
        self.assertEqual(used - set().union(*self.metrics.values()), set())
        for label, values in (("ending", ENDINGS), ("limit", LIMITS)):
            named = set(re.findall(rf'\b{label}="([^"]+)"', " ".join(text.split())))
            self.assertEqual(named - values, set())
        return used

    def test_dashboard(self):
        """
        Each metric in the dashboard's expressions is there, and each one is shown.
        """
        path = ROOT / "docs" / "deploy" / "grafana.json"
        dashboard = json.loads(path.read_text("utf-8"))
        expressions = [
            target["expr"]
            for panel in dashboard["panels"]
            for target in panel.get("targets", ())
        ]
        shown = self.assertKnown("\n".join(expressions))
        for name, samples in self.metrics.items():
            self.assertTrue(samples & shown, name)

    def test_rules(self):
        """
        So is each one in the alerts.
        """
        path = ROOT / "docs" / "deploy" / "prometheus-rules.yml"
        self.assertKnown(path.read_text("utf-8"))
