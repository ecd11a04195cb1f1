"""
The README's first command, and what the server then says to type, typed as they are.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import ROOT, copy_of_checkout, program, suite_of

test_suite = suite_of(__name__)


class ReadmeTests(SynchronousTestCase):
    """
    A machine that has Python and curl, and one who reads.
    """

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="extretr-readme-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.checkout = copy_of_checkout(self.folder)
        # python3 is the one that runs the tests; the data directory is not the user's.
        self.environment = {
            **os.environ,
            "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
            "XDG_DATA_HOME": str(self.folder / "data"),
        }
        self.environment.pop("PYTHONPATH", None)

    def serve(self, command):
        """
        Run the server until the test ends, and give what it prints until it listens.
        """
        server = subprocess.Popen(
            command,
            shell=True,
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.stop, server)
        said = ""
        for line in server.stdout:
            said += line
            if "listening on" in line:
                break
        return said

    def stop(self, server):
        """
        End the shell and the server that it started, and wait for both.
        """
        os.killpg(server.pid, signal.SIGTERM)
        # Its output ends when the last of them is gone.
        server.communicate()

    def test_serverCommand(self):
        """
        The server starts with a sample message; fetched in two parts by the commands
        that it prints, the message is the same as in one.
        """
        program("curl")
        readme = (ROOT / "README.rst").read_text("utf-8")
        (command,) = re.findall(r"^\.\. ci: server\n\n::\n\n    (.+)\n", readme, re.M)
        said = self.serve(command)
        typed = re.findall(r"^  (curl .+)\n", said, re.M)
        self.assertEqual(len(typed), 3, said)
        answers = [
            subprocess.run(
                line,
                shell=True,
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                check=False,
                text=True,
            ).stdout
            for line in typed
        ]
        self.assertEqual(answers, ["", "", "same\n"])
        whole = (self.folder / "whole.eml").read_bytes()
        self.assertGreater(len(whole), 4_000_000)
        self.check_fetch(re.findall(r"^  (extretr fetch .+)\n", said, re.M), whole)

    def check_fetch(self, typed, whole):
        """
        See that the commands for the fetcher do as they say, with Ctrl-C in between.
        """
        slowly, again = typed
        scripts = self.checkout / "venv" / "bin"
        environment = {
            **self.environment,
            "PATH": f"{scripts}{os.pathsep}{self.environment['PATH']}",
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        process = subprocess.Popen(
            f"exec {slowly}",
            shell=True,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # At 500 KiB a second there are eight of them.
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        self.assertIn(b"what is held is kept", said)
        said = subprocess.run(
            again,
            shell=True,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            check=True,
        ).stdout
        self.assertRegex(said, rb"resumed at \d\d %")
        (delivered,) = (self.folder / "fetched" / "new").iterdir()
        self.assertTrue(models.canonical(delivered.read_bytes()) == whole)
