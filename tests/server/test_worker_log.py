"""
`extretr.server.worker_log`: events as lines, and back.
"""

from twisted.logger import (
    Logger,
    LogLevel,
    eventAsText,
    formatEventAsClassicLogText,
)
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.logs import json_line
from extretr.server.worker_log import event_of, line_of


class LinesTests(SynchronousTestCase):
    """
    Whatever is logged is the same in the supervisor's log.
    """

    def logged(self, log):
        events = []
        log(Logger("some.where", observer=events.append))
        return events[0]

    def sent(self, event):
        line = line_of(event)
        self.assertEqual(line.count("\n"), 1)
        return line, event_of(line.rstrip("\n"))

    def check(self, log):
        """
        Have something logged; give the line that it is sent as.
        """
        event = self.logged(log)
        texts = eventAsText(event), formatEventAsClassicLogText(event)
        level = event["log_level"]
        line, found = self.sent(event)
        self.assertEqual(
            (eventAsText(found), formatEventAsClassicLogText(found)), texts
        )
        self.assertIs(found["log_level"], level)
        return line, event, found

    def test_plain(self):
        """
        One with plain values is JSON, all of it, but for the object that has logged.
        """
        line, event, found = self.check(
            lambda log: log.warn(
                "{text}: {number:05.1f} {none!r} {yes} {text!r}",
                text="naïve\n\x1e",
                number=1.25,
                none=None,
                yes=True,
            )
        )
        self.assertTrue(line.startswith("{"))
        for name in ("log_logger", "log_source"):
            event.pop(name)
        self.assertEqual(found, event)
        self.assertEqual(json_line(found), json_line(event))

    def test_objects(self):
        """
        One with objects keeps its text.
        """

        class Thing:
            name = "thing"

        line, _, found = self.check(
            lambda log: log.info(
                "{a} {b} {c.name} {d!r}", a=b"octets", b=(1, 2), c=Thing(), d="d"
            )
        )
        self.assertTrue(line.startswith("\x1e"))
        self.assertEqual(found["d"], "d")

    def test_failure(self):
        """
        One with a failure keeps the traceback.
        """

        def fail(log):
            try:
                raise ValueError("no")
            except ValueError:
                log.failure("it failed")

        _, found = self.sent(self.logged(fail))
        text = eventAsText(found)
        self.assertIn("it failed\nTraceback", text)
        self.assertIn('raise ValueError("no")', text)
        self.assertEqual(found["log_level"], LogLevel.critical)

    def test_none(self):
        """
        What is no event is not taken for one.
        """
        for line in (
            "",
            "x",
            "{}",
            "[]",
            "1",
            '{"log_level": "info"}',
            "\x1e",
            "\x1e{}",
        ):
            self.assertRaises((ValueError, KeyError, TypeError), event_of, line)
        both = '{"log_level": "%s", "log_namespace": "x"}'
        self.assertRaises(KeyError, event_of, both % "loud")
        self.assertEqual(event_of(both % "info")["log_level"], LogLevel.info)
        # One without a level is Twisted's, which has no word for it either.
        self.assertRaises(KeyError, event_of, line_of({"log_namespace": "x"}).strip())
