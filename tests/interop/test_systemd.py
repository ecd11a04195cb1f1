"""
The server under systemd, or what looks like it: sockets passed, datagrams taken.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.cli import parser
from tests.interop import ROOT, program, suite_of
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

#: Passes a descriptor as systemd passes that of a socket unit, and runs a command.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="pop3")
os.execv(sys.argv[2], sys.argv[2:])
"""

#: What a score of "systemd-analyze security" may be at most; 100 is the worst.
MOST_EXPOSED = 20


class SystemdTests(SynchronousTestCase):
    """
    ``twistd extretr run`` as a unit runs it.
    """

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_notified(self):
        """
        Systemd is told when connections are taken, when a reload begins and ends, that
        the process lives, and that it stops.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(self.folder / "notify"))
            systemd.settimeout(PATIENCE)

            def told(*but):
                while (text := systemd.recv(1000).decode()) in but:
                    pass
                return text.split("\n")

            env = {
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                "WATCHDOG_USEC": "1000000",
            }
            with RunningServer(env=env) as server:
                self.assertEqual(told(), ["READY=1"])
                Wire(server.port)
                self.assertEqual(told(), ["WATCHDOG=1"])
                os.kill(server.pid, signal.SIGHUP)
                self.assertEqual(told("WATCHDOG=1")[0], "RELOADING=1")
                self.assertEqual(told(), ["READY=1"])
                os.kill(server.pid, signal.SIGTERM)
                self.assertEqual(told("WATCHDOG=1")[0], "STOPPING=1")

    def test_socket(self):
        """
        A socket of a socket unit is listened on by its name, and what connected before
        the server was there is served.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            early = socket.create_connection(listening.getsockname())
            self.addCleanup(early.close)
            server = RunningServer(
                options=("--listen", "systemd:domain=INET:name=pop3"),
                launcher=(sys.executable, "-c", LAUNCHER, str(listening.fileno())),
                pass_fds=(listening.fileno(),),
            )
            self.addCleanup(server.stop)
            self.assertEqual(server.port, listening.getsockname()[1])
        early.settimeout(PATIENCE)
        self.assertTrue(early.recv(100).startswith(b"+OK"))
        Wire(server.port).login().command(b"STAT")

    def test_units(self):
        """
        Systemd finds nothing wrong with the units, nor much that they leave open; what
        the unit runs are options that there are.
        """
        for name in ("extretr.service", "extretr.socket"):
            unit = (ROOT / "docs" / "deploy" / name).read_text("utf-8")
            (self.folder / name).write_text(
                unit.replace("/opt/extretr/bin/twistd", sys.executable)
            )
        command = [program("systemd-analyze"), "--no-pager"]
        for arguments in (
            ("verify", "./extretr.service", "./extretr.socket"),
            (
                "security",
                "--offline=true",
                f"--threshold={MOST_EXPOSED}",
                "./extretr.service",
            ),
        ):
            run = subprocess.run(
                [*command, *arguments],
                cwd=self.folder,
                capture_output=True,
                check=False,
                text=True,
                timeout=PATIENCE,
            )
            self.assertEqual((run.returncode, run.stderr), (0, ""), run)

    def test_fetchUnits(self):
        """
        Nor with the fetcher's, which are units of a user.
        """
        names = ("extretr-fetch.service", "extretr-fetch.timer")
        command = "%h/.local/bin/extretr"
        for name in names:
            unit = (ROOT / "docs" / "deploy" / name).read_text("utf-8")
            self.assertEqual(command in unit, name.endswith("service"))
            (self.folder / name).write_text(unit.replace(command, sys.executable))
        run = subprocess.run(
            [program("systemd-analyze"), "--user", "--no-pager", "verify", *names],
            cwd=self.folder,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.folder)},
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        unit = (self.folder / names[0]).read_text("utf-8")
        words = re.search(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)[1].split()
        self.assertEqual(parser().parse_args(words).command, "fetch")

    def test_command(self):
        """
        The command line of the unit is one that the server takes.
        """
        unit = (ROOT / "docs" / "deploy" / "extretr.service").read_text("utf-8")
        found = re.search(r"^ExecStart=\S+ (.*?[^\\])$", unit, re.DOTALL | re.MULTILINE)
        words = found[1].replace("\\\n", " ").replace("%%", "%").split()
        twistd, run = words[: words.index("extretr")], words[words.index("extretr") :]
        self.assertEqual(twistd, ["--nodaemon", "--pidfile=", "--umask=0077"])
        mail = self.folder / "mail"
        mail.mkdir()
        users = self.folder / "users"
        users.write_text("alice:{PLAIN}secret\n")
        given = {
            "maildir:/srv/mail/%u": f"maildir:{mail}/%u",
            "/etc/extretr/users": str(users),
        }
        from extretr.tap import Options

        options = Options()
        options.parseOptions([given.get(word, word) for word in run[1:]])
        self.assertEqual(
            options.subOptions["listen"], ["systemd:domain=INET6:name=pop3"]
        )
