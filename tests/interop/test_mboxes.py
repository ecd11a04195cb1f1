"""
Real mboxes, served by a real twistd, read and written by others meanwhile.
"""

import mailbox
import poplib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import suite_of
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

SEPARATOR = b"From MAILER-DAEMON Tue Nov 24 12:00:00 2026\n"

MESSAGES = [
    b"Subject: one\n\n.dot\nbody\n",
    b"Subject: two\n\n" + b"line of text\n" * 200_000,
    b"Subject: three\n\nno empty line\nFrom here on\n>From quoted\n>>From twice\n",
    b"Subject: four\n\ncaf\xe9\n",
]


class MboxTests(SynchronousTestCase):
    """
    ``--mail mbox:`` and ``--mail mboxrd:``.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "mail").mkdir(parents=True)
        self.path = self.folder / "mail" / "alice"
        self.path.write_bytes(b"".join(SEPARATOR + each + b"\n" for each in MESSAGES))

    def serve(self, kind):
        server = RunningServer(
            mail=f"{kind}:{self.folder}/mail/%u",
            options=["--state", str(self.folder / "state")],
        )
        self.addCleanup(server.stop)
        return server

    def login(self, server):
        client = poplib.POP3("127.0.0.1", server.port, timeout=60)
        client.user("alice")
        client.pass_("secret")
        return client

    def fetch(self, client, what):
        return b"".join(line + b"\r\n" for line in client.retr(what)[1])

    def check(self, kind, messages):
        server = self.serve(kind)
        client = self.login(server)
        for number, stored in enumerate(messages, 1):
            whole = models.canonical(stored)
            self.assertEqual(client.list(number).split()[2], b"%d" % len(whole))
            self.assertTrue(self.fetch(client, number) == whole, number)
            for offset in range(0, len(whole), max(1, len(whole) // 10)):
                if whole[offset : offset + 1] != b"\n":
                    rest = self.fetch(client, f"{number} {offset}")
                    self.assertTrue(whole[:offset] + rest == whole, (number, offset))
        client.quit()

    def test_mbox(self):
        """
        mbox: gives lines as they are, at any offset.
        """
        self.check("mbox", MESSAGES)

    def test_mboxrd(self):
        """
        mboxrd: takes one > off quoted lines, at any offset.
        """
        messages = [*MESSAGES]
        messages[2] = messages[2].replace(b">From", b"From")
        self.check("mboxrd", messages)

    def test_deletion(self):
        """
        DELE and QUIT rewrite the file in place; mail that came meanwhile is kept, and a
        dropped connection removes nothing.
        """
        server = self.serve("mbox")
        client = self.login(server)
        client.dele(2)
        client.close()
        server.wait_for_log("connection lost")
        client = self.login(server)
        unique_ids = [line.split()[1] for line in client.uidl()[1]]
        self.assertEqual(len(unique_ids), 4)
        client.dele(1)
        client.dele(3)
        inode = self.path.stat().st_ino
        box = mailbox.mbox(self.path)
        box.lock()
        box.add(b"Subject: five\n\nnew\n")
        box.flush()
        box.unlock()
        client.quit()
        client = self.login(server)
        left = [line.split()[1] for line in client.uidl()[1]]
        self.assertEqual(left[:2], [unique_ids[1], unique_ids[3]])
        self.assertEqual(self.fetch(client, 3).split(b"\r\n")[0], b"Subject: five")
        client.quit()
        self.assertEqual(self.path.stat().st_ino, inode)
        subjects = [message["Subject"] for message in mailbox.mbox(self.path)]
        self.assertEqual(subjects, ["two", "four", "five"])
