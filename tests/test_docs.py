"""
What the pages say of the fetcher is complete.
"""

import argparse
import inspect
import os
import re
import runpy
from dataclasses import fields
from html import unescape
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.cli import fetch, parser
from extretr.client import events
from extretr.client.outcome import _STATUSES
from extretr.client.settings import SETTINGS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "fetching.rst"


class FetchingTests(SynchronousTestCase):
    """
    docs/fetching.rst.
    """

    def setUp(self):
        self.page = PAGE.read_text("utf-8")

    def test_settings(self):
        """
        Each setting is described.
        """
        described = set(re.findall(r"^``(\w+)``", self.page, re.MULTILINE))
        described |= set(re.findall(r"^``\w+``, ``(\w+)``", self.page, re.MULTILINE))
        for setting in SETTINGS:
            self.assertIn(setting.key, described)

    def test_options(self):
        """
        Each option that is no setting is named.
        """
        whole = parser()
        (commands,) = (
            action
            for action in whole._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        keys = {setting.key for setting in SETTINGS}
        for action in commands.choices["fetch"]._actions:
            if action.dest in keys | {"help", "what", argparse.SUPPRESS}:
                continue
            self.assertIn(f"``{action.option_strings[-1]}", self.page)

    def test_events(self):
        """
        Each event is there, with all of its fields.
        """
        rows = dict(
            re.findall(
                r"^   \* - (\w+)\n     - ((?:.|\n       )+)", self.page, re.MULTILINE
            )
        )
        kinds = [
            kind
            for _, kind in inspect.getmembers(events, inspect.isclass)
            if issubclass(kind, events.Event) and kind is not events.Event
        ]
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            row = rows[kind.__name__.lower()]
            for field in fields(kind):
                if field.name != "account":
                    self.assertIn(f"``{field.name}``", row, kind)

    def test_statuses(self):
        """
        Each exit status is there, in the help too.
        """
        known = {status for _, status in _STATUSES}
        known |= {os.EX_OK, os.EX_USAGE, os.EX_CONFIG}
        for status in known:
            self.assertIn(f"   * - {status}\n", self.page)
            self.assertRegex(fetch.EPILOG, rf"\b{status}\b")


class PictureTests(SynchronousTestCase):
    """
    The picture of a terminal.
    """

    def said(self, svg):
        """
        Give the text of a picture, line by line.
        """
        return [
            unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)
        ]

    def test_fetch(self):
        """
        It shows what ``extretr fetch`` shows today.
        """
        images = DOCS / "images"
        drawn = runpy.run_path(str(images / "make_fetch.py"))["draw"]()
        kept = (images / "fetch.svg").read_text("utf-8")
        self.assertEqual(self.said(drawn), self.said(kept))
        self.assertIn("resumed at 63", "".join(self.said(kept)).replace("\xa0", " "))
