"""
The command-injection-tester of those who found the holes (CVE-2011-0411 and kin).

It never fails by its exit status: what it prints is its verdict.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import for_loopback
from tests.interop import ROOT, suite_of
from tests.interop.running import PATIENCE, RunningServer, environment

test_suite = suite_of(__name__)


class InjectionTests(SynchronousTestCase):
    """
    Commands that are sent in clear behind STLS.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.pem = self.folder / "both.pem"
        self.pem.write_bytes(for_loopback().certificate + for_loopback().key)

    def verdict(self, port):
        """
        Run the tester; give what it says of the server.
        """
        name = "command-injection-tester"
        beside = Path(sys.executable).with_name(name)
        script = beside if beside.exists() else shutil.which(name)
        if script is None:
            raise AssertionError(f"{name} is not installed: see .ci/run")
        run = subprocess.run(
            [
                *(sys.executable, str(script), "127.0.0.1", "--nocolor"),
                *("--pop3", "--pop3-port", str(port), "--timeout", "1"),
            ],
            cwd=self.folder,
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertIn("Sanity test done", run.stdout, run)
        return run.stdout

    def test_ours(self):
        """
        Our server does not run them.
        """
        with RunningServer(options=("--certificate", str(self.pem))) as server:
            found = self.verdict(server.port)
        self.assertIn("Probably no command injection here!", found)
        for words in ("Command injection", "Possible", "Probable", "unresponsive"):
            self.assertNotIn(words, found)
        self.assertNotIn("TLS handshake failed", found)

    def test_naive(self):
        """
        The tester finds it where a server does.
        """
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.interop.naive_stls", str(self.pem)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, PATIENCE)
        self.addCleanup(server.kill)
        found = self.verdict(int(server.stdout.readline()))
        self.assertIn("Command injection here!", found)
        self.assertNotIn("no command injection", found)
