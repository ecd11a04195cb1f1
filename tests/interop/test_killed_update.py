"""
SIGKILL during a session's end, at each system call that changes the store.

Whatever was done by then, nothing is lost that was not to be deleted, and the next
session finishes the job.
"""

import random
import shutil
import time
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import suite_of
from tests.interop.killing import calls, killed_at
from tests.server.session_driver import USERS, Host
from tests.server.session_stores import Maildirs, Mboxes

test_suite = suite_of(__name__)

MESSAGES = [
    b"Subject: one\n\n.dot\nFrom here\n",
    b"Subject: two\r\n\r\n" + b"a line\r\n" * 30_000,
    b"Subject: three\n\n" + b"another line\n" * 50_000,
    b"Subject: four\n\nno end",
    b"Subject: twice\n\n",
    b"Subject: twice\n\n",
    b"Subject: seven\n\n" + b"x\n" * 200_000,
]

#: By number.  Of messages that are alike the last: so it is that an mbox forgets.
DELETED = (2, 3, 6, 7)


class KilledUpdateTests(SynchronousTestCase):
    """
    Sessions that delete several messages, and are killed.
    """

    def fill(self, make_store):
        self.folder = Path(self.mktemp()).resolve()
        host = Host(make_store, self.folder)
        for stored in MESSAGES:
            host.store.deliver(b"alice", stored)
        self.unique_ids = self.listed(self.session(host))[0]
        self.pristine = self.folder.with_name("pristine")
        shutil.copytree(self.folder, self.pristine)

    def host(self, make_store):
        host = Host(make_store, self.folder)
        host.store.wall = time.time()
        return host

    def session(self, host):
        connection = host.connect()
        self.login(connection)
        return connection

    def login(self, connection):
        self.say(connection, b"USER alice")
        self.assertTrue(self.say(connection, b"PASS " + USERS[b"alice"]), "no login")

    def say(self, connection, line):
        """
        Send a line and give the answer, without its status; None for a refusal.
        """
        connection.transport.clear()
        connection.put(line + b"\r\n")
        connection.host.settle()
        if not connection.transport.value():
            # It waits for a lock that the dead have left.
            connection.host.pass_time(2)
        answer = connection.transport.value()
        return answer if answer.startswith(b"+OK") else None

    def listed(self, connection):
        """
        Give by unique-id the message as it is sent, and its number, and log out.
        """
        lines = self.say(connection, b"UIDL").split(b"\r\n")[1:-2]
        numbers = {each.split()[1]: int(each.split()[0]) for each in lines}
        bodies = {
            unique_id: self.say(connection, b"RETR %d" % number).partition(b"\r\n")[2]
            for unique_id, number in numbers.items()
        }
        self.assertTrue(self.say(connection, b"QUIT"))
        connection.lose()
        return bodies, numbers

    def delete(self, host, stop=lambda: None):
        connection = host.connect()
        stop()
        self.login(connection)
        numbers = {
            line.split()[1]: line.split()[0]
            for line in self.say(connection, b"UIDL").split(b"\r\n")[1:-2]
        }
        for unique_id in self.marked():
            if unique_id in numbers:
                self.assertTrue(self.say(connection, b"DELE " + numbers[unique_id]))
        self.assertTrue(self.say(connection, b"QUIT"))
        connection.lose()

    def marked(self):
        return [list(self.unique_ids)[number - 1] for number in DELETED]

    def again(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.pristine, self.folder)

    def check(self, make_store, what):
        """
        Each message is there whole, or it was to be deleted.
        """
        found, _ = self.listed(self.session(self.host(make_store)))
        for unique_id, body in self.unique_ids.items():
            if unique_id in found:
                self.assertTrue(found[unique_id] == body, what)
            else:
                self.assertIn(unique_id, self.marked(), what)
        self.assertLessEqual(set(found), set(self.unique_ids), what)
        self.delete(self.host(make_store))
        host = self.host(make_store)
        found, _ = self.listed(self.session(host))
        self.assertEqual(set(self.marked()) & set(found), set(), what)
        self.assertEqual(len(found), len(MESSAGES) - len(DELETED), what)
        # What is left on disk is what is served: no half of a message besides.
        expected = sorted(map(models.canonical, map(host.store.as_stored, self.kept())))
        self.assertTrue(host.store.found(b"alice") == expected, what)

    def kept(self):
        return [
            stored for number, stored in enumerate(MESSAGES, 1) if number not in DELETED
        ]

    def kill(self, make_store):
        self.fill(make_store)
        dice = random.Random(make_store.__name__)

        def deleting(stop):
            self.delete(self.host(make_store), stop)

        self.again()
        names = sorted(calls(deleting))
        survived = Counter()
        tried = 0
        for name in names:
            while True:
                survived[name] += 1
                what = name, survived[name]
                self.again()
                if not killed_at(*what, deleting):
                    break
                # The session that is to finish the job may be killed as well.
                again = dice.choice(names), dice.randrange(1, 12)
                tried += 1 + killed_at(*again, deleting)
                self.check(make_store, (what, again))
            self.assertLess(survived[name], 500)
        kinds = {name: count - 1 for name, count in survived.items()}
        print(f"\n{make_store.__name__}: {tried} kills, at {kinds}")
        return kinds

    def test_maildir(self):
        """
        A Maildir.
        """
        counts = self.kill(Maildirs)
        self.assertGreaterEqual(counts["unlink"], len(DELETED))

    def test_mbox(self):
        """
        An mbox, which is rewritten in its place.
        """
        counts = self.kill(Mboxes)
        self.assertGreater(counts["pwrite64"], 2)
        self.assertGreater(counts["ftruncate"], 0)
