"""
Real clients fetch real mail from a real server, and resume it where they can.
"""

import os
import poplib
import random
import subprocess
import sys
from base64 import encodebytes
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import program, suite_of
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

#: Seconds that a client may take for the whole maildrop.
PATIENCE = 120

HEADER = (
    b"From: Sender <sender@example.org>\nTo: alice@example.org\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <%d@example.org>\n"
    b"Subject: message %d\n\n"
)


def corpus():
    """
    Give awkward messages in their stored form.
    """
    noise = random.Random(1939)
    bodies = [
        b"plain\n",
        b".\n..\n...\n.leading\nmid.dle\n\n.\n",
        b"no final newline",
        b"caf\xe9 " + bytes(range(0xA0, 0x100)) + b"\n",
        b"x" * 1900 + b"\n" + b".y" * 900 + b"\n",
        encodebytes(noise.randbytes(30 * 1024 * 1024)),
    ]
    messages = [HEADER % (n, n) + body for n, body in enumerate(bodies)]
    # The same again as some programs store mail.
    messages.append((HEADER % (99, 99) + b".crlf\nstored\n").replace(b"\n", b"\r\n"))
    return messages


def lines_of(octets):
    """
    Give lines without their ends: what no client may change.
    """
    return octets.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")


class ClientTests(SynchronousTestCase):
    """
    Each client gets each message whole.
    """

    def setUp(self):
        self.messages = corpus()
        self.server = RunningServer()
        self.addCleanup(self.server.stop)
        for number, stored in enumerate(self.messages, 1):
            self.server.deliver(b"alice", b"%d.M1P1.host" % number, stored)
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.url = f"pop3://127.0.0.1:{self.server.port}"

    def run_client(self, *command, stdin=None, status=(0,)):
        run = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            cwd=self.folder,
            # PYTHONPATH is that of trial's workers; getmail has a Python of its own.
            env={**os.environ, "HOME": str(self.folder), "PYTHONPATH": ""},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        said = run.stdout[-2000:] + run.stderr[-2000:] + self.server.log().encode()
        self.assertIn(run.returncode, status, said)
        return run.stdout

    def config(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def maildir(self):
        for name in ("tmp", "new", "cur"):
            (self.folder / "in" / name).mkdir(parents=True)
        return self.folder / "in"

    def agent(self):
        """
        Make a delivery agent that keeps what it gets below ``out``.
        """
        (self.folder / "out").mkdir()
        return self.config(
            "agent.py",
            "import os, sys\n"
            "octets = sys.stdin.buffer.read()\n"
            f"name = os.path.join({str(self.folder / 'out')!r}, str(os.getpid()))\n"
            "open(name, 'wb').write(octets)\n",
        )

    def check_delivered(self, folder, added=b""):
        """
        Check that the messages in *folder* are the originals, in whatever order.

        What the client is known to put before each is given as *added*.
        """
        delivered = [path.read_bytes() for path in folder.iterdir()]
        self.assertTrue(all(octets.startswith(added) for octets in delivered))
        delivered = [lines_of(octets.removeprefix(added)) for octets in delivered]
        wanted = [lines_of(stored) for stored in self.messages]
        key = lambda lines: lines[3]  # noqa: E731
        self.assertEqual(len(delivered), len(wanted))
        for got, want in zip(
            sorted(delivered, key=key), sorted(wanted, key=key), strict=True
        ):
            self.assertTrue(got == want, (len(got), len(want), got[:12], got[-3:]))

    def poplib(self):
        client = poplib.POP3("127.0.0.1", self.server.port, timeout=PATIENCE)
        client.user("alice")
        client.pass_("secret")
        return client

    def test_poplib(self):
        """
        Python's poplib fetches all; sizes are those of what it got; DELE and QUIT
        remove.
        """
        client = self.poplib()
        sizes = [int(line.split()[1]) for line in client.list()[1]]
        for number, stored in enumerate(self.messages, 1):
            _, lines, octets = client.retr(number)
            got = b"".join(line + b"\r\n" for line in lines)
            self.assertTrue(got == models.canonical(stored), number)
            self.assertEqual(octets, sizes[number - 1])
            client.dele(number)
        client.quit()
        self.assertEqual(list((self.server.maildir(b"alice") / "new").iterdir()), [])

    def test_poplibResumes(self):
        """
        ``retr("n offset")`` resumes: held prefix and the rest are the message.
        """
        client = self.poplib()
        for number, stored in enumerate(self.messages, 1):
            whole = models.canonical(stored)
            for offset in {0, 1, len(whole) // 2, len(whole) - 2, len(whole)}:
                while not models.accepted(whole, offset):
                    offset -= 1
                if whole[offset : offset + 1] == b"\n":
                    offset -= 1
                _, lines, _ = client.retr(f"{number} {offset}")
                rest = b"".join(line + b"\r\n" for line in lines)
                self.assertTrue(whole[:offset] + rest == whole, (number, offset))
        client.quit()

    def test_curl(self):
        """
        Curl gets each message octet for octet, and resumes by a request of its own.
        """
        curl = program("curl")
        for number, stored in enumerate(self.messages, 1):
            whole = models.canonical(stored)
            command = (curl, "-sS", "-u", "alice:secret")
            got = self.run_client(*command, f"{self.url}/{number}")
            self.assertTrue(got == whole, (number, len(got), len(whole)))
            offset = len(whole) // 2
            if whole[offset - 1 : offset] == b"\r":
                offset -= 1
            rest = self.run_client(
                *command, "-X", f"RETR {number} {offset}", f"{self.url}/"
            )
            self.assertTrue(whole[:offset] + rest == whole, (number, offset))

    def test_netPop3(self):
        """
        Perl's Net::POP3 fetches all; it gives lines that end in LF.
        """
        script = (
            "my $pop = Net::POP3->new('127.0.0.1', Port => $ARGV[0]) or die;"
            "my $count = $pop->login('alice', 'secret'); die unless $count > 0;"
            "for my $n (1 .. $count) { open my $out, '>:raw', \"out/$n\" or die;"
            " print $out @{$pop->get($n) or die}; close $out; } $pop->quit;"
        )
        (self.folder / "out").mkdir()
        self.run_client(program("perl"), "-MNet::POP3", "-e", script, self.server.port)
        self.check_delivered(self.folder / "out")

    def test_mpop(self):
        """
        Mpop, which pipelines, delivers all into a Maildir and deletes them here.
        """
        config = self.config(
            "mpoprc",
            "account default\nhost 127.0.0.1\n"
            f"port {self.server.port}\nuser alice\npassword secret\nauth user\n"
            f"tls off\nkeep off\ndelivery maildir {self.maildir()}\n"
            f"uidls_file {self.folder}/uidls\nreceived_header off\n",
        )
        self.run_client(program("mpop"), "-C", config, "-q")
        self.check_delivered(self.folder / "in" / "new")
        self.assertEqual(list((self.server.maildir(b"alice") / "new").iterdir()), [])

    def test_getmail(self):
        """
        Getmail6 hands all to a delivery agent (as root it takes no Maildir).
        """
        self.config(
            "getmailrc",
            "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\n"
            f"port = {self.server.port}\nusername = alice\npassword = secret\n"
            f"[destination]\ntype = MDA_external\npath = {sys.executable}\n"
            f"arguments = ({str(self.agent())!r},)\nallow_root_commands = true\n"
            "[options]\ndelivered_to = false\nreceived = false\nverbose = 0\n",
        )
        self.run_client(program("getmail"), f"--getmaildir={self.folder}")
        self.check_delivered(self.folder / "out", b"Return-Path: <unknown>\n")

    def test_fetchmail(self):
        """
        Fetchmail hands all to a delivery agent.
        """
        config = self.config(
            "fetchmailrc",
            "set no bouncemail\nset invisible\n"
            f"poll 127.0.0.1 protocol POP3 port {self.server.port} auth password\n"
            "  user alice password secret sslproto '' keep no rewrite\n"
            f'  mda "{sys.executable} {self.agent()}"\n',
        )
        self.run_client(
            program("fetchmail"),
            "-f",
            config,
            "--idfile",
            self.folder / "ids",
            "--pidfile",
            self.folder / "pid",
        )
        self.check_delivered(self.folder / "out")
