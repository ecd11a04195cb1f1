"""
``extretr fetch`` against servers that other people wrote, and against ours.
"""

import random
import re
import socket
import subprocess
import sys
import threading
from base64 import encodebytes
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import suite_of
from tests.interop.fetching import Fetcher, in_maildir, in_mbox
from tests.interop.peers import Courier, Dovecot, Mailutils, Popa3d
from tests.interop.relay import Relay
from tests.interop.running import ROOT, RunningServer, environment, twistd_command

test_suite = suite_of(__name__)

HEADER = (
    b"From: Sender <sender@example.org>\nTo: alice@example.org\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <%d@example.org>\n"
    b"Subject: message %d\n\n"
)

MESSAGES = [
    HEADER % (number, number) + body
    for number, body in enumerate(
        [
            b"plain\n",
            b".\n..\n...\n.leading\nmid.dle\n\n.\n",
            b">From quoted\nand then From here\n",
            b"caf\xe9 " + bytes(range(0xA0, 0x100)) + b"\n",
            b"x" * 900 + b"\n" + b".y" * 400 + b"\n",
            encodebytes(random.Random(1939).randbytes(5 * 1024 * 1024)),
        ]
    )
]

CANONICAL = sorted(map(models.canonical, MESSAGES))


def stuffing():
    """
    Count the octets that the messages get on the wire.
    """
    return sum(octets.count(b"\r\n.") for octets in CANONICAL)


class FetchCase(SynchronousTestCase):
    """
    A fetcher, and what it has delivered.
    """

    def fetcher(self, server, *options, to="maildir:mail", scheme="pop3", port=None):
        url = f"{scheme}://alice@127.0.0.1:{port or server.port}"
        return Fetcher(self.mktemp(), url, to, *options)

    def fill(self, server):
        for stored in MESSAGES:
            server.deliver("alice", stored)

    def assertFetched(self, fetcher, expected=CANONICAL, added=None):
        """
        All is there, octet for octet, but for a field that the server has added.
        """
        if fetcher.to.startswith("mbox:"):
            found = in_mbox(fetcher.home / "mail", fetcher.home / "reader")
        else:
            found = in_maildir(fetcher.home / "mail")
        if added is not None:
            found = sorted(re.sub(added, b"", each, count=1) for each in found)
        self.assertEqual(list(map(len, found)), list(map(len, expected)))
        self.assertTrue(found == expected)


class OtherServerTests(FetchCase):
    """
    Servers that do not resume: mail comes whole, once, and is deleted when it is safe.
    """

    def check(self, kind, to="maildir:mail", added=None):
        with kind() as server:
            self.fill(server)
            fetcher = self.fetcher(server, to=to)
            self.assertIn(b"does not offer to resume", fetcher.run())
            self.assertFetched(fetcher, CANONICAL, added)
            self.assertEqual(server.count("alice"), len(MESSAGES))
            server.deliver("alice", b"Subject: late\n\nlate\n")
            events = fetcher.events("--delete")
            # mbox servers write into the mailbox what they remember of it.
            self.assertEqual(events[-1]["delivered"], 1, events)
            (deleted,) = [one for one in events if one["event"] == "deleted"]
            self.assertEqual(deleted["messages"], len(MESSAGES) + 1)
            self.assertEqual(server.count("alice"), 0)
            late = b"Subject: late\r\n\r\nlate\r\n"
            self.assertFetched(fetcher, sorted([*CANONICAL, late]), added)

    def test_dovecot(self):
        """
        Dovecot, into a Maildir.
        """
        self.check(Dovecot)

    def test_courier(self):
        """
        Courier, which ignores an offset and so never gets one, into an mbox.
        """
        self.check(Courier, "mbox:mail")

    def test_popa3d(self):
        """
        popa3d, which has no CAPA.
        """
        self.check(Popa3d)

    def test_mailutils(self):
        """
        GNU mailutils, which puts a field with the unique-id into what it sends.
        """
        self.check(Mailutils, added=rb"X-UIDL: [^\r]*\r\n")


class SecureTests(FetchCase):
    """
    TLS and passwords, with Dovecot.
    """

    def setUp(self):
        self.server = Dovecot(tls=True)
        self.addCleanup(self.server.stop)
        self.fill(self.server)
        self.trusting = ("--ca-file", str(self.server.certificate), "--no-plaintext")

    def secure(self, fetcher):
        # First it says that the Maildir is new.
        connected = fetcher.events()[1]
        self.assertEqual((connected["event"], connected["secure"]), ("connected", True))
        self.assertFetched(fetcher)

    def test_stls(self):
        """
        STLS is used where it is offered.
        """
        self.secure(self.fetcher(self.server, *self.trusting))

    def test_implicit(self):
        """
        TLS from the first octet on.
        """
        fetcher = self.fetcher(
            self.server, *self.trusting, scheme="pop3s", port=self.server.tls_port
        )
        self.secure(fetcher)

    def test_methods(self):
        """
        Each way to log in that the server has.
        """
        for method in ("scram-sha-256", "plain", "user"):
            fetcher = self.fetcher(self.server, *self.trusting, "--auth", method)
            self.secure(fetcher)

    def test_wrongPassword(self):
        """
        A wrong password is status 77, in each way.
        """
        for method in ("scram-sha-256", "plain", "user"):
            fetcher = self.fetcher(self.server, *self.trusting, "--auth", method)
            fetcher.run("--passwordeval", "echo wrong", status=77)

    def test_notTrusted(self):
        """
        A server whose certificate is not trusted gets nothing, and it is status 69.
        """
        for scheme, port in (
            ("pop3", self.server.port),
            ("pop3s", self.server.tls_port),
        ):
            fetcher = self.fetcher(self.server, scheme=scheme, port=port)
            process = fetcher.start()
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 69, errors)
            self.assertIn(b"not trusted", errors)
        self.assertNotIn("alice", self.server.log())

    def test_otherName(self):
        """
        So it is where the certificate is for another name.
        """
        name = socket.gethostname()
        with Forwarder(("127.0.0.1", self.server.tls_port), name) as forwarder:
            url = f"pop3s://alice@{name}:{forwarder.port}"
            fetcher = Fetcher(self.mktemp(), url, "maildir:mail", *self.trusting[:2])
            process = fetcher.start()
            _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 69, errors)
        self.assertIn(b"is not for " + name.encode(), errors)


class Forwarder:
    """
    Another name by which a server is reached: one connection.
    """

    def __init__(self, target, name):
        self._target = target
        self._listening = socket.create_server((socket.gethostbyname(name), 0))
        self.port = self._listening.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listening.close()

    def _serve(self):
        client, _ = self._listening.accept()
        server = socket.create_connection(self._target)
        for source, sink in ((client, server), (server, client)):
            threading.Thread(
                target=self._carry, args=(source, sink), daemon=True
            ).start()

    def _carry(self, source, sink):
        try:
            while octets := source.recv(65536):
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class OurServerTests(FetchCase):
    """
    Our own server.
    """

    def setUp(self):
        self.server = RunningServer(options=["--takeover-after", "3"])
        self.addCleanup(self.server.stop)
        for number, stored in enumerate(MESSAGES):
            self.server.deliver(b"alice", b"%d" % number, stored)

    def test_targets(self):
        """
        Maildir, mbox, delivery agent and standard output, with either line end.
        """
        for to in ("maildir:mail", "mbox:mail"):
            for ends in ("lf", "crlf"):
                fetcher = self.fetcher(self.server, "--line-ends", ends, to=to)
                fetcher.run()
                self.assertFetched(fetcher)
        agent = self.fetcher(self.server, to="mda:cat > got.$$; test -s got.$$")
        agent.run()
        found = sorted(
            models.canonical(path.read_bytes()) for path in agent.home.glob("got.*")
        )
        self.assertTrue(found == CANONICAL)
        output = self.fetcher(self.server, to="-")
        (output.home / "mail").write_bytes(output.run())
        self.assertTrue(in_mbox(output.home / "mail", output.home / "r") == CANONICAL)

    def test_agentFails(self):
        """
        What the delivery agent does not take stays on the server, and comes again.
        """
        agent = self.fetcher(self.server, "--delete", to="mda:exit 75")
        agent.run(status=75)
        agent.arguments[agent.arguments.index("mda:exit 75")] = "mda:exit 1"
        agent.run(status=73)
        agent.arguments[agent.arguments.index("mda:exit 1")] = "maildir:mail"
        agent.run()
        self.assertFetched(agent)

    def test_badLinks(self):
        """
        Over links that are cut, loudly or not, that stall or are slow, all mail
        arrives, and hardly an octet twice.
        """
        size = sum(map(len, CANONICAL))
        # A silent link costs the client its time-out, and then the server its own.
        for how, cuts, timeout in (
            ("close", 8, "60"),
            ("reset", 8, "60"),
            ("silence", 2, "5"),
            ("stall", 2, "5"),
        ):
            dice = random.Random(how)
            limit_of = {
                number: dice.randrange(300_000, 1_000_000)
                for number in range(1, cuts + 1)
            }
            link = Relay(
                ("127.0.0.1", self.server.port),
                cut_after=limit_of.get,
                how=how,
                rate=1e8,
            )
            with link:
                fetcher = self.fetcher(
                    self.server, "--timeout", timeout, port=link.port
                )
                events = fetcher.events()
            self.assertFetched(fetcher)
            # On a busy machine a login may time out as well.
            self.assertIn(link.connections - cuts, (1, 2, 3), how)
            self.assertGreater(events[-1]["saved"], 500_000, how)
            # What was on its way when a link was reset is lost.
            lost = 200_000 * cuts if how == "reset" else 0
            most = size + stuffing() + link.connections * 3_000 + lost
            self.assertLess(link.received, most, how)

    def fetch_over(self, cut_after, size):
        """
        Fetch one message over a link that is cut; give the octets that passed it for
        each of the message.
        """
        stored = HEADER % (1, 1) + encodebytes(random.Random(7).randbytes(size))
        with RunningServer() as server:
            server.deliver(b"alice", b"1", stored)
            with Relay(("127.0.0.1", server.port), cut_after=cut_after) as link:
                fetcher = self.fetcher(server, port=link.port)
                fetcher.run()
            self.assertFetched(fetcher, [models.canonical(stored)])
        return link.received / len(models.canonical(stored))

    def test_octets(self):
        """
        Over a link that is cut after each MiB at most 1.005 octets are received for
        each of a message, and at most 1.002 where it is cut in as many places as there
        are 1.3 MiB.
        """
        mib = 1024 * 1024
        self.assertLessEqual(self.fetch_over(mib, 4 * mib), 1.005)
        cuts = {1: 900_000, 2: 2_000_000, 3: 1_300_000}
        self.assertLessEqual(self.fetch_over(cuts.get, 4 * mib), 1.002)

    def test_memory(self):
        """
        A message of 48 MiB takes at most 8 MiB more of memory than one of 1 MiB, and
        all of it less than 80 MiB.
        """
        start = (
            "import sys; from extretr.cli import main; status = main(); "
            "print(open('/proc/self/status').read(), file=sys.stderr); "
            "sys.exit(status)"
        )
        peaks = []
        for size in (1, 48):
            with RunningServer() as server:
                stored = b"Subject: x\n\n" + b"line of text\n" * (size * 80_660)
                server.deliver(b"alice", b"1", stored)
                fetcher = self.fetcher(server)
                process = fetcher.start("--quiet", command=start)
                _, errors = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, errors)
            self.assertFetched(fetcher, [models.canonical(stored)])
            peaks.append(int(re.search(rb"VmHWM:\s*(\d+)", errors)[1]) / 1024)
        self.assertLess(peaks[1], 80)
        self.assertLess(peaks[1] - peaks[0], 8)

    def test_twoRuns(self):
        """
        Of two runs for an account the second ends at once with status 75.
        """
        first = self.fetcher(self.server, to="mda:cat >> got; sleep 2; true")
        process = first.start()
        while not (first.home / "got").exists():
            pass
        _, errors = (second := first.start()).communicate(timeout=30)
        self.assertEqual(second.returncode, 75)
        self.assertIn(b"another run", errors)
        process.kill()
        process.communicate()

    def test_inClear(self):
        """
        A server without TLS gets no password, unless it may: status 69.
        """
        fetcher = self.fetcher(self.server, "--no-plaintext")
        process = fetcher.start()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 69)
        self.assertIn(b"offers no TLS", errors)

    def fill_disk(self, fetcher, folder, says):
        """
        Fetch with a folder on a disk that is too small, see what is said, and fetch
        again with a larger one.
        """
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=3M", "none", str(folder)]
        subprocess.run(mount, check=True)
        self.addCleanup(subprocess.run, ["umount", str(folder)], check=True)
        process = fetcher.start()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 74, errors)
        self.assertRegex(errors, says + rb"; what is held is kept.*\n$")
        self.assertNotIn(b"Traceback", errors)
        left = list((self.server.maildir(b"alice") / "new").iterdir())
        self.assertEqual(len(left), len(MESSAGES))
        subprocess.run(["mount", "-o", "remount,size=30M", str(folder)], check=True)
        events = fetcher.events()
        self.assertGreater(events[-1]["saved"], 1_000_000)

    def test_fullDisk(self):
        """
        A full disk is status 74, and the server's copy stays; when there is room again,
        the download goes on.
        """
        fetcher = self.fetcher(self.server, "--delete")
        says = rb"(part: No space left on device|disk is full)"
        self.fill_disk(fetcher, fetcher.home / "state", says)
        self.assertFetched(fetcher)

    def test_fullTarget(self):
        """
        So it is where the disk is that of the mailbox, which then holds no half.
        """
        for kind in ("maildir", "mbox"):
            fetcher = self.fetcher(self.server, to=f"{kind}:disk/mail")
            disk = fetcher.home / "disk"
            says = rb"/disk/mail: No space left on device"
            self.fill_disk(fetcher, disk, says)
            if kind == "mbox":
                found = in_mbox(disk / "mail", fetcher.home / "reader")
            else:
                found = in_maildir(disk / "mail")
            self.assertTrue(found == CANONICAL)

    def test_noSecret(self):
        """
        The password is in nothing that is printed or kept, whether it is right or not.
        """
        for status, password in ((0, "secret"), (77, "hunter2")):
            fetcher = self.fetcher(self.server)
            mine = ("--passwordeval", f"echo {password}")
            # Also what the fetcher would say of a mistake.
            process = fetcher.start("--json", *mine, PYTHONDEVMODE="1")
            said = b"".join(process.communicate(timeout=60))
            self.assertEqual(process.returncode, status, said)
            kept = (fetcher.home / "state").rglob("*")
            said += b"".join(each.read_bytes() for each in kept if each.is_file())
            self.assertGreater(len(said), 5000)
            self.assertNotIn(password.encode(), said)

    def test_deafOutput(self):
        """
        Where nobody reads what it prints, the mail is fetched all the same; the status
        is 74, and a line says why.
        """
        for shown in ("--json", "--attempts=9"):
            fetcher = self.fetcher(self.server)
            process = fetcher.start(shown)
            process.stdout.close()
            errors = process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(60), 74, errors)
            self.assertEqual(errors, b"extretr: the output fails: Broken pipe\n")
            self.assertFetched(fetcher)
        status = Fetcher(self.mktemp(), "x", "x")
        status.arguments = ["status"]
        process = status.start()
        process.stdout.close()
        self.assertIn(b"the output fails", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(60), 74)

    def test_filter(self):
        """
        The filter sees the header, and leaves what it does not want.
        """
        fetcher = self.fetcher(self.server, "--filter", "! grep -q 'message 5'")
        fetcher.run()
        self.assertEqual(len(in_maildir(fetcher.home / "mail")), len(MESSAGES) - 1)
        broken = self.fetcher(self.server, "--filter", "exit 3")
        self.assertIn(b"the filter ended with status 3", broken.run(status=75))

    def test_twistd(self):
        """
        As a service of twistd.
        """
        fetcher = self.fetcher(self.server)
        config = fetcher.home / "fetch.toml"
        config.write_text(
            f'[work]\nurl = "pop3://alice@127.0.0.1:{self.server.port}"\n'
            'to = "mail"\npasswordeval = "echo secret"\n',
            "utf-8",
        )
        config.chmod(0o600)
        service = subprocess.Popen(
            twistd_command(
                *("-n", f"--pidfile={fetcher.home}/pid", "extretr", "fetch"),
                *("--config", str(config), "--state", str(fetcher.home / "state")),
            ),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        said = b""
        for line in service.stdout:
            said += line
            if b"messages delivered" in line:
                break
        service.terminate()
        said += service.communicate()[0]
        self.assertNotIn(b"secret", said)
        # twistd ends by the signal that it was sent.
        self.assertEqual(service.returncode, -15)
        self.assertFetched(fetcher)

    def test_example(self):
        """
        The example of the docs goes on where a file ends.
        """
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        whole = models.canonical(MESSAGES[0])
        (folder / "part").write_bytes(whole[:50])
        run = subprocess.run(
            [
                *(sys.executable, ROOT / "docs" / "examples" / "resume.py"),
                *("127.0.0.1", str(self.server.port), "alice", "secret", "part"),
            ],
            cwd=folder,
            env=environment(),
            capture_output=True,
            check=True,
        )
        self.assertIn(b"50 octets were there", run.stdout)
        self.assertEqual((folder / "part").read_bytes(), whole)
