"""
The servers that the client is tested with are what those tests take them for.
"""

import os
import poplib
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path

from scramp import ScramClient
from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import program, suite_of
from tests.interop.peers import ALL, Courier, Dovecot, Mailutils, Popa3d
from tests.interop.running import environment

test_suite = suite_of(__name__)

#: Seconds that a server may take for an answer, or for its end.
PATIENCE = 30

MESSAGES = [
    b"From: a@example.org\nSubject: one\n\n.\n..\n.leading\n\ncaf\xe9\n",
    b"From: b@example.org\nSubject: two\n\n" + b"0123456789abcdef\n" * 20_000,
]

#: Starts a server, says so, and waits to be killed.
_STAYS = """
import time
from tests.interop.peers import Dovecot
with Dovecot() as server:
    print(server.folder, server.port, flush=True)
    time.sleep(600)
"""


def fetch(client, number):
    """
    Give a message in its canonical form.
    """
    return b"".join(line + b"\r\n" for line in client.retr(number)[1])


def log_in(client, user="alice", password="secret"):
    client.user(user)
    client.pass_(password)
    return client


def wait_until(check):
    """
    Wait until *check* is true.
    """
    deadline = time.monotonic() + PATIENCE
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("it does not come to pass")
        time.sleep(0.02)


def is_open(port):
    """
    Tell whether anybody listens on a port of 127.0.0.1.
    """
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class PeerTests(SynchronousTestCase):
    """
    Each server by itself.
    """

    def start(self, peer, *messages, **arguments):
        """
        Start a server, with messages for alice.
        """
        server = peer(**arguments)
        self.addCleanup(server.stop)
        for stored in messages:
            server.deliver("alice", stored)
        return server

    def connect(self, server):
        client = poplib.POP3("127.0.0.1", server.port, timeout=PATIENCE)
        self.addCleanup(client.close)
        return client

    def trusting(self, server):
        """
        Give a TLS context that trusts a server's authority and nothing else.
        """
        return ssl.create_default_context(cafile=server.certificate)

    def check_session(self, server, client):
        """
        Check that what is fetched is what was delivered, and what is deleted is gone.
        """
        log_in(client)
        for number, stored in enumerate(MESSAGES, 1):
            self.assertTrue(fetch(client, number) == models.canonical(stored), number)
        client.dele(1)
        self.assertEqual(server.count("alice"), 2, server.log())
        client.quit()
        wait_until(lambda: server.count("alice") == 1)
        (left,) = (fetch(client, 1) for client in [log_in(self.connect(server))])
        self.assertTrue(left == models.canonical(MESSAGES[1]))

    def test_dovecot(self):
        """
        Dovecot gives what was delivered, and deletes at QUIT.
        """
        server = self.start(Dovecot, *MESSAGES)
        self.check_session(server, self.connect(server))
        self.assertIn("Logged out", server.log())

    def test_courier(self):
        """
        Courier gives what was delivered, and deletes at QUIT.
        """
        server = self.start(Courier, *MESSAGES)
        self.check_session(server, self.connect(server))
        self.assertIn("LOGOUT, user=alice", server.log())

    def test_popa3d(self):
        """
        Popa3d gives what was delivered, and deletes at QUIT.
        """
        server = self.start(Popa3d, *MESSAGES)
        self.check_session(server, self.connect(server))
        self.assertRaises(ValueError, server.deliver, "alice", b"x\n\nFrom x\n")

    def test_mailutils(self):
        """
        Mailutils gives what was delivered with a field more, which no size counts, and
        deletes at QUIT.
        """
        server = self.start(Mailutils, *MESSAGES)
        client = log_in(self.connect(server))
        listed = [int(line.split()[1]) for line in client.list()[1]]
        for number, stored in enumerate(MESSAGES, 1):
            whole = models.canonical(stored)
            unique_id = client.uidl(number).split()[2]
            head, empty, body = whole.partition(b"\r\n\r\n")
            added = b"\r\nX-UIDL: " + unique_id
            self.assertTrue(fetch(client, number) == head + added + empty + body)
            self.assertEqual(listed[number - 1], len(whole))
        client.dele(1)
        client.quit()
        wait_until(lambda: server.count("alice") == 1)

    def test_dovecotByTLS(self):
        """
        With STLS and with TLS from the start, a client that trusts the authority gets
        in, as localhost and as 127.0.0.1.
        """
        for host in ("localhost", "127.0.0.1"):
            with Dovecot(tls=True) as server:
                for stored in MESSAGES:
                    server.deliver("alice", stored)
                context = self.trusting(server)
                implicit = poplib.POP3_SSL(
                    host, server.tls_port, timeout=PATIENCE, context=context
                )
                self.check_fetch(implicit)
                upgraded = poplib.POP3(host, server.port, timeout=PATIENCE)
                self.assertIn("STLS", upgraded.capa())
                upgraded.stls(context)
                self.check_fetch(upgraded)

    def check_fetch(self, client):
        log_in(client)
        for number, stored in enumerate(MESSAGES, 1):
            self.assertTrue(fetch(client, number) == models.canonical(stored), number)
        client.quit()

    def test_certificate(self):
        """
        The certificate is good by strict rules; without its authority, or for another
        host, it is refused.
        """
        server = self.start(Dovecot, tls=True)
        strict = self.trusting(server)
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        self.shake_hands(server, strict, "localhost")
        for context, host in [
            (ssl.create_default_context(), "localhost"),
            (self.trusting(server), "mail.example.org"),
        ]:
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.shake_hands(server, context, host)

    def shake_hands(self, server, context, host):
        address = ("127.0.0.1", server.tls_port)
        with (
            socket.create_connection(address, PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            self.assertTrue(secured.recv(100).startswith(b"+OK"))

    def test_withoutTLS(self):
        """
        Without a certificate Dovecot has no STLS; the others take none.
        """
        server = self.start(Dovecot)
        self.assertNotIn("STLS", self.connect(server).capa())
        self.assertEqual(server.tls_port, 0)
        for peer in (Courier, Mailutils, Popa3d):
            self.assertRaises(ValueError, peer, tls=True)

    def test_dovecotBySASL(self):
        """
        Dovecot offers PLAIN and SCRAM-SHA-256, and takes the password by either.
        """
        server = self.start(Dovecot)
        client = self.connect(server)
        mechanisms = client.capa()["SASL"]
        self.assertIn("PLAIN", mechanisms)
        self.assertIn("SCRAM-SHA-256", mechanisms)
        initial = b64encode(b"\0alice\0secret").decode()
        client._shortcmd(f"AUTH PLAIN {initial}")
        self.scram(self.connect(server), "secret")
        with self.assertRaises(poplib.error_proto):
            self.scram(self.connect(server), "wrong")

    def scram(self, client, password):
        """
        Log in by SCRAM-SHA-256, and check the server's proof.
        """
        scram = ScramClient(["SCRAM-SHA-256"], "alice", password)

        def say(text):
            response = client._shortcmd(text)
            return b64decode(response.removeprefix(b"+ ")).decode()

        encoded = b64encode(scram.get_client_first().encode()).decode()
        scram.set_server_first(say(f"AUTH SCRAM-SHA-256 {encoded}"))
        encoded = b64encode(scram.get_client_final().encode()).decode()
        scram.set_server_final(say(encoded))
        client._shortcmd("")

    def test_users(self):
        """
        Each user has a mailbox; a wrong password opens none.
        """
        for peer in ALL:
            with peer(users={"alice": "secret", "bob": "hidden"}) as server:
                server.deliver("bob", MESSAGES[0])
                self.assertEqual([server.count(u) for u in ("alice", "bob")], [0, 1])
                counts = [
                    log_in(self.connect(server), user, password).stat()[0]
                    for user, password in server.users.items()
                ]
                self.assertEqual(counts, [0, 1], peer)
                with self.assertRaises(poplib.error_proto):
                    log_in(self.connect(server), "alice", "hidden")

    def test_order(self):
        """
        What was delivered later has the higher number.
        """
        messages = [b"Subject: %d\n\nx\n" % number for number in range(25)]
        for peer in (Dovecot, Courier, Popa3d):
            client = log_in(self.connect(self.start(peer, *messages)))
            fetched = [fetch(client, number) for number in range(1, 26)]
            self.assertEqual(fetched, [models.canonical(each) for each in messages])

    def test_offset(self):
        """
        Courier ignores the offset of a RETR and sends the whole; the others refuse.
        """
        whole = models.canonical(MESSAGES[1])
        client = log_in(self.connect(self.start(Courier, MESSAGES[1])))
        self.assertTrue(fetch(client, "1 300") == whole)
        for peer, refusal in [
            (Dovecot, b"-ERR Noise after message number:  300"),
            (Mailutils, b"-ERR Invalid arguments"),
            (Popa3d, b"-ERR"),
        ]:
            client = log_in(self.connect(self.start(peer, MESSAGES[1])))
            refused = self.assertRaises(poplib.error_proto, client.retr, "1 300")
            self.assertEqual(refused.args[0], refusal)
            # And the session goes on.
            self.assertEqual(client.stat()[0], 1)

    def test_capabilities(self):
        """
        Nobody says EXT-RETR, and popa3d does not even know CAPA.
        """
        for peer in (Dovecot, Courier, Mailutils):
            client = log_in(self.connect(self.start(peer)))
            capabilities = client.capa()
            self.assertIn("UIDL", capabilities)
            self.assertNotIn("EXT-RETR", capabilities)
        client = self.connect(self.start(Popa3d))
        self.assertRaises(poplib.error_proto, client.capa)

    def test_loopback(self):
        """
        Nobody listens on another address than 127.0.0.1.
        """
        servers = [self.start(peer, tls=peer.offers_tls) for peer in ALL]
        ports = {port for each in servers for port in (each.port, each.tls_port)} - {0}
        listed = subprocess.run(
            [program("ss"), "-Hltn"],
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE,
        ).stdout
        addresses = [line.split()[3].rpartition(":") for line in listed.splitlines()]
        ours = [(host, int(port)) for host, _, port in addresses if int(port) in ports]
        self.assertEqual(set(ours), {("127.0.0.1", port) for port in ports})

    def test_stop(self):
        """
        A server that is stopped leaves no process, no listener and no file, also where
        a client is still there.
        """
        for peer in ALL:
            server = self.start(peer, MESSAGES[0])
            log_in(self.connect(server))
            root = str(server.root)
            self.assertNotEqual(in_root(root), [], peer)
            server.stop()
            self.assertEqual(in_root(root), [], peer)
            self.assertFalse(is_open(server.port), peer)
            self.assertFalse(server.folder.exists(), peer)

    def test_killed(self):
        """
        Where the process that started a server is killed, the server ends too.
        """
        with subprocess.Popen(
            [sys.executable, "-c", _STAYS],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            folder, port = process.stdout.readline().split()
            root = os.path.join(folder, "root")
            self.addCleanup(subprocess.run, ["rm", "-rf", folder], check=True)
            self.assertTrue(is_open(int(port)))
            self.assertNotEqual(in_root(root), [])
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: not in_root(root))
        self.assertFalse(is_open(int(port)))


def in_root(root):
    """
    Give the processes that have *root*, or a folder in it, for their root.
    """
    found = []
    for link in Path("/proc").glob("[0-9]*/root"):
        try:
            if os.readlink(link).startswith(root):
                found.append(link.parent.name)
        except OSError:
            pass
    return found
