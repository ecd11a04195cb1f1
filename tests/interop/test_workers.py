"""
A server of several processes.
"""

import base64
import os
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.interop import suite_of
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire
from tests.interop.test_systemd import LAUNCHER

test_suite = suite_of(__name__)

#: More than the buffers of both kernels hold.
LONG = b"Subject: long\n\n" + (b"x" * 900 + b"\n") * 20_000


def _links(folder):
    """
    Give what the descriptors of a process are, none where it has just ended.
    """
    links = set()
    try:
        for name in os.listdir(folder):
            try:
                links.add(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                pass
    except FileNotFoundError:
        pass
    return links


class WorkersTests(SynchronousTestCase):
    """
    ``twistd extretr run --workers 2``.
    """

    def server(self, *options, **more):
        server = RunningServer(options=("--workers", "2", *options), **more)
        self.addCleanup(server.stop)
        self.wait_for(server, 2)
        return server

    def workers(self, server):
        """
        Give the processes that serve, by their number.
        """
        found = re.findall(r"worker (\d) \(process (\d+)\) serves", server.log())
        return {number: int(pid) for number, pid in found}

    def wait_for(self, server, count):
        """
        Wait until so many workers have begun to serve.
        """
        deadline = time.monotonic() + PATIENCE
        while server.log().count(") serves") < count:
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)

    def pid_of(self, wire):
        """
        Give the process that has the other end of a connection.
        """
        ours = f"{wire.socket.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[2].endswith(":" + ours) and fields[9] != "0":
                link = f"socket:[{fields[9]}]"
                for pid in self._pids:
                    if link in _links(f"/proc/{pid}/fd"):
                        return pid
        raise AssertionError("no worker has the connection")

    def connect(self, server, pid=None, but=None):
        """
        Connect, to one of the workers or to none but another.
        """
        kept = []
        for _ in range(300):
            wire = Wire(server.port)
            # One may have been started meanwhile.
            self._pids = self.workers(server).values()
            found = self.pid_of(wire)
            if found == (pid or found) and found != but:
                return wire
            kept.append(wire)
        raise AssertionError("the connections do not spread")

    def contend(self, server):
        """
        Log in at a worker, and then at another; give the refusal of that login, which
        succeeds soon after the first session has ended.
        """
        first = self.connect(server).login()
        second = self.connect(server, but=self.pid_of(first))
        second.command(b"USER alice")
        second.socket.sendall(b"PASS secret\r\n")
        refusal = second.line()
        first.command(b"QUIT")
        deadline = time.monotonic() + 10
        while True:
            # The other worker hears of it a moment later.
            try:
                second.login()
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
            else:
                return refusal

    def test_spread(self):
        """
        All workers take connections, and what they log is in the one log.
        """
        server = self.server("--max-per-address", "0")
        for pid in self.workers(server).values():
            wire = self.connect(server, pid).login()
            wire.command(b"QUIT")
        server.wait_for_log("session of alice from 127.0.0.1 ended: QUIT")
        self.assertEqual(server.stop(), 0)

    def test_killed(self):
        """
        A worker that is killed in a transfer takes its sessions with it and nothing
        else: the client resumes at another at once, the worker is started again, and
        a session of another goes on.
        """
        server = self.server()
        server.deliver(b"alice", b"1.a", LONG)
        canonical = LONG.replace(b"\n", b"\r\n")
        wire = self.connect(server).login()
        pid = self.pid_of(wire)
        other = self.connect(server, but=pid)
        wire.command(b"RETR 1")
        held = wire.buffer
        while len(held) < 100_000:
            held += wire.socket.recv(10_000)
        os.kill(pid, signal.SIGKILL)
        resumed = self.connect(server, but=pid).login()
        resumed.command(b"RETR 1 %d" % len(held))
        rest = resumed.buffer
        while not rest.endswith(b"\r\n.\r\n"):
            more = resumed.socket.recv(1 << 20)
            self.assertTrue(more)
            rest += more
        self.assertTrue(held + rest[:-3] == canonical)
        other.command(b"CAPA")
        server.wait_for_log("has ended by SIGKILL")
        self.wait_for(server, 3)
        self.connect(server, max(self.workers(server).values()))

    def test_takeover(self):
        """
        The session lock holds across workers: who holds the maildrop in one keeps it
        from a login in the other while its peer lives.
        """
        server = self.server("--takeover-after", "3")
        self.assertIn(b"[IN-USE]", self.contend(server))

    def test_limits(self):
        """
        Limits hold across workers, and a worker that dies gives back what it held.
        """
        server = self.server("--limit-local", "--max-per-address", "2")
        first = self.connect(server)
        pid = self.pid_of(first)
        second = self.connect_within(server, but=pid)
        self.assertTrue(self.refused(server))
        os.kill(pid, signal.SIGKILL)
        self.wait_for(server, 3)
        third = Wire(server.port)
        self.assertTrue(self.refused(server))
        for wire in (second, third):
            wire.command(b"CAPA")

    def test_usersLimits(self):
        """
        So do those of a user.
        """
        server = self.server("--max-per-user", "1", "--takeover-after", "60")
        self.assertIn(b"too many", self.contend(server))

    def test_penalties(self):
        """
        A failed login delays the next one of its address at another worker, and the
        same wrong password is punished once, whichever worker it is tried at.
        """
        server = self.server("--limit-local", "--penalty", "1,1000")
        first = self.connect(server)
        second = self.connect(server, but=self.pid_of(first))
        for wire in (first, second, first):
            begun = time.monotonic()
            wire.command(b"USER alice")
            wire.socket.sendall(b"PASS wrong\r\n")
            self.assertIn(b"-ERR", wire.line())
        self.assertGreaterEqual(time.monotonic() - begun, 1)

    def test_unknownUsers(self):
        """
        What is shown of a user that there is not is the same at each worker: nobody
        can tell by it.
        """
        server = self.server()
        first = self.connect(server)
        second = self.connect(server, but=self.pid_of(first))
        shown = []
        for wire in (first, second):
            wire.socket.sendall(
                b"AUTH SCRAM-SHA-256 "
                + base64.b64encode(b"n,,n=nobody,r=abcdefghij")
                + b"\r\n"
            )
            challenge = base64.b64decode(wire.line().removeprefix(b"+ "))
            shown.append(challenge.split(b",")[1:])
        self.assertEqual(shown[0], shown[1])
        self.assertTrue(shown[0][0].startswith(b"s="))

    def test_listeners(self):
        """
        Endpoints of every kind are shared: UNIX sockets, those of systemd, TLS at
        once, those behind a proxy.
        """
        certificate = Authority().issue()
        folder = Path(tempfile.mkdtemp(prefix="extretr-workers-"))
        self.addCleanup(shutil.rmtree, folder)
        pem = folder / "key.pem"
        pem.write_bytes(certificate.certificate + certificate.key)
        loopback = "interface=127.0.0.1"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = self.server(
                *("--listen", "systemd:domain=INET:name=pop3"),
                *("--listen", f"unix:{folder}/socket"),
                *("--listen", f"haproxy:tcp:0:{loopback}"),
                *("--listen", f"ssl:0:privateKey={pem}:certKey={pem}:{loopback}"),
                *("--listen-tls", f"tcp:0:{loopback}", "--certificate", str(pem)),
                launcher=(sys.executable, "-c", LAUNCHER, str(listening.fileno())),
                pass_fds=(listening.fileno(),),
            )
        # The port of the UNIX socket is none.
        found = re.findall(r"listening on \S+ port (\d+|-)", server.log())
        passed, none, proxied, *secure = found
        self.assertEqual((int(passed), none), (server.port, "-"))
        context = ssl.create_default_context(
            cadata=certificate.authority.decode("ascii")
        )
        for _ in range(10):
            greetings = []
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(5)
                local.connect(f"{folder}/socket")
                greetings.append(local.recv(100))
            with socket.create_connection(("127.0.0.1", int(passed))) as raw:
                greetings.append(raw.recv(100))
            with socket.create_connection(("127.0.0.1", int(proxied))) as raw:
                raw.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n")
                greetings.append(raw.recv(100))
            for port in secure:
                with (
                    socket.create_connection(("127.0.0.1", int(port))) as raw,
                    context.wrap_socket(raw, server_hostname="localhost") as tls,
                ):
                    greetings.append(tls.recv(100))
            self.assertEqual([each[:3] for each in greetings], [b"+OK"] * 5)
        server.wait_for_log("session of None from 192.0.2.7 ended")
        # A worker that ends leaves what the others listen on as it is.
        os.kill(min(self.workers(server).values()), signal.SIGTERM)
        self.wait_for(server, 3)
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(f"{folder}/socket")
            self.assertTrue(local.recv(100).startswith(b"+OK"))
        self.assertEqual(server.stop(), 0)
        self.assertFalse((folder / "socket").exists())

    def connect_within(self, server, but):
        """
        Connect to another worker, with one connection at a time.
        """
        for _ in range(300):
            wire = Wire(server.port)
            if self.pid_of(wire) != but:
                return wire
            wire.command(b"QUIT")
            wire.socket.close()
        raise AssertionError("the connections do not spread")

    def refused(self, server):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.settimeout(PATIENCE)
            return raw.recv(100).startswith(b"-ERR")

    def test_stop(self):
        """
        SIGTERM lets a transfer in a worker end, and nobody else gets in.
        """
        server = self.server("--stop-after", "600")
        server.deliver(b"alice", b"1.a", LONG)
        wire = self.connect(server).login()
        wire.socket.sendall(b"RETR 1\r\n")
        wire.line()
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                Wire(server.port)
            except OSError as error:
                if isinstance(error, ConnectionRefusedError):
                    break
            self.assertLess(time.monotonic(), deadline)
        octets = wire.buffer
        while not octets.endswith(b"\r\n.\r\n"):
            more = wire.socket.recv(1 << 20)
            self.assertTrue(more)
            octets += more
        wire.buffer = b""
        wire.command(b"DELE 1")
        wire.command(b"QUIT")
        self.assertEqual(server._process.wait(PATIENCE), 0)
        self.assertEqual(list((server.maildir(b"alice") / "new").iterdir()), [])
        for pid in self.workers(server).values():
            self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_twice(self):
        """
        A second SIGTERM cuts it, in the workers too.
        """
        server = self.server("--stop-after", "600")
        server.deliver(b"alice", b"1.a", LONG)
        wire = self.connect(server).login()
        wire.socket.sendall(b"RETR 1\r\n")
        wire.line()
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("stopping: 1 sessions, 1 of them")
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server._process.wait(PATIENCE), 0)

    def test_reload(self):
        """
        SIGHUP reaches all workers.
        """
        server = self.server()
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while server.log().count("reloaded: users file") < 2:
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)

    def test_supervisorKilled(self):
        """
        Workers whose supervisor is gone end by themselves, and free the port.
        """
        server = self.server()
        pids = self.workers(server).values()
        server.kill()
        deadline = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertRaises(ConnectionRefusedError, Wire, server.port)
