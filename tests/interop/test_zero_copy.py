"""
Large messages that are stored with CRLF, from a real server over real sockets.
"""

import os
import socket
import ssl
import time

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates, models
from tests.interop.running import RunningServer

STORED = b"Subject: large\r\n\r\n" + b"0123456789" * 7 + b"\r\n"
STORED += b"".join(b"%070d\r\n" % number for number in range(200_000))


class ZeroCopyTests(SynchronousTestCase):
    """
    The octets are the same in clear, where the kernel sends them, and under TLS.
    """

    def setUp(self):
        made = certificates.for_loopback()
        folder = self.mktemp()
        os.mkdir(folder)
        paths = [os.path.abspath(f"{folder}/{name}") for name in ("cert", "key")]
        for path, octets in zip(paths, (made.certificate, made.key), strict=True):
            with open(path, "wb") as file:
                file.write(octets)
        self.context = ssl.create_default_context(cadata=made.authority.decode())
        self.tls = f"ssl:0:interface=127.0.0.1:privateKey={paths[1]}:certKey={paths[0]}"

    def serve(self, *options):
        server = RunningServer(options=options)
        self.addCleanup(server.stop)
        self.path = server.deliver(b"alice", b"1.crlf", STORED)
        return server

    def login(self, server, wrap=lambda client: client):
        client = socket.create_connection(("127.0.0.1", server.port), 30)
        self.addCleanup(client.close)
        client = wrap(client)
        self.addCleanup(client.close)
        replies = client.makefile("rb")
        replies.readline()
        client.sendall(b"USER alice\r\nPASS secret\r\n")
        for _ in range(2):
            self.assertTrue(replies.readline().startswith(b"+OK"))
        return client, replies

    def retrieved(self, replies):
        self.assertTrue(replies.readline().startswith(b"+OK"))
        lines = []
        while (line := replies.readline()) != b".\r\n":
            self.assertTrue(line, "the connection was closed")
            lines.append(line)
        return b"".join(lines) + b".\r\n"

    def check(self, server, wrap=lambda client: client):
        client, replies = self.login(server, wrap)
        for offset in (0, 1, 126 * 1024, 1_000_003, len(STORED) - 200_000):
            client.sendall(b"RETR 1 %d\r\nNOOP\r\n" % offset)
            expected = models.wire(STORED[offset:])
            self.assertTrue(self.retrieved(replies) == expected, offset)
            self.assertTrue(replies.readline().startswith(b"+OK"))

    def test_inClear(self):
        """
        From any offset, with commands behind it that were pipelined.
        """
        self.check(self.serve())

    def test_underTLS(self):
        """
        Under TLS it is the same.
        """
        server = self.serve("--listen", self.tls)
        self.check(
            server,
            lambda client: self.context.wrap_socket(
                client, server_hostname="127.0.0.1"
            ),
        )

    def test_truncated(self):
        """
        One that is cut short while it is sent is never closed by the terminating line.
        """
        server = self.serve()
        client, replies = self.login(server)
        client.sendall(b"RETR 1\r\n")
        self.assertTrue(replies.readline().startswith(b"+OK"))
        # By now the sockets are full, and the rest has to wait.
        time.sleep(0.5)
        os.truncate(self.path, len(STORED) - 100_000)
        octets = b""
        try:
            while piece := client.recv(1 << 20):
                octets += piece
        except ConnectionError:
            pass
        self.assertLess(len(octets), len(STORED) - 100_000)
        self.assertNotIn(b"\r\n.\r\n", octets)
        server.wait_for_log("a transfer failed")
