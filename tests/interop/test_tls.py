"""
TLS over the network: STLS and implicit, with clients of others and our own.
"""

import os
import poplib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.certificates import Authority
from tests.interop import program, suite_of
from tests.interop.fetching import Fetcher, in_maildir
from tests.interop.running import PATIENCE, RunningServer
from tests.interop.test_chaos import Wire
from tests.interop.test_systemd import LAUNCHER
from tests.server.memory_tls import records

test_suite = suite_of(__name__)

MESSAGE = b"Subject: long\n\n" + b".0123456789abcdef\n" * 200_000
WHOLE = models.canonical(MESSAGE)

LOOPBACK = "tcp:0:interface=127.0.0.1"


class TLSCase(SynchronousTestCase):
    """
    A server with a certificate, a plain listener and one of TLS.
    """

    listen = ("--listen", LOOPBACK, "--listen-tls", LOOPBACK)

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.authority = Authority()
        self.trusted = self.write("ca.pem", self.authority.certificate)
        self.renew()
        self.server = self.serve()
        self.addCleanup(self.server.stop)
        self.server.deliver(b"alice", b"1.a", MESSAGE)
        self.port, self.tls_port = self.ports()

    def serve(self, **more):
        options = (
            *("--certificate", str(self.folder / "cert.pem")),
            *("--key", str(self.folder / "key.pem")),
        )
        return RunningServer(options=(*options, *self.listen), **more)

    def write(self, name, octets):
        draft = self.folder / f"{name}.new"
        draft.write_bytes(octets)
        return draft.replace(self.folder / name)

    def renew(self):
        made = self.authority.issue()
        self.write("cert.pem", made.certificate)
        self.write("key.pem", made.key)
        return ssl.PEM_cert_to_DER_cert(made.certificate.decode())

    def ports(self):
        deadline = time.monotonic() + PATIENCE
        found = []
        while len(found) < 2:
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.02)
            found = re.findall(r"listening on \S+ port (\d+)", self.server.log())
        return [int(port) for port in found]

    def context(self):
        return ssl.create_default_context(cafile=str(self.trusted))

    def run_client(self, *command, stdin=None):
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )


class ClientTests(TLSCase):
    """
    Clients that verify what they see.
    """

    def test_fetch(self):
        """
        ``extretr fetch`` gets its mail by STLS, and by TLS from the first octet.
        """
        for scheme, port in (("pop3", self.port), ("pop3s", self.tls_port)):
            fetcher = Fetcher(
                self.folder / scheme,
                f"{scheme}://alice@127.0.0.1:{port}",
                "maildir:mail",
                *("--ca-file", str(self.trusted), "--no-plaintext"),
            )
            # First it says that the Maildir is new.
            connected = fetcher.events()[1]
            self.assertEqual(
                (connected["event"], connected["secure"]), ("connected", True)
            )
            self.assertTrue(in_maildir(fetcher.home / "mail") == [WHOLE])

    def test_curl(self):
        """
        So does curl where it is told to have nothing without TLS.
        """
        for scheme, port in (("pop3", self.port), ("pop3s", self.tls_port)):
            run = self.run_client(
                *(program("curl"), "-sS", "--ssl-reqd", "--cacert", self.trusted),
                *("-u", "alice:secret", f"{scheme}://localhost:{port}/1"),
            )
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertTrue(run.stdout == WHOLE)

    def test_openssl(self):
        """
        Openssl's own client verifies the certificate, and talks by STLS and without.
        """
        for options in (
            ("-connect", f"localhost:{self.port}", "-starttls", "pop3"),
            ("-connect", f"localhost:{self.tls_port}"),
        ):
            run = self.run_client(
                *(program("openssl"), "s_client", *options, "-crlf", "-quiet"),
                *("-CAfile", self.trusted, "-verify_return_error"),
                *("-verify_hostname", "localhost"),
                stdin=b"CAPA\nQUIT\n",
            )
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn(b"\r\nUSER\r\n", run.stdout)
            self.assertNotIn(b"\r\nSTLS\r\n", run.stdout)

    def test_resumedAcross(self):
        """
        A download that was begun in clear goes on by STLS, and ends in implicit TLS.
        """
        plain = poplib.POP3("localhost", self.port, 30)
        started = poplib.POP3("localhost", self.port, 30)
        started.stls(self.context())
        implicit = poplib.POP3_SSL(
            "localhost", self.tls_port, timeout=30, context=self.context()
        )
        got = b""
        for client, count in ((plain, 1_000_000), (started, 2_500_000), (implicit, 0)):
            client.user("alice")
            client.pass_("secret")
            _, lines, _ = client._longcmd(f"RETR 1 {len(got)}")
            rest = b"".join(line + b"\r\n" for line in lines)
            got += rest[: count - len(got)] if count else rest
            client.quit()
        self.assertTrue(got == WHOLE)

    def test_inUse(self):
        """
        A session that has gone over to TLS gives signs of life: nobody takes its
        maildrop over.
        """
        started = poplib.POP3("localhost", self.port, 30)
        started.stls(self.context())
        started.user("alice")
        started.pass_("secret")
        with self.assertRaisesRegex(ConnectionError, "IN-USE"):
            Wire(self.port).login()
        started.quit()


class WireTests(TLSCase):
    """
    What is on the wire.
    """

    def test_nothingInClear(self):
        """
        After the reply to STLS there is nothing but TLS, also where mail and replies
        are written at once.
        """
        wire = socket.create_connection(("127.0.0.1", self.port), 30)
        self.addCleanup(wire.close)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        seen = b""
        clear = b""
        wire.sendall(b"STLS\r\n")
        while not clear.endswith(b"+OK begin TLS now\r\n"):
            clear += wire.recv(1)
        commands = b"USER alice\r\nPASS secret\r\nRETR 1\r\nNOOP\r\nRETR 1\r\nQUIT\r\n"
        steps = [tls.do_handshake, lambda: tls.write(commands)]
        said = b""
        while True:
            try:
                while steps:
                    steps[0]()
                    del steps[0]
                while octets := tls.read(65536):
                    said += octets
                break
            except ssl.SSLWantReadError:
                wire.sendall(outgoing.read())
            octets = wire.recv(65536)
            seen += octets
            incoming.write(octets)
            if not octets:
                break
        # The session is over: the server's close_notify is on the wire too.
        self.assertEqual(said.count(models.wire(WHOLE)), 2)
        sent = sum(length for _, length in records(seen))
        self.assertGreater(sent, 2 * len(WHOLE))

    def test_notTLS(self):
        """
        What is no TLS ends the connection, and is one line in the log.
        """
        with socket.create_connection(("127.0.0.1", self.tls_port), 30) as wire:
            wire.sendall(b"CAPA\r\n" * 100)
            try:
                while octets := wire.recv(1000):
                    # At most an alert, nothing of POP3.
                    self.assertEqual(octets[:1], b"\x15")
            except ConnectionResetError:
                pass
        log = self.server.wait_for_log("the TLS handshake failed")
        self.assertNotIn("Traceback", log)


class RenewalTests(TLSCase):
    """
    A certificate that is renewed while the server runs.
    """

    def shown(self):
        plain = socket.create_connection(("127.0.0.1", self.tls_port), 30)
        with self.context().wrap_socket(plain, server_hostname="localhost") as tls:
            return tls.getpeercert(binary_form=True)

    def test_renewed(self):
        """
        It is shown without a restart, by itself and at once on SIGHUP; sessions that
        run go on.
        """
        session = poplib.POP3_SSL(
            "localhost", self.tls_port, timeout=30, context=self.context()
        )
        for on_request in (False, True):
            new = self.renew()
            if on_request:
                os.kill(self.server.pid, signal.SIGHUP)
                self.server.wait_for_log("certificate (valid until")
            deadline = time.monotonic() + PATIENCE
            while self.shown() != new:
                self.assertFalse(on_request)
                self.assertLess(time.monotonic(), deadline, self.server.log())
                time.sleep(0.2)
        session.user("alice")
        session.pass_("secret")
        self.assertEqual(session.stat()[0], 1)


class ProxyTests(TLSCase):
    """
    Behind a proxy that tells the client's address.
    """

    listen = (
        *("--listen", f"haproxy:{LOOPBACK}"),
        *("--listen-tls", f"haproxy:{LOOPBACK}"),
    )

    def connect(self, port):
        wire = socket.create_connection(("127.0.0.1", port), 30)
        self.addCleanup(wire.close)
        wire.sendall(b"PROXY TCP4 192.0.2.9 127.0.0.1 1234 110\r\n")
        return wire

    def secured(self, wire):
        return self.context().wrap_socket(wire, server_hostname="localhost")

    def say(self, wire, octets):
        wire.sendall(octets)
        return wire.recv(1000)

    def test_stls(self):
        """
        STLS works behind it: passwords are refused in clear, and taken afterwards.
        """
        wire = self.connect(self.port)
        self.assertEqual(wire.recv(1000)[:3], b"+OK")
        self.assertEqual(self.say(wire, b"USER alice\r\n")[:4], b"-ERR")
        self.assertEqual(self.say(wire, b"STLS\r\n"), b"+OK begin TLS now\r\n")
        self.log_in(self.secured(wire))

    def test_implicit(self):
        """
        So does TLS from the first octet behind the proxy's line.
        """
        tls = self.secured(self.connect(self.tls_port))
        self.assertEqual(tls.recv(1000)[:3], b"+OK")
        self.log_in(tls)

    def log_in(self, tls):
        self.assertEqual(self.say(tls, b"USER alice\r\n")[:3], b"+OK")
        self.assertEqual(
            self.say(tls, b"PASS secret\r\n"), b"+OK Authentication succeeded\r\n"
        )
        self.say(tls, b"QUIT\r\n")
        tls.close()
        self.server.wait_for_log("session of alice from 192.0.2.9 ended: QUIT")


class EndpointTests(TLSCase):
    """
    Other endpoints: a socket of systemd's, and one of Twisted's that has its own TLS.
    """

    listen = (
        *("--listen", "ssl:0:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1"),
        *("--listen-tls", "systemd:domain=INET:name=pop3"),
    )

    def serve(self):
        self.listen = tuple(
            word.replace("Key=", f"Key={self.folder}/") for word in self.listen
        )
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        descriptor = listening.fileno()
        return super().serve(
            launcher=(sys.executable, "-c", LAUNCHER, str(descriptor)),
            pass_fds=(descriptor,),
        )

    def test_both(self):
        """
        Both take logins inside TLS, and say nothing of STLS.
        """
        for port in (self.port, self.tls_port):
            client = poplib.POP3_SSL(
                "localhost", port, timeout=30, context=self.context()
            )
            self.assertNotIn("STLS", client.capa())
            self.assertRaises(poplib.error_proto, client._shortcmd, "STLS")
            client.user("alice")
            client.pass_("secret")
            self.assertEqual(client.stat()[0], 1)
            client.quit()
