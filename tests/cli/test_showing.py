"""
How what happens is shown.
"""

import io
import json
import sys

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from extretr.cli.bars import Bars
from extretr.cli.lines import JSON, Errors, Lines, line_of
from extretr.cli.showing import shower
from extretr.client import events

ONE = {"account": "work"}
LISTED = events.Listed(**ONE, messages=3, new=2, octets=1500, held=500, deletable=1)
STARTED = events.Started(**ONE, unique_id=b"uid", number=2, size=1000, resumed_at=630)
PROGRESS = events.Progress(**ONE, unique_id=b"uid", size=1000, held=800)
DELIVERED = events.Delivered(
    **ONE, unique_id=b"uid", size=1000, resumed_at=630, whole=True
)
FAILED = events.Failed(**ONE, why="no password", status=77)
FINISHED = events.Finished(**ONE, delivered=2, octets=1500, saved=630, connections=2)

HOSTILE = b"\x1b[2J[red]\x07\xff"


class Terminal(io.StringIO):
    """
    A stream that a person looks at.
    """

    def isatty(self):
        return True


class LineTests(SynchronousTestCase):
    """
    A line for an event.
    """

    def test_lines(self):
        """
        Each event that a human wants to know of has its line.
        """
        for event, line in [
            (LISTED, "2 new of 3 messages, 1.5 kB (500 bytes held already); 1 to be "
             "deleted on the server"),
            (events.Listed(**ONE, messages=1, new=0, octets=0, held=0, deletable=0),
             "0 new of 1 message"),
            (STARTED, "message 2, 1.0 kB: resumed at 63 %, 630 bytes saved"),
            (DELIVERED, "delivered, 1.0 kB, uid (resumed at 63 %, 630 bytes saved)"),
            (events.Delivered(**ONE, unique_id=b"u", size=9, resumed_at=0, whole=False),
             "header delivered, 9 bytes, u"),
            (events.BeganAgain(**ONE, unique_id=b"u", why="doubt"),
             "u is begun again: doubt"),
            (events.Skipped(**ONE, unique_id=b"u", why="large"), "u is left: large"),
            (events.Cut(**ONE, why="lost", wait=2.4), "lost; again in 2 s"),
            (events.Deleted(**ONE, messages=1), "1 message deleted on the server"),
            (events.Warned(**ONE, text="hm"), "hm"),
            (events.Wanted(**ONE, unique_id=b"u", number=1, size=100, held=50,
                           action="fetch"),
             "would fetch message 1, 100 bytes, resumed at 50 %, u"),
            (events.Wanted(**ONE, unique_id=b"u", number=1, size=100, held=50,
                           action="header"),
             "would fetch the header of message 1, 100 bytes, u"),
            (FAILED, "no password"),
            (FINISHED, "2 messages delivered, 1.5 kB, 630 bytes saved by resuming"),
        ]:  # fmt: skip
            self.assertEqual(line_of(event), f"work: {line}")

    def test_silent(self):
        """
        The others have none.
        """
        for event in (
            PROGRESS,
            events.Connected(**ONE, host="h", secure=True, resuming=True),
            events.Started(**ONE, unique_id=b"u", number=1, size=1, resumed_at=0),
            events.Finished(**ONE, delivered=0, octets=0, saved=0, connections=1),
        ):
            self.assertIsNone(line_of(event))

    def test_hostile(self):
        """
        Nothing that a server chooses is obeyed by the terminal.
        """
        text = HOSTILE.decode("latin-1")
        for event in (
            events.Skipped(**ONE, unique_id=HOSTILE, why=text),
            events.Cut(**ONE, why=text, wait=1),
            events.Warned(**ONE, text=text + "\r\n\u202e"),
        ):
            line = line_of(event)
            self.assertTrue(line.isprintable(), line)
            self.assertIn("x1b[2J", line)

    def test_streams(self):
        """
        Failures go to the standard error, all else to the output; quiet, nothing else.
        """
        output, errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", errors)
        for show in (Lines(output), Errors()):
            for event in (LISTED, PROGRESS, FAILED):
                show(event)
            show.close()
        self.assertEqual(len(output.getvalue().splitlines()), 1)
        self.assertEqual(errors.getvalue(), "work: no password\n" * 2)

    def test_json(self):
        """
        As JSON, each event is an object on a line.
        """
        output = io.StringIO()
        show = JSON(output)
        show(STARTED)
        show(events.Warned(**ONE, text="\x1b\n"))
        first, second = map(json.loads, output.getvalue().splitlines())
        self.assertEqual(
            first,
            {"event": "started", "account": "work", "unique_id": "uid", "number": 2,
             "size": 1000, "resumed_at": 630},
        )  # fmt: skip
        self.assertEqual(second["text"], "\x1b\n")
        self.assertNotIn("\x1b", output.getvalue())

    def test_choice(self):
        """
        Bars are for terminals, and the output is left to mail where mail goes there.
        """
        for stream, kind in [(io.StringIO(), Lines), (Terminal(), Bars)]:
            self.patch(sys, "stderr", stream)
            self.assertIsInstance(shower(False, False, False), kind)
            self.assertIsInstance(shower(True, False, False), Errors)
            self.assertIsInstance(shower(False, True, False), JSON)
        self.patch(sys, "stderr", io.StringIO())
        shower(False, False, True)(LISTED)
        self.assertIn("2 new", sys.stderr.getvalue())


class BarTests(SynchronousTestCase):
    """
    Bars.
    """

    def setUp(self):
        self.output = io.StringIO()
        self.console = Console(file=self.output, width=140, force_terminal=False)
        self.bars = Bars(self.console, lambda: 0.0)
        self.addCleanup(self.bars.close)

    def drawn(self):
        with self.console.capture() as capture:
            self.console.print(self.bars)
        return capture.get()

    def test_resumed(self):
        """
        A message that goes on says where, beside its bar and that of all.
        """
        for event in (LISTED, STARTED, PROGRESS):
            self.bars(event)
        everything, message = self.drawn().splitlines()
        self.assertIn("work: all 2", everything)
        self.assertIn("0.8/1.5 kB", everything)
        self.assertIn("work: message 2", message)
        self.assertIn("0.8/1.0 kB", message)
        self.assertIn("resumed at 63 %, 630 bytes saved", message)

    def test_done(self):
        """
        What is delivered counts for all, and has its line above the bars.
        """
        for event in (LISTED, STARTED, PROGRESS, DELIVERED):
            self.bars(event)
        self.assertIn("1.0/1.5 kB", self.drawn().splitlines()[0])
        self.bars(FINISHED)
        self.assertEqual(self.drawn().strip(), "")
        self.assertIn("delivered, 1.0 kB, uid", self.output.getvalue())

    def test_nothingNew(self):
        """
        There are no bars where there is nothing to come.
        """
        self.bars(
            events.Listed(**ONE, messages=1, new=0, octets=0, held=0, deletable=0)
        )
        self.assertEqual(self.drawn().strip(), "")

    def test_hostile(self):
        """
        What looks like markup or an escape is shown as it is.
        """
        self.bars(events.Skipped(**ONE, unique_id=HOSTILE, why="x"))
        self.assertIn("[red]", self.output.getvalue())
        self.assertNotIn("\x1b", self.output.getvalue())
