"""
Privileges are given up once ports are open.  That takes root.
"""

import os
import poplib
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.server.schemes import SCHEMES
from tests.certificates import Authority
from tests.interop import ROOT, program, suite_of
from tests.interop.running import PATIENCE, RunningServer, environment, twistd_command
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

#: An account and a group that every Debian has.
USER, GROUP = "nobody", "nogroup"


def low_port():
    """
    Give a port below 1024 that is free.
    """
    for port in range(1023, 600, -1):
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port below 1024 is free")


class PrivilegesTests(SynchronousTestCase):
    """
    ``twistd --uid --gid extretr run``, started by root.
    """

    def setUp(self):
        self.assertEqual(os.geteuid(), 0, "these tests are for root")
        folder = Path(tempfile.mkdtemp(prefix="extretr-privileges-"))
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o711)
        self.account = pwd.getpwnam(USER)
        self.mail = folder / "mail"
        self.state = folder / "state"
        for path in (
            self.mail, self.mail / "alice", self.mail / "alice" / "new",
            self.mail / "alice" / "cur", self.mail / "alice" / "tmp", self.state,
        ):  # fmt: skip
            path.mkdir(mode=0o700)
            self.give(path)
        message = self.mail / "alice" / "new" / "1.a"
        message.write_bytes(b"Subject: x\n\nbody\n")
        message.chmod(0o600)
        self.give(message)

    def public(self):
        """
        Give what runs a command by a Python that everybody can read: that of these
        tests may be root's alone, and the workers are started without privileges.
        """
        folder = self.mail.parent / "public"
        script = ["set -e"]
        seen = {
            "python": sys.base_prefix,
            "packages": sysconfig.get_path("purelib"),
            "checkout": str(ROOT),
        }
        for name, path in seen.items():
            (folder / name).mkdir(parents=True)
            script.append(f"mount --bind '{path}' '{folder}/{name}'")
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        script += [
            "shift",
            f"export PYTHONPATH='{folder}/checkout:{folder}/packages'",
            f"cd '{folder}'",
            f"export LD_LIBRARY_PATH='{folder}/python/lib'",
            f"exec '{folder}/python/bin/python{version}' \"$@\"",
        ]
        # What is mounted is gone with the process.
        return [program("unshare"), "--mount", "sh", "-c", "\n".join(script), "sh"]

    def give(self, path):
        os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def server(self, *options, twistd=("--uid", USER, "--gid", GROUP), launcher=()):
        port = low_port()
        server = RunningServer(
            f"maildir:{self.mail}/%u",
            options=("--listen", f"tcp:{port}:interface=127.0.0.1", *options),
            twistd=twistd,
            launcher=launcher,
        )
        self.addCleanup(server.stop)
        # The users file must be there for the account too.
        server.folder.chmod(0o711)
        self.assertEqual(server.port, port)
        return server

    def owners(self, folder):
        return {path.stat().st_uid for path in folder.rglob("*")}

    def test_dropped(self):
        """
        A port of root's is listened on by an account without any privilege, whose mail
        is served and deleted, and whose the state is.
        """
        for state in (self.state, None):
            message = self.mail / "alice" / "new" / "1.a"
            message.write_bytes(b"Subject: x\n\nbody\n")
            self.give(message)
            server = self.server(*(("--state", str(state)) if state else ()))
            wire = Wire(server.port).login()
            status = Path(f"/proc/{server.pid}/status").read_text()
            for line in ("Uid", "Gid"):
                ids = re.search(rf"^{line}:\s+(.*)$", status, re.MULTILINE)[1].split()
                self.assertEqual(ids, [str(self.account.pw_uid)] * 4, line)
            self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
            self.assertEqual(wire.command(b"RETR 1 3"), b"+OK 20 octets (17 to come)")
            while wire.line() != b".":
                pass
            held = list((state or self.mail).rglob("lock"))
            self.assertEqual(len(held), 1)
            wire.command(b"DELE 1")
            wire.command(b"QUIT")
            self.assertFalse(message.exists())
            self.assertNotIn("Traceback", server.log())
            self.assertEqual(server.stop(), 0)
        for folder in (self.mail, self.state):
            self.assertEqual(self.owners(folder), {self.account.pw_uid})

    def test_schemes(self):
        """
        Passwords of every scheme are verified without any privilege, also where that
        cannot read Python's own files.  Without --gid the group is the account's.
        """
        server = self.server(twistd=("--uid", USER))
        users = server.folder / "users"
        lines = [
            f"{name}:{{{name}}}{scheme.make(b'secret')}\n"
            for name, scheme in SCHEMES.items()
        ]
        users.write_text("".join(lines))
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log(f"({len(lines)} accounts)")
        for name in SCHEMES:
            wire = Wire(server.port)
            wire.command(b"USER " + name.encode())
            wire.command(b"PASS secret")
        self.assertNotIn("Traceback", server.log())

    def test_workers(self):
        """
        Workers have no privilege either, and use a key that only root can read.
        """
        certificate = Authority().issue()
        pem = self.mail.parent / "key.pem"
        pem.write_bytes(certificate.certificate + certificate.key)
        pem.chmod(0o600)
        server = self.server(
            *("--workers", "2", "--certificate", str(pem)), launcher=self.public()
        )
        server.wait_for_log("worker 2")
        log = server.wait_for_log(") serves")
        pid = re.search(r"\(process (\d+)\) serves", log)[1]
        status = Path(f"/proc/{pid}/status").read_text()
        ids = re.search(r"^Uid:\s+(.*)$", status, re.MULTILINE)[1].split()
        self.assertEqual(ids, [str(self.account.pw_uid)] * 4)
        client = poplib.POP3("127.0.0.1", server.port, timeout=PATIENCE)
        client.stls(ssl.create_default_context(cadata=certificate.authority.decode()))
        client.user("alice")
        client.pass_("secret")
        client.dele(1)
        client.quit()
        self.assertEqual(self.owners(self.mail), {self.account.pw_uid})

    def test_needsMail(self):
        """
        Without --mail there is nothing that another account could serve.
        """
        run = subprocess.run(
            twistd_command("-n", "--pidfile=", "--uid", USER, "extretr"),
            env=environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(run.returncode, 1)
        self.assertEqual(
            run.stderr.partition(" (")[0], "extretr: --uid and --gid need --mail"
        )
