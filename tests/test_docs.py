"""
What the pages say of the fetcher is complete.
"""

import argparse
import inspect
import os
import re
from dataclasses import fields
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.cli import fetch, parser
from extretr.client import events
from extretr.client.outcome import _STATUSES
from extretr.client.settings import SETTINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fetching.rst"


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
