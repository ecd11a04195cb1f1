"""
Twisted's own tests of its POP3 server pass with ours, but for a list of flaws.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.running import environment

EXPECTED = Path(__file__).with_name("expected_failures.txt")


class TwistedSuiteTests(SynchronousTestCase):
    """
    The class swapped in.
    """

    def test_expectedFailures(self):
        """
        Exactly those tests fail that have a flaw of stock written into them.
        """
        # Some of these tests leave files where they run.
        folder = self.mktemp()
        os.makedirs(folder)
        run = subprocess.run(
            [sys.executable, "-m", "tests.interop.twisted_suite"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            check=False,
            text=True,
        )
        *lines, summary = run.stdout.splitlines() or [""]
        self.assertRegex(summary, r"\A\d{3} run, \d{3} passed\Z", run.stderr)
        failed = {line.partition("\t")[0] for line in lines if "\t" in line}
        listed = dict(
            line.split("\t") for line in EXPECTED.read_text("utf-8").splitlines()
        )
        self.assertTrue(all(listed.values()))
        self.assertEqual(failed, set(listed))
