"""
`extretr.server.log_lines`: lines as Twisted has them, made for less.
"""

import os
import time
from io import BytesIO, StringIO
from pathlib import Path

from twisted.logger import (
    FileLogObserver,
    Logger,
    LogLevel,
    LogPublisher,
    eventAsJSON,
    eventFromJSON,
    textFileLogObserver,
)
from twisted.python import log
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.log_lines import Lines, quicken, tell
from extretr.server.logs import JSONLines

#: When Berlin's clocks go from 3:00 back to 2:00.
BACK = 1761440400.0


class Text(str):
    """
    A text that says something else where it is put in.
    """

    def __format__(self, spec):
        return "else"


class LinesTestCase(SynchronousTestCase):
    """
    A publisher with an observer that was made quick, and one that was not.
    """

    def setUp(self):
        self.stock, self.ours = StringIO(), StringIO()
        observer = textFileLogObserver(self.ours)
        quicken(LogPublisher(observer))
        self.assertIs(type(observer.formatEvent), Lines)
        self.observer = observer
        self.publisher = LogPublisher(observer, textFileLogObserver(self.stock))

    def event(self, **fields):
        """
        Log an event, and give what was written of it, which must be as Twisted has it.
        """
        before = len(self.ours.getvalue())
        self.publisher(
            {
                "log_format": "{text}",
                "log_level": LogLevel.info,
                "log_namespace": "here",
                "log_time": 1700000000.25,
                "text": "some text",
                **fields,
            }
        )
        self.assertEqual(self.ours.getvalue(), self.stock.getvalue())
        return self.ours.getvalue()[before:]

    def general(self):
        """
        Take note of each event that is formatted the long way.
        """
        formatter, asked = self.observer.formatEvent, []
        general = formatter._general
        formatter._general = lambda event: asked.append(event) or general(event)
        return asked


class SameTests(LinesTestCase):
    """
    What is written is the same, octet for octet.
    """

    def test_quickly(self):
        """
        Only the first of a second takes the long way.
        """
        asked = self.general()
        for part in range(5):
            line = self.event(log_time=1700000000 + part / 5, text=f"text {part}")
            self.assertTrue(line.endswith(f" [here#info] text {part}\n"))
        self.assertEqual(len(asked), 1)
        self.event(log_time=1700000001.0)
        self.assertEqual(len(asked), 2)

    def test_others(self):
        """
        Events that are not just a text, or those of others, are as they were.
        """
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            failure = Failure()
        for fields in (
            {"text": "one\ntwo"},
            {"text": "\n"},
            {"text": ""},
            {"text": None},
            {"text": b"octets"},
            {"text": 7},
            {"text": Text("this")},
            {"text": "{braces} ü \u2028"},
            {"log_format": None},
            {"log_format": "{text} {more}", "more": 3},
            {"log_format": "{text!r}"},
            {"log_format": b"{text}"},
            {"log_format": "{none}"},
            {"log_format": 3},
            {"log_failure": failure},
            {"log_flattened": {}},
            {"log_system": "system"},
            {"log_system": ""},
            {"log_system": None},
            {"log_namespace": None},
            {"log_namespace": "there"},
            {"log_level": LogLevel.error},
            {"log_level": None},
            {"log_time": None},
            {"log_time": 1700000000},
            {"log_time": 0.0},
            {"log_time": -0.5},
        ):
            # Each after a plain one, and before one.
            self.event()
            self.event(**fields)
            self.event(**fields)
        self.publisher({})
        self.publisher({"log_format": "{text}", "text": "no more"})
        self.assertEqual(self.ours.getvalue(), self.stock.getvalue())

    def test_first(self):
        """
        Nothing is known before the first line, of the first second there was either.
        """
        self.event(log_time=0.5, log_namespace=None, log_level=None)

    def test_second(self):
        """
        A time that is told as the next second's is not this one's.
        """
        for when in (0.0, 0.5, 0.9999989, 0.9999991, 0.9999997, 1.0, 0.9999997, 0.1):
            self.event(log_time=1700000000 + when)

    def test_clock(self):
        """
        Nor is one of a clock that was set back.
        """
        for when in (10.5, 10.6, 9.5, 8.5, 10.5, 9.9):
            self.event(log_time=1700000000 + when)

    def test_zones(self):
        """
        Where clocks go back an hour comes again, with another offset.
        """
        self.addCleanup(self.zone, os.environ.get("TZ"))
        for zone in ("Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"):
            self.zone(zone)
            for seconds in range(-3600, 3601, 900):
                for part in (-0.5, -0.0000001, 0.0, 0.5):
                    self.event(log_time=BACK + seconds + part)
                    self.event(log_time=BACK + seconds + part)

    def zone(self, zone):
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()

    def test_loggers(self):
        """
        All that Twisted logs with, older than `twisted.logger` too.
        """
        for namespace in ("here", "there", "here"):
            logger = Logger(namespace, observer=self.publisher)
            logger.info("{text}", text="a text", user="alice")
            logger.warn("{text}", text="a text")
            logger.debug("{user}", user="alice", text="a text")
        older = log.LogPublisher(publishPublisher=self.publisher)
        older.msg("old", "words", text="a text")
        older.msg(format="%(text)s", text="a text")
        events = []
        Logger("here", observer=events.append).info("{text}", text="passed on")
        self.publisher(eventFromJSON(eventAsJSON(events[0])))
        self.assertEqual(self.ours.getvalue(), self.stock.getvalue())

    def test_unwritable(self):
        """
        A text that no file takes is no more than that.
        """
        lines = self.observer.formatEvent
        observer = FileLogObserver(BytesIO(), lines)
        for _ in range(2):
            event = {"log_format": "{text}", "text": "\udcff", "log_time": 1.0}
            self.assertRaises(UnicodeEncodeError, observer, event)

    def test_file(self):
        """
        A file that is rotated, by its length or when it is asked for, has all lines.
        """
        path = Path(self.mktemp())
        path.mkdir()
        file = LogFile("log", str(path), rotateLength=200)
        self.addCleanup(file.close)
        observer = textFileLogObserver(file)
        quicken(LogPublisher(observer))
        self.publisher.addObserver(observer)
        for number in range(20):
            self.event(text=f"text {number} äöü")
            if number == 7:
                file.rotate()
        files = sorted(path.iterdir(), key=lambda each: -int(each.suffix[1:] or 0))
        self.assertGreater(len(files), 4)
        whole = b"".join(each.read_bytes() for each in files)
        self.assertEqual(whole.decode(), self.stock.getvalue())


class TellTests(SynchronousTestCase):
    """
    What is told is what a logger would tell.
    """

    def test_same(self):
        """
        It is the same event, but for the time.
        """
        events = []
        log = Logger("here", self, events.append)
        before = time.time()
        tell(log, "a {text}\n", user="alice", count=3)
        log.info("{text}", text="a {text}\n", user="alice", count=3)
        ours, stock = events
        self.assertTrue(before <= ours.pop("log_time") <= stock.pop("log_time"))
        self.assertEqual(ours, stock)


class QuickenTests(SynchronousTestCase):
    """
    Whose lines are made for less.
    """

    def test_othersStay(self):
        """
        Any other observer stays, and so does what formats by itself.
        """

        class Derived(FileLogObserver):
            pass

        def form(event):
            return "line\n"

        observers = [
            FileLogObserver(StringIO(), form),
            Derived(StringIO(), textFileLogObserver(StringIO()).formatEvent),
            textFileLogObserver(StringIO(), timeFormat="%f"),
            textFileLogObserver(StringIO(), timeFormat=None),
            FileLogObserver(StringIO(), str),
            JSONLines(StringIO()),
            form,
        ]
        before = [getattr(each, "formatEvent", None) for each in observers]
        quicken(LogPublisher(*observers))
        after = [getattr(each, "formatEvent", None) for each in observers]
        self.assertEqual(before, after)

    def test_unknown(self):
        """
        A publisher that does not tell its observers stays as it is.
        """
        quicken(object())

    def test_once(self):
        """
        To ask for it twice changes nothing.
        """
        observer = textFileLogObserver(StringIO())
        for _ in range(2):
            quicken(LogPublisher(observer))
        self.assertIs(type(observer.formatEvent), Lines)
        self.assertIsNot(type(observer.formatEvent._general), Lines)
