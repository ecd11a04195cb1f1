"""
`extretr.stores.maildir_listing.recalled`: logins to a Maildir that has not changed.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from extretr.errors import MessageChanged
from extretr.stores import maildir, maildir_listing, recent
from extretr.stores.index import Index
from extretr.stores.maildir_listing import Listing
from tests.interop.running import ROOT, environment
from tests.stores.test_maildir_listing import ListingTestCase

#: What another process does to the index: as a session that has found a message to be
#: another one, or as one that notes something.
DISTRUST = (
    "import sys; from extretr.stores.index import Index;"
    "from extretr.stores.maildir_listing import distrust;"
    "index = Index(sys.argv[1].encode()); distrust(index); index.save()"
)


class RecalledTestCase(ListingTestCase):
    """
    A Maildir that was listed, and how often it is listed since.
    """

    #: What the store is made with.
    options = {}

    def setUp(self):
        super().setUp()
        for number in range(4):
            folder = (b"new", b"cur")[number % 2]
            self.deliver(b"%d.a" % number, b"x" * (10 + number), folder)
        self.listings = 0
        original = maildir.Listing

        def listing(*arguments):
            self.listings += 1
            return original(*arguments)

        self.patch(maildir, "Listing", listing)

    def session(self, **options):
        """
        Have a session; tell whether the Maildir had to be listed for it.
        """
        before = self.listings
        maildrop = self.open(**{**self.options, **options})
        self.assertEqual(self.listed(maildrop), self.wanted())
        maildrop.close()
        return self.listings > before

    def settle(self, **options):
        """
        Have sessions until there is one for which nothing was listed.
        """
        for _ in range(5):
            if not self.session(**options):
                return
        self.fail("it is listed each time")

    def index(self):
        return self.state / "bob" / "index"


class RecalledTests(RecalledTestCase):
    """
    What has not changed is neither listed again, nor read, nor written.
    """

    def test_unchanged(self):
        """
        The first session lists and measures, the second one finds the index whole; all
        later ones look at the two folders.
        """
        self.assertEqual([self.session() for _ in range(4)], [True, True, False, False])
        self.patch(Index, "_readAll", self.fail)
        self.patch(Index, "saving", self.fail)
        maildrop = self.open()
        self.assertEqual(self.calls, [("stat", b"new"), ("stat", b"cur")])
        self.assertEqual(maildrop.total(), 54)
        maildrop.close()

    def test_resting(self):
        """
        What is noted of a Maildir takes little memory while nobody asks for it.
        """
        for _ in range(4):
            maildrop = self.open()
            self.assertEqual(len(maildrop._index._notes), 0)
            self.assertIsNone(maildrop._index._kept)
            self.listed(maildrop)
            maildrop.close()

    def test_empty(self):
        """
        So it is with a maildrop without a message, and with one without a folder.
        """
        for path in self.paths():
            os.unlink(path)
        self.tick()
        self.settle()
        shutil.rmtree(os.path.join(self.maildir, b"cur"))
        self.assertTrue(self.session_without_cur())
        self.session_without_cur()
        self.assertFalse(self.session_without_cur())

    def session_without_cur(self):
        before = self.listings
        maildrop = self.open()
        self.assertEqual(maildrop.countMessages(), 0)
        maildrop.close()
        return self.listings > before

    def test_many(self):
        """
        More messages than are kept are read from the index each time.
        """
        for number in range(4, 200):
            self.deliver(b"%d.a" % number, b"x")
        self.assertEqual([self.session() for _ in range(4)], [True] * 4)

    def test_changed(self):
        """
        Whatever changes in the Maildir is noticed, and then is not listed again either.
        """
        cur = os.path.join(self.maildir, b"cur")

        def deliver():
            self.deliver(b"9.b", b"new")

        def remove():
            os.unlink(os.path.join(cur, b"1.a"))

        def flag():
            os.rename(os.path.join(cur, b"3.a"), os.path.join(cur, b"3.a:2,S"))

        def move():
            old = os.path.join(self.maildir, b"new", b"0.a")
            os.rename(old, os.path.join(cur, b"0.a:2,"))

        def replace():
            other = os.path.join(self.maildir, b"tmp", b"other")
            with open(other, "wb") as file:
                file.write(b"y" * 13)
            os.rename(other, os.path.join(cur, b"3.a:2,S"))

        def renew():
            # Other inodes under the same names, in another folder.
            shutil.copytree(cur, cur + b".other")
            shutil.rmtree(cur)
            os.rename(cur + b".other", cur)

        for change in (deliver, remove, flag, move, replace, renew):
            self.settle()
            change()
            self.tick()
            self.assertTrue(self.session())
        self.settle()

    def test_sameSecond(self):
        """
        So it is within one tick of the clock, since a folder that was changed just now
        is listed each time.
        """
        self.options = {"wall": time.time}
        cur = os.path.join(self.maildir, b"cur")
        steps = (
            lambda: os.rename(cur + b"/1.a", cur + b"/1.a:2,S"),
            lambda: os.rename(cur + b"/1.a:2,S", cur + b"/1.a:2,RS"),
            lambda: os.unlink(cur + b"/3.a"),
            lambda: shutil.copy(cur + b"/1.a:2,RS", cur + b"/5.a"),
            lambda: os.rename(cur + b"/5.a", cur + b"/1.a:2,RS"),
        )
        for step in steps:
            self.session()
            self.session()
            step()
            self.assertTrue(self.session())

    def test_notSaved(self):
        """
        Only what the index holds is kept, not what a listing has made of it.
        """
        self.options = {"wall": time.time, "unique_ids": "dovecot"}
        self.session()
        self.session()
        self.patch(Listing, "_keep", self.fail)
        os.unlink(os.path.join(self.maildir, b"cur", b"3.a"))
        self.session()
        for path in self.paths():
            os.unlink(path)
        self.session()
        self.deliver(b"1.a", b"x")
        self.session()
        path = os.path.join(self.maildir, b"dovecot-uidlist")
        for validity in (1, 2):
            with open(path, "wb") as file:
                file.write(b"3 V%d N9\n5 :1.a\n" % validity)
            maildrop = self.open(**self.options)
            self.assertEqual(maildrop.getUidl(0), b"00000005%08x" % validity)
            maildrop.close()

    def test_changedWhileHeld(self):
        """
        A message that was put in another's place in a session without a listing is not
        sent for it, and the next session looks at all.
        """
        self.settle()
        maildrop = self.open()
        with open(os.path.join(self.maildir, b"new", b"0.a"), "ab") as file:
            file.write(b"more")
        self.assertIsNone(maildrop.readShort(0, 1000))
        self.assertRaises(MessageChanged, maildrop.openMessage(0).openAt, 0)
        maildrop.close()
        self.assertTrue(self.session())

    def test_removed(self):
        """
        What a session without a listing removes is gone in the next one.
        """
        self.settle()
        maildrop = self.open()
        maildrop.deleteMessage(1)
        maildrop.sync()
        maildrop.close()
        self.tick()
        self.assertTrue(self.session())
        self.assertEqual(len(self.wanted()), 3)
        self.settle()

    def test_unsaved(self):
        """
        What one session changes of its messages, and cannot save, no other one has.
        """
        self.settle()
        self.patch(Index, "saving", lambda index, blocks: iter(()))
        maildrop = self.open()
        before = [maildrop._entries.at(index).status for index in range(4)]
        maildrop._entries.removed(1)
        maildrop._entries.blocks[0].unique_ids = b"a b c d"
        self.assertNotEqual(maildrop._entries.at(1).status, before[1])
        maildrop.close()
        maildrop = self.open()
        found = [maildrop._entries.at(index).status for index in range(4)]
        self.assertEqual(found, before)
        self.assertEqual(maildrop.getUidl(0), b"0.a")
        maildrop.close()

    def test_indexChanged(self):
        """
        What another process writes into the index counts, though file and times look
        the same.
        """
        self.patch(recent, "state_of", lambda status: (1, 2, 3, 4, 5))
        for _ in range(2):
            self.settle()
            subprocess.run(
                [sys.executable, "-c", DISTRUST, os.fsdecode(self.index())],
                env=environment(),
                cwd=ROOT,
                check=True,
            )
            self.assertTrue(self.session())
            self.assertIn("lstat", [name for name, _ in self.calls])

    def test_indexGone(self):
        """
        An index that is gone, or is another file, is begun anew.
        """
        for change in (
            lambda: self.index().unlink(),
            lambda: self.index().write_bytes(b""),
            lambda: self.index().write_bytes(b"nonsense" * 1000),
        ):
            self.settle()
            change()
            self.assertTrue(self.session())
            self.flushLoggedErrors()

    def test_notReachable(self):
        """
        A folder that cannot be looked at is not one that has not changed.
        """
        self.settle()

        def failing(path):
            raise PermissionError(path)

        self.patch(maildir_listing, "states_of", failing)
        self.failureResultOf(self.opening(), maildir.StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)


class NamingTests(RecalledTestCase):
    """
    What the unique-ids are given by is looked at each time.
    """

    def uniqueIds(self, scheme, wall=1e12):
        """
        Give the unique-ids of a session; and whether the Maildir was listed for it.
        """
        before = self.listings
        maildrop = self.open(unique_ids=scheme, wall=lambda: wall)
        found = list(maildrop.uniqueIds(0, 4))
        maildrop.close()
        return found, self.listings > before

    def check(self, scheme, name, one, two):
        names = [b"0.a", b"1.a", b"2.a", b"3.a"]
        path = Path(os.fsdecode(self.maildir)) / name
        for octets, unique_id in (one, two, one):
            path.write_bytes(octets)
            wanted = [names[0], unique_id, *names[2:]]
            for _ in range(3):
                found, listed = self.uniqueIds(scheme)
                self.assertEqual(found, wanted)
            self.assertFalse(listed)
        # It may be written again within the same tick.
        recently = path.stat().st_mtime + 0.5
        self.assertEqual(self.uniqueIds(scheme, recently), (wanted, True))
        path.unlink()
        for _ in range(3):
            self.assertEqual(self.uniqueIds(scheme), (names, True))
        # The same list, but another scheme.
        path.write_bytes(one[0])
        for _ in range(3):
            found, listed = self.uniqueIds("name")
            self.assertEqual(found, names)
        self.assertFalse(listed)
        self.assertEqual(self.uniqueIds(scheme), (wanted, True))

    def test_dovecot(self):
        """
        Dovecot's list is read where it has changed, and once.
        """
        lines = [b"3 V%d N9\n5 :1.a\n" % validity for validity in (1, 2)]
        self.check(
            "dovecot",
            "dovecot-uidlist",
            (lines[0], b"0000000500000001"),
            (lines[1], b"0000000500000002"),
        )

    def test_courier(self):
        """
        So is Courier's.
        """
        self.check(
            "courier",
            "courierpop3dsizelist",
            (b"/3 5 1\n1.a 11 4:1\n", b"UID4-1"),
            (b"/3 5 1\n1.a 11 4:2\n", b"UID4-2"),
        )
