"""
A real HAProxy before the server: whose connection it is comes in a header.
"""

import poplib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.interop import program, suite_of
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire

test_suite = suite_of(__name__)

#: Where a client connects from, so that it is told from the proxy.
CLIENT = ("127.0.0.2", 0)

CONFIGURATION = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""

LISTEN = """
listen {name}
    bind 127.0.0.1:{front}
    option tcp-check
    tcp-check connect send-proxy
    tcp-check expect string +OK
    server extretr 127.0.0.1:{back} {header}{check}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class HAProxyTests(SynchronousTestCase):
    """
    ``--listen haproxy:tcp:...`` and ``--listen-tls haproxy:tcp:...``.
    """

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="extretr-haproxy-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.certificate = Authority().issue()
        pem = self.folder / "certificate.pem"
        pem.write_bytes(self.certificate.certificate + self.certificate.key)
        endpoint = "haproxy:tcp:0:interface=127.0.0.1"
        self.server = RunningServer(
            options=(
                *("--listen", endpoint, "--listen-tls", endpoint),
                *("--certificate", str(pem)),
            )
        )
        self.addCleanup(self.server.stop)
        self.server.deliver(b"alice", b"1.a", b"Subject: x\n\nbody\n")
        deadline = time.monotonic() + PATIENCE
        pattern = r"listening on \S+ port (\d+)"
        while len(ports := re.findall(pattern, self.server.log())) < 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.backs = dict(zip(("clear", "tls"), map(int, ports), strict=True))

    def proxy(self, header):
        """
        Start HAProxy, which sends that header; give its ports.
        """
        fronts = {name: free_port() for name in self.backs}
        path = self.folder / "haproxy.cfg"
        path.write_text(
            CONFIGURATION
            + "".join(
                LISTEN.format(
                    name=name,
                    front=fronts[name],
                    back=self.backs[name],
                    header=header,
                    check=" check inter 100" if name == "clear" else "",
                )
                for name in fronts
            )
        )
        process = subprocess.Popen(
            [program("haproxy"), "-db", "-f", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + PATIENCE
        for front in fronts.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", front)).close()
                except ConnectionRefusedError:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                else:
                    break
        return fronts

    def test_headers(self):
        """
        With either version of the header the client's address is in the log, in clear,
        under STLS and under TLS from the beginning.
        """
        context = ssl.create_default_context(
            cadata=self.certificate.authority.decode("ascii")
        )
        for count, header in ((2, "send-proxy"), (4, "send-proxy-v2")):
            fronts = self.proxy(header)
            raw = socket.create_connection(
                ("127.0.0.1", fronts["tls"]), PATIENCE, CLIENT
            )
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                self.assertTrue(tls.recv(100).startswith(b"+OK"))
                tls.sendall(b"USER alice\r\nPASS secret\r\nRETR 1 3\r\nQUIT\r\n")
                said = b""
                while more := tls.recv(1000):
                    said += more
            self.assertIn(b"+OK 20 octets (17 to come)\r\nject: x\r\n", said)
            clear = _POP3("localhost", fronts["clear"], timeout=PATIENCE)
            clear.stls(context)
            clear.user("alice")
            clear.pass_("secret")
            clear.quit()
            self.wait_for_sessions(count)

    def wait_for_sessions(self, count):
        deadline = time.monotonic() + PATIENCE
        line = "session of alice from 127.0.0.2 ended: QUIT"
        while (log := self.server.log()).count(line) < count:
            self.assertLess(time.monotonic(), deadline, log)
            time.sleep(0.05)
        self.assertEqual(log.count("session of alice"), count)

    def test_health(self):
        """
        A health check finds the server alive, under the proxy's own address.
        """
        front = self.proxy("send-proxy-v2")["clear"]
        log = self.server.wait_for_log("session of None from 127.0.0.1 ended")
        self.assertNotIn("Traceback", log)
        time.sleep(1)
        wire = Wire(front)
        wire.command(b"CAPA")

    def test_direct(self):
        """
        Who comes past the proxy, and sends no header, gets nothing.
        """
        with socket.create_connection(("127.0.0.1", self.backs["clear"])) as direct:
            direct.settimeout(PATIENCE)
            direct.sendall(b"CAPA\r\n")
            self.assertRaises(ConnectionResetError, direct.recv, 100)


class _POP3(poplib.POP3):
    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, CLIENT)
