"""
`extretr.server.logs`: the log as JSON.
"""

import json
import sys
from io import StringIO

from twisted.logger import ILogObserver, Logger, eventAsJSON, eventFromJSON
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.server.logs import JSONLines, json_lines
from tests.server.test_metered import MeteredTestCase


class Secret:
    def __repr__(self):
        return "the password"


class LineTests(SynchronousTestCase):
    """
    An event is a line.
    """

    def setUp(self):
        self.stream = StringIO()
        self.observer = JSONLines(self.stream)
        self.log = Logger("here", observer=self.observer)

    def line(self):
        (line,) = self.stream.getvalue().splitlines()
        return json.loads(line)

    def test_observer(self):
        """
        It is what twistd wants of --logger: made without arguments, it writes to the
        standard output as it was then.
        """
        self.patch(sys, "stdout", self.stream)
        observer = json_lines()
        verifyObject(ILogObserver, observer)
        self.patch(sys, "stdout", StringIO())
        observer({"log_format": "hello", "log_time": 1.5})
        self.assertEqual(
            self.line(),
            {
                "time": "1970-01-01T00:00:01.500+00:00",
                "level": "info",
                "namespace": None,
                "text": "hello",
            },
        )

    def test_fields(self):
        """
        What the text is made of is there by its name, numbers as numbers.
        """
        self.log.warn(
            "{user} has {count}", user="alice", count=3, none=None, odd=b"\xff"
        )
        line = self.line()
        self.assertEqual(line["text"], "alice has 3")
        self.assertEqual(line["level"], "warn")
        self.assertEqual(line["namespace"], "here")
        self.assertEqual(
            (line["user"], line["count"], line["none"], line["odd"]),
            ("alice", 3, None, "\\xff"),
        )

    def test_objects(self):
        """
        Objects that an event carries along are no fields.
        """
        self.log.info("hello", it=Secret(), them=[Secret()], more={"a": 1})
        self.assertEqual(set(self.line()), {"time", "level", "namespace", "text"})
        self.assertNotIn("password", self.stream.getvalue())

    def test_oneLine(self):
        """
        Line ends in a text stay within the line, and so does what JSON has no word for.
        """
        self.log.info("one\ntwo {what}", what="\n\u2028", time=7, far=float("inf"))
        line = self.line()
        self.assertEqual(line["text"], "one\ntwo \n\u2028")
        self.assertEqual(line["far"], "inf")
        self.assertNotEqual(line["time"], 7)

    def test_failure(self):
        """
        A failure has its traceback, also one that a worker has passed on.
        """
        try:
            raise ZeroDivisionError("the reason")
        except ZeroDivisionError:
            self.log.failure("it failed", failure=Failure())
        line = self.line()
        self.assertEqual((line["level"], line["text"]), ("critical", "it failed"))
        self.assertIn("ZeroDivisionError: the reason", line["traceback"])
        self.assertIn("test_failure", line["traceback"])

    def test_passedOn(self):
        """
        An event that was JSON before is the same line.
        """
        events = []
        Logger("here", observer=events.append).info("{a} is", a="it", b=2)
        for event in (events[0], eventFromJSON(eventAsJSON(events[0]))):
            self.observer(event)
        one, other = self.stream.getvalue().splitlines()
        self.assertEqual(json.loads(one), json.loads(other))

    def test_older(self):
        """
        Events of Twisted's older log have their text too.
        """
        publisher = log.LogPublisher(publishPublisher=self.observer)
        publisher.msg("old", "words", extra="x")
        line = self.line()
        self.assertIn("old words", line["text"])
        self.assertEqual(line["extra"], "x")


class SessionTests(MeteredTestCase):
    """
    The line of a session.
    """

    def test_fields(self):
        """
        It has the fields that the documentation names, and no password.
        """
        stream = StringIO()
        observer = JSONLines(stream)
        self.session._log = Logger("here", observer=observer)
        self.session.user = b"al\xffice"
        self.send(b"RETR 1 18\r\nPASS hushhush\r\nQUIT\r\n")
        self.lose()
        (line,) = map(json.loads, stream.getvalue().splitlines())
        del line["time"], line["text"], line["sent"]
        self.assertEqual(
            line,
            {
                "event": "session",
                "level": "info",
                "namespace": "here",
                "user": "al?ice",
                "peer": "192.168.1.1",
                "mechanism": None,
                "ending": "QUIT",
                "cut": False,
                "seconds": 0.0,
                "retrieved": 1,
                "resumed": 1,
                "saved": 18,
            },
        )
        self.assertNotIn("hush", stream.getvalue())
