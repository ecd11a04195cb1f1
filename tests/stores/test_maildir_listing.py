"""
`extretr.stores.maildir_listing`: what a login makes of a Maildir and what is known.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import MessageChanged, NotAllDeleted, StoreUnavailable
from extretr.stores import maildir_listing, maildir_scan
from extretr.stores.maildir import MaildirStore
from extretr.stores.maildir_scan import chronological
from extretr.stores.paths import PathTemplate
from extretr.stores.unique_ids import assign, base_name
from tests import models

NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: not name.startswith(b".") and not {0, 0x2F} & set(name)
)
NUMBERS = st.integers(0, 30)

#: What other mail software does between two sessions, and what becomes of the index.
CHANGES = st.one_of(
    st.tuples(st.just("deliver"), NAMES, st.integers(0, 30)),
    st.tuples(st.just("flag"), NUMBERS, st.sampled_from([b"", b"S", b"RS"])),
    st.tuples(st.just("move"), NUMBERS),
    st.tuples(st.just("copy"), NUMBERS),
    st.tuples(st.just("remove"), NUMBERS),
    st.tuples(st.just("replace"), NUMBERS, st.integers(31, 60)),
    st.tuples(st.just("damage"), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1)),
    st.tuples(st.just("truncate"), NUMBERS),
    st.tuples(st.just("measure"), NUMBERS),
)


def at_once(steps):
    for _ in steps:
        pass
    return succeed(None)


class ListingTestCase(SynchronousTestCase):
    """
    The Maildir of bob, and what may be done to it.
    """

    def setUp(self):
        self.root = Path(self.mktemp()).resolve()
        self.maildir = os.fsencode(self.root / "bob")
        self.state = self.root / "state"
        self.begin()
        self.calls = []
        for name in ("lstat", "scandir", "open", "stat"):
            self.record(name)

    def begin(self):
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (b"tmp", b"new", b"cur"):
            os.makedirs(os.path.join(self.maildir, folder))
        self.time = 0
        self.given = set()
        self.tick()

    def record(self, name):
        original = getattr(os, name)

        def recording(path, *args, **options):
            if isinstance(path, bytes):
                path_ = path.removeprefix(self.maildir + b"/")
                if path_.startswith((b"new", b"cur")):
                    self.calls.append((name, path_))
            return original(path, *args, **options)

        self.patch(os, name, recording)

    def tick(self):
        """
        Let each change of a folder have a time of its own, as after seconds.
        """
        self.time += 1
        for folder in (b"new", b"cur"):
            os.utime(os.path.join(self.maildir, folder), (self.time, self.time))

    def opening(self, **options):
        store = MaildirStore(
            template=PathTemplate(os.fsencode(self.root) + b"/%u"),
            clock=Clock(),
            cooperate=options.pop("cooperate", at_once),
            state=PathTemplate(os.fsencode(self.state) + b"/%u"),
            wall=options.pop("wall", lambda: 1e12),
            **options,
        )
        self.calls.clear()
        return store.openMaildrop(b"bob", None)

    def open(self, **options):
        maildrop = self.successResultOf(self.opening(**options))
        self.addCleanup(maildrop.close)
        return maildrop

    def deliver(self, name, octets, folder=b"new"):
        path = os.path.join(self.maildir, folder, name)
        with open(path, "wb") as file:
            file.write(octets)
        self.tick()
        return path

    def listed(self, maildrop):
        """
        Give unique-id, size and octets of all that is listed.
        """
        sizes = maildrop.listMessages()
        if isinstance(sizes, Deferred):
            sizes = self.successResultOf(sizes)
        found = []
        for index, size in enumerate(sizes):
            opened = maildrop.openMessage(index).openAt(0)
            with opened.file:
                stored = opened.file.read(-1)
            found.append((maildrop.getUidl(index), size, stored))
        return found

    def paths(self):
        return [
            os.path.join(self.maildir, folder, name)
            for folder in (b"new", b"cur")
            for name in sorted(os.listdir(os.path.join(self.maildir, folder)))
        ]

    def wanted(self):
        """
        Give the same from the folders themselves.
        """
        bases = {base_name(os.path.basename(path)): path for path in self.paths()}
        names = sorted(bases, key=chronological)
        unique_ids = assign(names, {})
        found = []
        for name, unique_id in zip(names, unique_ids, strict=True):
            stored = Path(os.fsdecode(bases[name])).read_bytes()
            found.append((unique_id, len(models.canonical(stored)), stored))
        return found


class ModelTests(ListingTestCase):
    """
    Whatever happened to the Maildir and to the index, the list is what is there.
    """

    def setUp(self):
        super().setUp()
        # Small, so that few messages make many blocks and steps.
        for module in (maildir_listing, maildir_scan):
            self.patch(module, "STEP", 2)
        self.patch(maildir_listing, "CAPACITY", 3)
        self.patch(maildir_scan, "_SORTED", 4)
        self.patch(maildir_scan, "_PACKED", 2)
        self.patch(maildir_scan, "_TOGETHER", 2)

    def one(self, number):
        paths = self.paths()
        return paths[number % len(paths)] if paths else None

    def rename(self, number, flags, keep=os.rename):
        path = self.one(number)
        if path is not None:
            name = base_name(os.path.basename(path)) + b":2," + flags
            target = os.path.join(self.maildir, b"cur", name)
            if not os.path.exists(target):
                keep(path, target)

    def deliverAny(self, name, size):
        # A name is given once.
        if base_name(name) not in self.given:
            self.given.add(base_name(name))
            self.deliver(name, b"x" * size)

    def flag(self, number, flags):
        self.rename(number, flags)

    def move(self, number):
        self.rename(number, b"")

    def copy(self, number):
        self.rename(number, b"T", os.link)

    def remove(self, number):
        path = self.one(number)
        if path is not None:
            os.unlink(path)

    def replace(self, number, size):
        """
        Put another file in a message's place, as no delivery agent does.
        """
        path = self.one(number)
        if path is not None:
            other = os.path.join(self.maildir, b"tmp", b"other")
            with open(other, "wb") as file:
                file.write(b"y\n" * size)
            # Its inode is given to no other file for now.
            os.link(path, os.path.join(self.maildir, b"tmp", b"%d" % self.time))
            os.rename(other, path)
            # Of two files that are the same message, and differ, either is right.
            base = base_name(os.path.basename(path))
            for copy in self.paths():
                if copy != path and base_name(os.path.basename(copy)) == base:
                    os.unlink(copy)

    def index(self):
        return self.state / "bob" / "index"

    def damage(self, places):
        if self.index().exists() and self.index().stat().st_size:
            octets = bytearray(self.index().read_bytes())
            for where, bit in places:
                # Spread all over the file.
                octets[where * 7919 * (bit + 1) % len(octets)] ^= 1 << bit % 8
            self.index().write_bytes(octets)

    def truncate(self, number):
        if self.index().exists():
            os.truncate(self.index(), self.index().stat().st_size * number // 31)

    def measure(self, number):
        """
        Have one session that asks for one message only.
        """
        maildrop = self.open()
        count = maildrop.countMessages()
        if count:
            maildrop.listMessages(number % count)
        maildrop.close()

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.lists(
            st.tuples(st.lists(CHANGES, max_size=8), st.integers(1, 4)),
            min_size=2,
            max_size=6,
        )
    )
    def test_anything(self, sessions):
        """
        The list of each session is that of the files: names, order, sizes, octets.

        So it is of those that follow without a change, which list nothing again.
        """
        self.begin()
        for changes, times in sessions:
            for what, *arguments in changes:
                what = "deliverAny" if what == "deliver" else what
                getattr(self, what)(*arguments)
                self.tick()
            for _ in range(times):
                maildrop = self.open()
                self.assertEqual(self.listed(maildrop), self.wanted())
                maildrop.close()
            self.flushLoggedErrors()

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.sets(NAMES, min_size=8, max_size=20), st.data())
    def test_costs(self, names, data):
        """
        A session after mail came, was flagged, moved or removed looks at the new mail
        and at no other file.
        """
        self.begin()
        names = sorted({base_name(name) for name in names} - {b""})
        known = data.draw(st.integers(1, len(names)))
        for name in names[:known]:
            self.deliver(name, b"x")
        maildrop = self.open()
        self.listed(maildrop)
        maildrop.close()
        for number in data.draw(st.lists(NUMBERS, max_size=4)):
            self.rename(number, b"F")
        for number in data.draw(st.lists(NUMBERS, max_size=2)):
            self.remove(number)
        for name in names[known:]:
            self.deliver(name, b"new")
        self.tick()
        maildrop = self.open()
        sizes = maildrop.listMessages()
        if isinstance(sizes, Deferred):
            self.successResultOf(sizes)
        new = sorted(b"new/" + name for name in names[known:])
        for call in ("lstat", "open"):
            looked = sorted(path for name, path in self.calls if name == call)
            self.assertEqual(looked, new)
        maildrop.close()


class CostTests(ListingTestCase):
    """
    What a login costs.
    """

    def setUp(self):
        super().setUp()
        for number in range(30):
            folder = (b"new", b"cur")[number % 2]
            self.deliver(b"%d.a" % number, b"x" * number, folder)
        maildrop = self.open()
        self.before = self.listed(maildrop)
        maildrop.close()

    def test_unchanged(self):
        """
        A login to an unchanged Maildir asks for the two folders' times, and no more.
        """
        maildrop = self.open()
        sizes = [maildrop.listMessages(), maildrop.total()]
        self.assertEqual(sizes, [[row[1] for row in self.before], sum(sizes[0])])
        self.assertEqual(
            list(maildrop.uniqueIds(0, 30)), [row[0] for row in self.before]
        )
        self.assertEqual(self.calls, [("stat", b"new"), ("stat", b"cur")])

    def test_oneFolder(self):
        """
        Only the folder that has changed is listed.
        """
        os.unlink(os.path.join(self.maildir, b"cur", b"1.a"))
        self.tick()
        os.utime(os.path.join(self.maildir, b"new"), (1, 1))
        self.open().close()
        self.time += 1
        path = os.path.join(self.maildir, b"cur")
        os.utime(path, (self.time, self.time))
        self.open()
        listed = [path for name, path in self.calls if name == "scandir"]
        self.assertEqual(listed, [b"cur"])

    def test_writtenInPlace(self):
        """
        A file that was written to under its own name is found out when it is opened;
        the next session trusts no name, and looks at each file once.
        """
        path = os.path.join(self.maildir, b"new", b"10.a")
        with open(path, "r+b") as file:
            file.write(b"other, and longer")
        self.tick()
        maildrop = self.open()
        self.assertEqual(maildrop.listMessages(10), self.before[10][1])
        self.assertRaises(MessageChanged, maildrop.openMessage(10).openAt, 0)
        maildrop.close()
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())
        self.assertEqual(len([1 for name, _ in self.calls if name == "lstat"]), 30)
        maildrop.close()
        maildrop = self.open()
        self.assertNotIn("lstat", [name for name, _ in self.calls])

    def test_nameAndInode(self):
        """
        So is another file that was given a message's name and, by chance, its inode.
        """
        path = os.path.join(self.maildir, b"new", b"10.a")
        inode = os.stat(path).st_ino
        with open(path, "r+b") as file:
            # To write in place stands for what cannot be had at will.
            file.truncate()
            file.write(b"another message")
        self.assertEqual(os.stat(path).st_ino, inode)
        maildrop = self.open()
        self.assertRaises(MessageChanged, maildrop.openMessage(10).openAt, 0)
        maildrop.deleteMessage(10)
        self.assertRaises(NotAllDeleted, maildrop.sync)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        maildrop.close()
        self.assertEqual(self.listed(self.open()), self.wanted())

    def test_otherFolder(self):
        """
        Names in a folder that was made anew are not trusted.
        """
        folder = os.path.join(self.maildir, b"cur")
        os.rename(folder, folder + b".old")
        shutil.copytree(folder + b".old", folder)
        self.tick()
        self.open()
        looked = [path for name, path in self.calls if name == "lstat"]
        self.assertEqual(len(looked), 15)

    def test_missedWhileRenamed(self):
        """
        A message that a listing misses, since it is renamed meanwhile, is looked for
        once more: it does not vanish from the session.
        """
        self.missWhileRenamed()

    def test_missedAtFirst(self):
        """
        So is one at the first login, where nobody knows that it is missing.
        """
        shutil.rmtree(self.state)
        self.missWhileRenamed()
        # Others are not looked at twice.
        looked = [path for name, path in self.calls if name == "lstat"]
        self.assertEqual(len(looked), 30)

    def missWhileRenamed(self):
        self.tick()
        scandir, missed = os.scandir, []

        def missing(path):
            if path.endswith(b"cur") and not missed:
                missed.append(path)
                old = os.path.join(path, b"1.a")
                os.rename(old, path + b".away")
                entries = list(scandir(path))
                os.rename(path + b".away", old + b":2,S")
                self.tick()
                return _Entries(entries)
            return scandir(path)

        self.patch(os, "scandir", missing)
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())
        self.assertEqual(len(missed), 1)

    def test_listOfBlocksLost(self):
        """
        Where the index has lost which blocks there are, and nothing else, the Maildir
        is listed: it does not look empty.
        """
        index = os.fsdecode(self.state / "bob" / "index")
        for damage in (
            "UPDATE notes SET value = x'00' WHERE name = CAST('blocks' AS BLOB)",
            "DELETE FROM notes WHERE name = CAST('blocks' AS BLOB)",
        ):
            with closing(sqlite3.connect(index)) as database, database:
                self.assertEqual(database.execute(damage).rowcount, 1)
            maildrop = self.open()
            self.assertEqual(self.listed(maildrop), self.before)
            maildrop.close()

    def test_takenOver(self):
        """
        A session that was taken over, and comes to its end after the one that took over
        has ended, does not make later ones miss what came meanwhile.
        """
        self.overtaken().close()
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())

    def test_olderListing(self):
        """
        Nor does a third, which had no more to write than that a folder was touched.
        """
        first = self.overtaken()
        self.tick()
        third = self.open()
        first.close()
        third.close()
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())

    def overtaken(self):
        """
        Give a maildrop that another session has taken over, which has ended since; mail
        had come between the two.
        """
        self.deliver(b"30.a", b"x" * 30)
        self.open().close()
        first = self.open()
        first.listMessages(30)
        self.deliver(b"31.a", b"y")
        self.takeOver()
        self.open().close()
        return first

    def takeOver(self):
        """
        Let the session that holds the lock look as if its process had ended.
        """
        os.unlink(self.state / "bob" / "lock")

    def test_renamedBeforeLooked(self):
        """
        So is a message that is renamed between the listing and the look at it.
        """
        shutil.rmtree(self.state)
        lstat, renamed = os.lstat, []

        def renaming(path):
            if path.endswith(b"/1.a") and not renamed:
                renamed.append(path)
                os.rename(path, path + b":2,S")
            return lstat(path)

        self.patch(os, "lstat", renaming)
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())
        self.assertEqual(len(renamed), 1)

    def test_twoOfOneName(self):
        """
        Of two files that are one message by their names the same one is served in each
        session, whichever folder has changed.
        """
        for flags, octets in ((b"", b"one"), (b":2,", b"two"), (b":2,S", b"three")):
            self.deliver(b"5.b" + flags, octets, b"cur")
        for _ in range(4):
            maildrop = self.open()
            self.assertEqual(self.listed(maildrop), self.wanted())
            maildrop.close()
            self.tick()

    def test_otherOfOneName(self):
        """
        Where the one that was served is gone the other one is, though its folder has
        not changed.
        """
        self.deliver(b"4.a", b"copy", b"cur")
        for _ in range(2):
            maildrop = self.open()
            self.assertEqual(self.listed(maildrop), self.wanted())
            maildrop.close()
        os.unlink(os.path.join(self.maildir, b"cur", b"4.a"))
        maildrop = self.open()
        self.assertEqual(self.listed(maildrop), self.wanted())

    def test_noFileAnyMore(self):
        """
        A message in whose place something else lies is none.
        """
        for number, lay in (
            (b"1.a", os.mkdir),
            (b"3.a", os.mkfifo),
            (b"5.a", lambda path: os.symlink(b"/etc/passwd", path)),
        ):
            path = os.path.join(self.maildir, b"cur", number)
            os.rename(path, os.path.join(self.maildir, b"tmp", number))
            lay(path)
        self.tick()
        self.assertEqual(self.open().countMessages(), 27)

    def test_nothingWritten(self):
        """
        A session in which nothing changed writes nothing.
        """
        index = self.state / "bob" / "index"
        before = index.stat().st_mtime_ns
        maildrop = self.open()
        self.listed(maildrop)
        maildrop.close()
        self.assertEqual(index.stat().st_mtime_ns, before)

    def test_otherServersIds(self):
        """
        What another server's list says is read again where the list has changed.
        """
        uidlist = Path(os.fsdecode(self.maildir)) / "dovecot-uidlist"
        for validity in (1, 1, 2):
            uidlist.write_bytes(b"3 V%d N9\n5 :3.a\n" % validity)
            os.utime(uidlist, (validity, validity))
            maildrop = self.open(unique_ids="dovecot")
            self.assertEqual(maildrop.getUidl(3), b"00000005%08x" % validity)
            self.assertEqual(maildrop.getUidl(4), b"4.a")
            maildrop.close()
        maildrop = self.open()
        self.assertEqual(maildrop.getUidl(3), b"3.a")

    def test_unreadableIds(self):
        """
        While that list cannot be read nobody gets in: by other unique-ids all mail
        would be downloaded again.
        """
        uidlist = Path(os.fsdecode(self.maildir)) / "dovecot-uidlist"
        uidlist.mkdir()
        os.utime(uidlist, (1, 1))
        opening = self.opening(unique_ids="dovecot")
        self.failureResultOf(opening, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        uidlist.rmdir()
        uidlist.write_bytes(b"3 V1 N9\n5 :3.a\n")
        maildrop = self.open(unique_ids="dovecot")
        self.assertEqual(maildrop.getUidl(3), b"0000000500000001")


class StepTests(ListingTestCase):
    """
    However many messages there are, a step does little.
    """

    def setUp(self):
        super().setUp()
        for module in (maildir_listing, maildir_scan):
            self.patch(module, "STEP", 10)
        self.patch(maildir_listing, "CAPACITY", 10)
        self.patch(maildir_scan, "_SORTED", 10)
        for number in range(200):
            path = os.path.join(self.maildir, b"new", b"%d.a" % number)
            with open(path, "wb"):
                pass
        self.tick()
        self.most = 0

    def counting(self, steps):
        while True:
            self.calls.clear()
            more = next(steps, self) is not self
            self.most = max(self.most, len(self.calls))
            if not more:
                return succeed(None)

    def test_files(self):
        """
        No step of a first login looks at more files than it may; nor of a later one.
        """
        maildrop = self.open(cooperate=self.counting)
        self.assertEqual(maildrop.countMessages(), 200)
        self.assertLessEqual(self.most, 12)
        self.assertGreater(self.most, 1)
        maildrop.close()
        maildrop = self.open(cooperate=self.counting)
        self.assertLessEqual(self.most, 12)

    def test_saved(self):
        """
        What was measured is written in steps before the session ends, and its end is
        short.
        """
        self.patch(maildir_listing, "CAPACITY", 2)
        maildrop = self.open()
        for block in maildrop._entries.blocks:
            self.assertIsNone(block.saved)
        self.successResultOf(maildrop.listMessages())
        self.assertNotIn(None, [block.saved for block in maildrop._entries.blocks])
        index = self.state / "bob" / "index"
        before = index.stat().st_mtime_ns
        maildrop.close()
        self.assertEqual(index.stat().st_mtime_ns, before)

    def test_savedMeasured(self):
        """
        So is what has changed otherwise, where all were measured before.
        """
        self.patch(maildir_listing, "CAPACITY", 2)
        maildrop = self.open()
        self.successResultOf(maildrop.listMessages())
        maildrop.close()
        for path in self.paths():
            name = os.path.basename(path) + b":2,S"
            os.rename(path, os.path.join(self.maildir, b"cur", name))
        self.tick()
        maildrop = self.open()
        blocks = maildrop._entries.blocks
        self.assertNotIn(0, [kind for block in blocks for kind in block.kinds()])
        self.assertIn(None, [block.saved for block in blocks])
        self.successResultOf(maildrop.measureAll())
        self.assertNotIn(None, [block.saved for block in blocks])


class _Entries:
    """
    What scandir gives, read beforehand.
    """

    def __init__(self, entries):
        self.entries = entries

    def __enter__(self):
        return self.entries

    def __exit__(self, *exc_info):
        pass
