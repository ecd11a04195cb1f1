"""
`extretr.stores.index`: what is remembered is a cache, and nothing more.
"""

import os
import random
import sqlite3
import stat
import subprocess
import sys
from array import array
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from extretr.offsets import EMPTY, Measured
from extretr.stores import index as module
from extretr.stores import recent
from extretr.stores.index import Index
from extretr.stores.index_blocks import BLOCKS_A_STEP
from extretr.stores.index_file import transactions
from extretr.stores.recent import Recent
from tests.interop.running import ROOT, environment
from tests.test_offsets import measure

MEASURED = measure((b"x" * 70 + b"\n") * 5000)


class FakeBlock:
    """
    A block of no messages in particular.
    """

    saved = None

    def __init__(self, octets):
        self.octets = octets
        self.encoded = 0

    def encode(self):
        self.encoded += 1
        return self.octets


def result(steps):
    """
    Run steps and give what they return.
    """
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


class BlockTests(SynchronousTestCase):
    """
    Blocks of messages, between sessions.
    """

    def setUp(self):
        self.path = os.fsencode(os.path.abspath(self.mktemp()))

    def blocks(self, count, length=3000):
        return [FakeBlock(b"%d" % number * length) for number in range(count)]

    def saved(self, count, length=3000):
        blocks = self.blocks(count, length)
        index = Index(self.path)
        result(index.saving(blocks))
        return index, blocks

    def read(self):
        found, whole = result(Index(self.path).blocks())
        return [octets for _, octets in found], whole

    def rows(self):
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database:
            return database.execute("SELECT count(*) FROM blocks").fetchone()[0]

    def test_saved(self):
        """
        What was saved is there in the next session, in its order.
        """
        _, blocks = self.saved(20)
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_none(self):
        """
        Where nothing was saved there is nothing, not even that there are no blocks, and
        no file is made for it.
        """
        self.assertEqual(self.read(), ([], False))
        self.saved(0)
        self.assertFalse(os.path.exists(self.path))

    def test_noBlocks(self):
        """
        That there are no blocks is remembered as any number of them is.
        """
        index = Index(self.path)
        index.set_note(b"note", b"value")
        result(index.saving([]))
        self.assertEqual(self.read(), ([], True))

    def test_listLost(self):
        """
        Where it is not known which blocks there are, or one is named twice, it does not
        look as if there were none.
        """
        index, blocks = self.saved(3)
        saved = [block.saved for block in blocks]
        for head in (None, b"123", array("Q", (*saved[0], *saved[1], *saved[0]))):
            if head is None:
                del index._notes[b"blocks"]
            else:
                index._notes[b"blocks"] = bytes(head)
            index._dirty_notes[b"blocks"] = None
            index.save()
            self.assertEqual(self.read(), ([], False))

    def test_changed(self):
        """
        Only what has changed is written; what is there no more is removed.
        """
        index, blocks = self.saved(20)
        blocks[3].octets, blocks[3].saved = b"other", None
        del blocks[10:]
        blocks.insert(0, FakeBlock(b"first"))
        result(index.saving(blocks))
        self.assertEqual([block.encoded for block in blocks[:6]], [1, 1, 1, 1, 2, 1])
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))
        self.assertEqual(self.rows(), 11)

    def test_unchanged(self):
        """
        Where nothing has changed nothing is written.
        """
        index, blocks = self.saved(20)
        before = os.stat(self.path).st_mtime_ns
        self.assertEqual(index.unsaved(blocks), [])
        result(index.saving(blocks))
        self.assertEqual(os.stat(self.path).st_mtime_ns, before)

    def test_resting(self):
        """
        An index whose notes rest writes what has changed, and nothing else.
        """
        _, blocks = self.saved(20)
        index = Index(self.path)
        index.rest()
        self.assertEqual(index._notes, {})
        before = os.stat(self.path).st_mtime_ns
        result(index.saving(blocks))
        self.assertEqual(os.stat(self.path).st_mtime_ns, before)
        blocks[3].octets, blocks[3].saved = b"other", None
        result(index.saving(blocks))
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))
        self.assertEqual([block.encoded for block in blocks[2:5]], [1, 2, 1])

    def test_restingFresh(self):
        """
        Blocks that were never saved are saved by an index whose notes rest.
        """
        self.saved(20)
        index, blocks = Index(self.path), self.blocks(12)
        index.rest()
        index.set_note(b"note", b"value")
        result(index.saving(blocks))
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))
        self.assertEqual(Index(self.path).note(b"note"), b"value")

    def test_restingMeanwhile(self):
        """
        Notes that rested while another session wrote are written with their blocks.
        """
        _, blocks = self.saved(3)
        first, second = Index(self.path), Index(self.path)
        first.set_note(b"note", b"first")
        result(first.saving(blocks))
        first.rest()
        second.set_note(b"note", b"second")
        result(second.saving(self.blocks(1)))
        blocks[0].octets, blocks[0].saved = b"other", None
        result(first.saving(blocks))
        index = Index(self.path)
        self.assertEqual(index.note(b"note"), b"first")
        found, _ = result(index.blocks())
        self.assertLessEqual(
            {octets for _, octets in found}, {block.octets for block in blocks}
        )

    def test_fewer(self):
        """
        Blocks of which some are no more are saved, also when nothing else has changed.
        """
        _, blocks = self.saved(20)
        index = Index(self.path)
        index.rest()
        result(index.saving(blocks[5:]))
        self.assertEqual(self.read(), ([block.octets for block in blocks[5:]], True))
        self.assertEqual(self.rows(), 15)

    def kept(self):
        """
        Have an index of some blocks kept in memory.
        """
        _, blocks = self.saved(3, 9)
        index = Index(self.path)
        result(index.blocks())
        index.keep(lambda: [1, b"listed", (b"blocks",)])
        return index, blocks

    def test_kept(self):
        """
        What was made of an index is kept with it, and each gets a copy.
        """
        index, _ = self.kept()
        self.assertIsNone(index.recall())
        for _ in range(2):
            index = Index(self.path)
            listed = index.recall()
            self.assertEqual(listed, [1, b"listed", (b"blocks",)])
            listed.clear()
            index.rest()
            self.assertIsNone(index.recall())

    def test_keptSaves(self):
        """
        Where all is as it was kept there is nothing to save; where a block, a message
        or a note has changed there is.
        """
        index, blocks = self.kept()
        self.assertTrue(index.is_saved(blocks))
        index = Index(self.path)
        self.assertTrue(index.is_saved(blocks))
        blocks[1].octets, blocks[1].saved = b"other", None
        self.assertFalse(index.is_saved(blocks))
        result(index.saving(blocks))
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))
        for change in (
            lambda index: index.set_note(b"note", b"new"),
            lambda index: index.remember(b"k", b"s", MEASURED),
            lambda index: index.forget(b"k"),
        ):
            self.kept()
            index = Index(self.path)
            change(index)
            self.assertFalse(index.is_saved(()))
            index.save()
        index = Index(self.path)
        self.assertFalse(index.is_saved(()))

    def test_keptNotes(self):
        """
        One session does not see what another has noted and not saved.
        """
        self.kept()
        first = Index(self.path)
        first.set_note(b"note", b"first")
        second = Index(self.path)
        self.assertIsNotNone(second.recall())
        self.assertIsNone(second.note(b"note"))
        self.assertEqual(first.note(b"note"), b"first")

    def test_notKept(self):
        """
        What is yet to be saved, or has rows of messages, is not kept; nor is much.
        """

        def note(index):
            index.set_note(b"other", b"new")

        def remember(index):
            index.remember(b"k", b"s", MEASURED)

        def saved(index):
            remember(index)
            index.save()

        for change in (note, remember, saved):
            self.saved(3, 9)
            index = Index(self.path)
            change(index)
            index.keep(lambda: 1)
            self.assertIsNone(Index(self.path).recall())
        Index(self.path).keep(self.fail)
        os.unlink(self.path)
        self.saved(3)
        Index(self.path).keep(self.fail)
        os.unlink(self.path)
        index = Index(self.path)
        index.keep(self.fail)
        Index(None).keep(self.fail)

    def test_changedByAnother(self):
        """
        What another process has changed is read again, also where file and times look
        the same: by SQLite's count of transactions.
        """
        self.patch(recent, "state_of", lambda status: (1, 2, 3, 4, 5))
        index, _ = self.kept()
        script = (
            "import sys; from extretr.stores.index import Index;"
            "index = Index(sys.argv[1].encode());"
            "index.set_note(b'note', sys.argv[2].encode()); index.save()"
        )
        for value in ("one", "two"):
            self.assertIsNotNone(Index(self.path).note(b"blocks"))
            subprocess.run(
                [sys.executable, "-c", script, os.fsdecode(self.path), value],
                env=environment(),
                cwd=ROOT,
                check=True,
            )
            index = Index(self.path)
            self.assertIsNone(index.recall())
            self.assertEqual(index.note(b"note"), value.encode())

    def test_readOnce(self):
        """
        An index that was just written is read once, not at each login.
        """
        self.saved(3, 9)
        reads = []
        original = Index._readAll

        def reading(index, path):
            reads.append(path)
            return original(index, path)

        self.patch(Index, "_readAll", reading)
        for _ in range(3):
            self.assertTrue(self.read()[1])
        self.assertEqual(reads, [self.path])

    def test_inSteps(self):
        """
        No step reads or writes more than so many.
        """
        blocks = self.blocks(50)
        index, most, before = Index(self.path), 0, 0
        for _ in index.saving(blocks):
            written = sum(block.encoded for block in blocks)
            most, before = max(most, written - before), written
        self.assertEqual((most, before), (BLOCKS_A_STEP, 48))
        self.assertGreaterEqual(sum(1 for _ in Index(self.path).blocks()), 6)

    def test_cutOff(self):
        """
        However early saving is cut off, what was there before is still there, whole.
        """
        _, before = self.saved(30)
        wanted = [block.octets for block in before]
        for steps in range(5):
            others = [FakeBlock(b"other %d" % number) for number in range(40)]
            index = Index(self.path)
            result(index.blocks())
            saving = index.saving(others)
            for _ in range(steps):
                next(saving)
            saving.close()
            self.assertEqual(self.read(), (wanted, True))
        index = Index(self.path)
        result(index.blocks())
        result(index.saving(others))
        self.assertEqual(self.read(), ([block.octets for block in others], True))
        # What was left behind is removed.
        self.assertEqual(self.rows(), 40)

    def test_changedWhileSaved(self):
        """
        A block that changes while others are being written is written the next time.
        """
        index, blocks = Index(self.path), self.blocks(20)
        saving = index.saving(blocks)
        next(saving)
        blocks[0].octets, blocks[0].saved = b"other", None
        result(saving)
        result(index.saving(blocks))
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))

    def test_twoSessions(self):
        """
        Of two that save at once the one that ends last is what is there, or nothing.
        """
        first, second = Index(self.path), Index(self.path)
        mine = [FakeBlock(b"mine %d" % number) for number in range(30)]
        others = [FakeBlock(b"theirs %d" % number) for number in range(30)]
        one, two = first.saving(mine), second.saving(others)
        for _ in range(2):
            next(one)
            next(two)
        result(one)
        result(two)
        found, whole = self.read()
        self.assertTrue(set(found) <= {block.octets for block in others})
        self.assertEqual(whole, len(found) == 30)
        result(first.saving(mine))

    def test_tornWriting(self):
        """
        A note does not count beside a list of blocks that it was not written with, as
        it may come to lie where a process was killed, or the power failed.
        """
        index, blocks = self.saved(3)
        index.set_note(b"note", b"old")
        result(index.saving(blocks))
        query = "SELECT value, checksum FROM notes WHERE name = CAST('blocks' AS BLOB)"
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database:
            older = database.execute(query).fetchone()
        self.assertEqual(Index(self.path).note(b"note"), b"old")
        blocks.append(FakeBlock(b"more"))
        index.set_note(b"note", b"new")
        result(index.saving(blocks))
        self.assertEqual(Index(self.path).note(b"note"), b"new")
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database, database:
            database.execute(
                "UPDATE notes SET value = ?, checksum = ?"
                " WHERE name = CAST('blocks' AS BLOB)",
                older,
            )
        self.assertEqual(len(self.read()[0]), 3)
        self.assertIsNone(Index(self.path).note(b"note"))

    def test_damaged(self):
        """
        A block that is not as it was written is missed; the others are there.
        """
        _, blocks = self.saved(5)
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database, database:
            database.execute("UPDATE blocks SET value = ? WHERE number = 2", (b"x",))
            database.execute("UPDATE blocks SET value = 'text' WHERE number = 3")
            database.execute("DELETE FROM blocks WHERE number = 4")
        self.assertEqual(self.read(), ([blocks[0].octets, blocks[4].octets], False))

    def test_anyDamage(self):
        """
        Truncated or of any bits flipped, it gives blocks that were written, or none.
        """
        _, blocks = self.saved(12)
        known = {block.octets for block in blocks}
        with open(self.path, "rb") as file:
            whole = file.read()
        noise = random.Random(11)
        for _ in range(150):
            octets = bytearray(whole[: noise.choice((len(whole), len(whole) // 2))])
            for _ in range(noise.choice((1, 5, 200))):
                octets[noise.randrange(len(octets))] ^= 1 << noise.randrange(8)
            with open(self.path, "wb") as file:
                file.write(octets)
            index = Index(self.path)
            found, complete = result(index.blocks())
            self.assertTrue({octets for _, octets in found} <= known)
            self.assertTrue(complete or len(found) < 12)
            self.flushLoggedErrors()
            # And it can be used again.
            for block in blocks:
                block.saved = None
            result(index.saving(blocks))
            self.flushLoggedErrors()
            if self.read() != ([block.octets for block in blocks], True):
                self.flushLoggedErrors()
                result(Index(self.path).saving(self.blocks(12)))
            self.flushLoggedErrors()

    def test_locked(self):
        """
        While another process writes nothing is lost: it is written the next time.
        """
        index, blocks = self.saved(3)
        blocks.append(FakeBlock(b"more"))
        with closing(sqlite3.connect(os.fsdecode(self.path))) as other:
            other.execute("BEGIN EXCLUSIVE")
            result(index.saving(blocks))
            self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
            other.rollback()
        result(index.saving(blocks))
        self.assertEqual(self.read(), ([block.octets for block in blocks], True))

    def test_olderForm(self):
        """
        What was remembered a row a message is remembered still.
        """
        index = Index(self.path)
        index.remember(b"k", b"s", MEASURED)
        index.save()
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database, database:
            database.execute("DROP TABLE blocks")
        index = Index(self.path)
        self.assertEqual(result(index.blocks()), ([], False))
        self.assertEqual(index.remembered(b"k", b"s"), MEASURED)
        index.keep_only(())
        result(index.saving(self.blocks(2)))
        self.assertEqual(len(self.read()[0]), 2)
        self.assertIsNone(Index(self.path).remembered(b"k", b"s"))


class IndexTests(SynchronousTestCase):
    """
    Measured messages and notes, between sessions.
    """

    def setUp(self):
        self.path = os.fsencode(os.path.abspath(self.mktemp()))

    def saved(self):
        index = Index(self.path)
        for number in range(50):
            index.remember(b"key%d" % number, b"signature", MEASURED)
        index.set_note(b"note", b"value" * 100)
        index.save()
        return index

    def test_remembered(self):
        """
        What was saved is there in the next session, checkpoints and all.
        """
        self.saved()
        index = Index(self.path)
        self.assertTrue(MEASURED.stored_marks)
        self.assertEqual(index.remembered(b"key7", b"signature"), MEASURED)
        self.assertEqual(index.note(b"note"), b"value" * 100)

    def test_small(self):
        """
        A message without checkpoints, or without octets, is remembered too.
        """
        for measured in (EMPTY, Measured(5, 4, False, True)):
            index = Index(self.path)
            index.remember(b"k", b"s", measured)
            index.save()
            self.assertEqual(Index(self.path).remembered(b"k", b"s"), measured)

    def test_otherSignature(self):
        """
        Of a message that is another now nothing is remembered.
        """
        self.saved()
        self.assertIsNone(Index(self.path).remembered(b"key7", b"other"))
        self.assertIsNone(Index(self.path).remembered(b"key99", b"signature"))

    def test_forget(self):
        """
        Who forgets a message forgets the notes with it, for good.
        """
        index = self.saved()
        index.forget(b"key7")
        for again in (index, Index(self.path)):
            if again is not index:
                index.save()
                again = Index(self.path)
            self.assertIsNone(again.remembered(b"key7", b"signature"))
            self.assertIsNone(again.note(b"note"))
            self.assertEqual(again.remembered(b"key8", b"signature"), MEASURED)

    def test_keepOnly(self):
        """
        What is no longer there is dropped.
        """
        index = self.saved()
        index.keep_only([b"key1", b"key2", b"key-new"])
        index.save()
        again = Index(self.path)
        kept = [n for n in range(50) if again.remembered(b"key%d" % n, b"signature")]
        self.assertEqual(kept, [1, 2])

    def test_transactions(self):
        """
        Each that changes the file counts; what is no such file has no count.
        """
        counts = []
        index = Index(self.path)
        for number in range(3):
            index.set_note(b"note", b"%d" % number)
            index.save()
            counts.append(transactions(self.path))
        self.assertEqual(len(set(counts)), 3)
        self.assertEqual({len(count) for count in counts}, {4})
        os.symlink(self.path, self.path + b".link")
        os.mkfifo(self.path + b".pipe")
        for path in (b".link", b".pipe", b".nothing"):
            self.assertEqual(transactions(self.path + path), b"")
        self.assertEqual(transactions(os.path.dirname(self.path)), b"")

    def test_notOurs(self):
        """
        What somebody else has laid there is not read, since that might never end: a
        file of theirs, a link, a pipe, or a journal beside ours.
        """

        def endless(path):
            with closing(sqlite3.connect(os.fsdecode(path))) as database:
                database.executescript(
                    "CREATE VIEW messages AS WITH RECURSIVE one(key) AS"
                    " (SELECT 1 UNION ALL SELECT key FROM one)"
                    " SELECT key, key signature, key data, key checksum FROM one;"
                    "CREATE TABLE notes (name, value, checksum);"
                    "PRAGMA user_version = 1"
                )

        def link(path):
            endless(path + b".theirs")
            os.symlink(path + b".theirs", path)

        def journal(path):
            self.saved()
            with open(path + b"-journal", "wb"):
                pass

        for lay, uid in (
            (endless, os.geteuid() + 1),
            (link, os.geteuid()),
            (os.mkfifo, os.geteuid()),
            (journal, os.geteuid()),
        ):
            lay(self.path)
            patch = self.patch(os, "geteuid", lambda uid=uid: uid)
            index = Index(self.path)
            patch.restore()
            self.assertEqual(len(self.flushLoggedErrors(sqlite3.DatabaseError)), 1)
            self.assertIsNone(index.remembered(b"key7", b"signature"))
            self.saved()
            again = Index(self.path)
            self.assertEqual(again.remembered(b"key7", b"signature"), MEASURED)
            os.unlink(self.path)

    def test_resting(self):
        """
        What rests is there where it is asked for.
        """
        self.saved()
        index = Index(self.path)
        index.rest()
        self.assertEqual(index._notes, {})
        self.assertEqual(index.note(b"note"), b"value" * 100)
        index.set_note(b"other", b"new")
        self.assertEqual(index.note(b"other"), b"new")
        index.save()
        for again in (index, Index(self.path)):
            self.assertEqual(again.note(b"note"), b"value" * 100)
            self.assertEqual(again.note(b"other"), b"new")

    def test_restingForgets(self):
        """
        Who forgets a message forgets also the notes that rest.
        """
        self.saved()
        index = Index(self.path)
        index.rest()
        index.forget(b"key7")
        self.assertIsNone(index.note(b"note"))
        index.save()
        self.assertIsNone(Index(self.path).note(b"note"))
        self.assertIsNone(Index(self.path).remembered(b"key7", b"signature"))

    def test_inMemory(self):
        """
        Without a path it remembers for the session only.
        """
        index = Index(None)
        index.remember(b"k", b"s", MEASURED)
        index.save()
        self.assertEqual(index.remembered(b"k", b"s"), MEASURED)

    def test_nothingChanged(self):
        """
        Where nothing changed nothing is written.
        """
        self.saved()
        before = os.stat(self.path).st_mtime_ns
        index = Index(self.path)
        index.set_note(b"note", b"value" * 100)
        index.keep_only([b"key%d" % number for number in range(50)])
        index.save()
        self.assertEqual(os.stat(self.path).st_mtime_ns, before)

    def test_mode(self):
        """
        The file is for its owner only, and none lies beside it.
        """
        self.saved()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        folder, name = os.path.split(self.path)
        beside = [each for each in os.listdir(folder) if each.startswith(name)]
        self.assertEqual(beside, [name])

    def check_right(self):
        """
        Whatever is remembered is right.
        """
        index = Index(self.path)
        for number in range(50):
            found = index.remembered(b"key%d" % number, b"signature")
            self.assertIn(found, (None, MEASURED))
        self.assertIn(index.note(b"note"), (None, b"value" * 100))
        index.remember(b"new", b"s", MEASURED)
        index.save()
        self.assertIn(Index(self.path).remembered(b"new", b"s"), (None, MEASURED))
        self.flushLoggedErrors()

    def test_corrupt(self):
        """
        Deleted, truncated, overwritten, or of any bits flipped: never a wrong size.
        """
        # What is damaged within a tick of the clock has to be read all the same.
        self.patch(module, "_recent", Recent(lambda path: b""))
        self.saved()
        with open(self.path, "rb") as file:
            whole = file.read()
        noise = random.Random(7)
        damaged = [b"", b"nonsense" * 1000, whole[:100], whole[: len(whole) // 2]]
        for _ in range(150):
            octets = bytearray(whole)
            for _ in range(noise.choice((1, 1, 5, 200))):
                octets[noise.randrange(len(octets))] ^= 1 << noise.randrange(8)
            damaged.append(bytes(octets))
        for octets in damaged:
            with open(self.path, "wb") as file:
                file.write(octets)
            self.check_right()
        os.unlink(self.path)
        self.check_right()

    def test_anotherVersion(self):
        """
        A file of another version counts as empty, and is begun anew.
        """
        self.saved()
        with closing(sqlite3.connect(os.fsdecode(self.path))) as database:
            database.execute("PRAGMA user_version = 99")
        index = Index(self.path)
        self.assertIsNone(index.remembered(b"key1", b"signature"))
        index.remember(b"key1", b"signature", MEASURED)
        index.save()
        again = Index(self.path)
        self.assertEqual(again.remembered(b"key1", b"signature"), MEASURED)
        self.assertIsNone(again.remembered(b"key2", b"signature"))

    def test_cannotBeWritten(self):
        """
        Where it cannot be written that is logged, and the session goes on.
        """
        index = Index(b"/nonexistent/folder/index")
        index.remember(b"k", b"s", MEASURED)
        index.save()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(index.remembered(b"k", b"s"), MEASURED)

    def test_locked(self):
        """
        While another process writes, nothing waits for long, and nothing breaks.
        """
        self.saved()
        with closing(sqlite3.connect(os.fsdecode(self.path))) as other:
            other.execute("BEGIN EXCLUSIVE")
            index = Index(self.path)
            index.remember(b"new", b"s", MEASURED)
            index.save()
            self.assertTrue(self.flushLoggedErrors(sqlite3.OperationalError))
            other.rollback()
        index.save()
        again = Index(self.path)
        self.assertEqual(again.remembered(b"new", b"s"), MEASURED)
        self.assertEqual(again.remembered(b"key1", b"signature"), MEASURED)

    def test_twoProcesses(self):
        """
        Two processes that save at once both leave what they knew, or less.
        """
        script = (
            "import sys; from extretr.stores.index import Index;"
            "from extretr.offsets import Measured\n"
            "for n in range(40):\n"
            "    index = Index(sys.argv[1].encode())\n"
            "    key = sys.argv[2].encode() + b'%d' % n\n"
            "    index.remember(key, b's', Measured(n, n, True, False))\n"
            "    index.save()\n"
        )
        runs = [
            subprocess.Popen(
                [sys.executable, "-c", script, os.fsdecode(self.path), name],
                env=environment(),
                cwd=ROOT,
            )
            for name in ("a", "b")
        ]
        self.assertEqual([run.wait(60) for run in runs], [0, 0])
        index = Index(self.path)
        found = 0
        for name in (b"a", b"b"):
            for number in range(40):
                measured = index.remembered(name + b"%d" % number, b"s")
                if measured is not None:
                    self.assertEqual(measured.size, number)
                    found += 1
        self.assertGreater(found, 40)
