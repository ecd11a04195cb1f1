"""
The file in which the record of a session lock lies.
"""

import errno
import fcntl
import os

from extretr.stores import record_file
from extretr.stores.holder import Record, new_token, own_record
from extretr.stores.record_file import RecordFile
from tests.stores.locking import LockTestCase


class RecordFileTests(LockTestCase):
    """
    The record is read and replaced as a whole, by one at a time.
    """

    def setUp(self):
        super().setUp()
        self.makeFolder()

    def test_guard(self):
        """
        One has the guard at a time, also within one process.
        """
        with self.hold_guard():
            self.assertIsNone(self.file.guard())
        guard = self.hold_guard()
        guard.close()
        guard.close()
        self.hold_guard()

    def test_guardRemoved(self):
        """
        A guard whose file was removed as it was taken is taken anew: two that hold
        two files would both have it.
        """
        flock, removed = fcntl.flock, []

        def remove_first(descriptor, operation):
            flock(descriptor, operation)
            if not removed:
                removed.append(1)
                os.unlink(self.path + b".guard")

        self.patch(record_file.fcntl, "flock", remove_first)
        self.hold_guard()
        self.assertIsNone(self.file.guard())

    def test_descriptors(self):
        """
        No descriptor stays open, whoever has the guard.
        """
        before = len(os.listdir("/proc/self/fd"))
        with self.file.guard():
            self.assertIsNone(self.file.guard())
            self.otherHolder()
            self.file.read()
        os.unlink(self.path)
        self.file.read()
        os.mkdir(self.path)
        self.file.read()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_again(self):
        """
        The file of a record that was removed is that of the next one, shorter or not.
        """
        record = Record.of_this_process("first" * 10)
        self.file.write(record)
        number = os.stat(self.path).st_ino
        for token in ("x", "second" * 20, "third"):
            self.file.remove()
            self.assertIsNone(self.file.read())
            self.assertFalse(os.path.exists(self.path))
            record = Record.of_this_process(token)
            self.assertTrue(self.file.put(record.format()))
            self.assertEqual(self.file.read(), record)
            self.assertEqual(os.stat(self.path).st_ino, number)
        self.file.remove()
        self.file.remove()

    def test_strangeFile(self):
        """
        What is no such file is left alone, and a corrupt record replaced.
        """
        free, other = self.path + b".free", self.path + b".other"

        def write(path):
            with open(path, "wb") as file:
                file.write(b"other")

        write(other)
        for lay in (
            lambda: os.symlink(other, free),
            lambda: os.link(other, free),
            lambda: os.mkfifo(free),
            lambda: os.mkdir(free),
            lambda: write(self.path),
        ):
            lay()
            held = self.held()
            self.assertEqual(self.file.read().token, held.token)
            with open(other, "rb") as file:
                self.assertEqual(file.read(), b"other")
            held.release()
            self.assertFalse(os.path.exists(self.path))
            if os.path.isdir(free):
                os.rmdir(free)
            else:
                os.unlink(free)

    def test_hugeFile(self):
        """
        However large what lies in its place is, a record takes no more than one may.
        """
        free = self.path + b".free"
        with open(free, "wb") as file:
            file.truncate(1024 * 1024)
        held = self.held()
        self.assertEqual(self.file.read().token, held.token)
        self.assertLessEqual(os.stat(self.path).st_size, record_file.RECORD_LIMIT)
        held.release()
        self.assertLessEqual(os.stat(free).st_size, record_file.RECORD_LIMIT)

    def test_notOurs(self):
        """
        A file that must not be written to does not keep anybody out.
        """
        free, original = self.path + b".free", os.open

        def refuse(path, *args):
            if path == free:
                raise PermissionError(errno.EACCES, "not yours", path)
            return original(path, *args)

        self.patch(record_file.os, "open", refuse)
        held = self.held()
        self.assertEqual(self.file.read().token, held.token)

    def test_anothers(self):
        """
        Nor is a file of another user's taken for the record, though it may be written
        to: its owner may do so too, and hold it open.
        """
        self.layFree()
        number = os.stat(self.path + b".free").st_ino
        self.patch(record_file.os, "geteuid", lambda: os.getuid() + 1)
        held = self.held()
        self.assertEqual(self.file.read().token, held.token)
        self.assertNotEqual(os.stat(self.path).st_ino, number)

    def contents(self, name=b""):
        with open(self.path + name, "rb") as file:
            return file.read()

    def put(self):
        """
        Write a record of ours, and give its octets.
        """
        octets = own_record(new_token())
        self.assertTrue(self.file.put(octets))
        return octets

    def layFree(self):
        """
        Have a record been there, and removed.
        """
        self.file.write(Record.of_this_process("before"))
        self.file.remove()

    def test_put(self):
        """
        Where a record was, and none is, one is written and taken away on the spot.
        """
        self.layFree()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            octets = self.put()
            # What was in the file was longer, at first.
            self.assertEqual(self.file.read(), Record.parse(octets))
            self.assertTrue(self.file.take_away(octets))
            self.assertIsNone(self.file.read())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.hold_guard()

    def test_padded(self):
        """
        So is one in the file of a longer one.
        """
        self.file.write(Record.of_this_process("long" * 50))
        self.file.remove()
        octets = self.put()
        self.assertGreater(len(self.contents()), len(octets))
        self.assertTrue(self.file.take_away(octets))
        self.assertIsNone(self.file.read())

    def test_putWhereOneIs(self):
        """
        Whatever is there, of the living, the dead or nobody, stays, as does its file.
        """
        self.layFree()
        octets = own_record(new_token())
        for record in (b"", b"{", Record("theirs", "host", 1, "1").format(), octets):
            self.write(record)
            self.assertFalse(self.file.put(octets))
            self.assertEqual(self.contents(), record)
            os.unlink(self.path)
        for lay in (
            lambda: os.symlink(b"elsewhere", self.path),
            lambda: os.mkfifo(self.path),
            lambda: os.mkdir(self.path),
        ):
            lay()
            before = os.lstat(self.path)
            self.assertFalse(self.file.put(octets))
            self.assertEqual(os.lstat(self.path).st_ino, before.st_ino)
            (os.rmdir if os.path.isdir(self.path) else os.unlink)(self.path)
        self.put()

    def test_putIntoOther(self):
        """
        What lies in the place of the file is not written to, if it is none of ours.
        """
        free, other = self.path + b".free", self.path + b".other"
        with open(other, "wb") as file:
            file.write(b"other")
        for lay in (
            lambda: None,
            lambda: os.symlink(other, free),
            lambda: os.link(other, free),
        ):
            lay()
            self.assertFalse(self.file.put(own_record(new_token())))
            self.assertIsNone(self.file.read())
            self.assertEqual(self.contents(b".other"), b"other")
            if os.path.lexists(free):
                os.unlink(free)
        self.hold_guard()

    def test_takeAwayOther(self):
        """
        A record that is another's, or was contested, stays, and so does what is none.
        """
        octets = own_record(new_token())
        contested = Record.parse(octets)
        contested.contest = 1
        for record in (
            b"",
            b"{",
            octets[:-2],
            own_record(new_token()),
            contested.format(),
            octets + b"x",
        ):
            self.write(record)
            self.assertFalse(self.file.take_away(octets))
            self.assertEqual(self.contents(), record)
            os.unlink(self.path)
        self.assertFalse(self.file.take_away(octets))
        for lay in (
            lambda: os.symlink(self.path + b".guard", self.path),
            lambda: os.mkfifo(self.path),
            lambda: os.mkdir(self.path),
        ):
            lay()
            self.assertFalse(self.file.take_away(octets))
            self.assertTrue(os.path.lexists(self.path))
            (os.rmdir if os.path.isdir(self.path) else os.unlink)(self.path)
        self.hold_guard()

    def test_onTheSpotUnderGuard(self):
        """
        While another has the guard, or none can be had, nothing is done.
        """
        self.layFree()
        octets = own_record(new_token())
        with self.hold_guard():
            self.assertFalse(self.file.put(octets))
            self.assertIsNone(self.file.read())
        octets = self.put()
        with self.hold_guard():
            self.assertFalse(self.file.take_away(octets))
            self.assertEqual(self.contents().rstrip(), octets.rstrip())
        os.unlink(self.path + b".guard")
        os.symlink(b"elsewhere", self.path + b".guard")
        self.assertFalse(self.file.take_away(octets))
        self.assertTrue(os.path.exists(self.path))
        missing = RecordFile(os.path.join(self.folder, b"missing", b"lock"))
        self.assertFalse(missing.put(octets))
        self.assertFalse(missing.take_away(octets))
        self.assertEqual(os.listdir(self.folder), [b"state"])

    def test_onTheSpotIsGuarded(self):
        """
        What is done on the spot is done under the guard, from the first look on.
        """
        self.layFree()
        second = own_record(new_token())
        lstat, rename, seen = os.lstat, os.rename, []

        def guarded(function):
            def call(*args):
                seen.append(self.file.put(second))
                seen.append(self.file.guard())
                return function(*args)

            return call

        self.patch(record_file.os, "lstat", guarded(lstat))
        self.patch(record_file.os, "rename", guarded(rename))
        octets = self.put()
        self.assertTrue(self.file.take_away(octets))
        self.assertEqual(seen, [False, None] * 3)

    def test_guardReplaced(self):
        """
        A guard that is replaced as it is taken, by one that another has, is not ours.
        """
        self.layFree()
        octets = own_record(new_token())
        flock, theirs = fcntl.flock, []

        def replace_first(descriptor, operation):
            flock(descriptor, operation)
            if not theirs:
                theirs.append(os.open(self.path + b".theirs", os.O_RDWR | os.O_CREAT))
                self.addCleanup(os.close, theirs[0])
                flock(theirs[0], operation)
                os.rename(self.path + b".theirs", self.path + b".guard")

        self.patch(record_file.fcntl, "flock", replace_first)
        self.assertFalse(self.file.put(octets))
        self.assertIsNone(self.file.read())
        self.assertEqual(len(theirs), 1)
        flock(theirs[0], fcntl.LOCK_UN)
        self.assertTrue(self.file.put(octets))

    def test_onTheSpotInterrupted(self):
        """
        What fails half way leaves the record as it was, and the guard free.
        """
        self.layFree()
        octets = own_record(new_token())

        def refuse(old, new):
            raise OSError

        rename = self.patch(record_file.os, "rename", refuse)
        self.assertFalse(self.file.put(octets))
        self.assertIsNone(self.file.read())
        rename.restore()
        self.assertTrue(self.file.put(octets))
        rename.patch()
        self.assertFalse(self.file.take_away(octets))
        self.assertEqual(self.file.read(), Record.parse(octets))
        self.hold_guard()

    def test_signature(self):
        """
        It changes with each record, and is None where there is none.
        """
        seen = [self.file.signature()]
        for token in ("one", "two", "one", "two"):
            self.otherHolder(token=token)
            record, signature = self.file.read_signed()
            self.assertEqual(record.token, token)
            self.assertEqual(signature, self.file.signature())
            self.assertNotEqual(signature, seen[-1])
            seen.append(signature)
        self.file.remove()
        self.file.remove()
        self.assertIsNone(self.file.signature())
        self.assertIsNone(seen[0])

    def test_writeAside(self):
        """
        What lies where a record is written aside is replaced, never followed.
        """
        precious = os.path.join(self.folder, b"precious")
        with open(precious, "wb") as file:
            file.write(b"mail")
        os.symlink(precious, self.path + b".new")
        self.otherHolder()
        with open(precious, "rb") as file:
            self.assertEqual(file.read(), b"mail")
        self.assertEqual(self.file.read().token, "theirs")
        self.assertFalse(os.path.islink(self.path))
        self.assertEqual(sorted(os.listdir(os.path.dirname(self.path))), [b"lock"])

    def test_links(self):
        """
        Neither record nor guard is looked for elsewhere.
        """
        os.symlink(os.path.join(self.folder, b"elsewhere"), self.path)
        self.assertRaises(OSError, self.file.read)
        os.symlink(os.path.join(self.folder, b"elsewhere"), self.path + b".guard")
        self.assertRaises(OSError, self.file.guard)
        self.assertEqual(os.listdir(self.folder), [b"state"])

    def test_noRegularFile(self):
        """
        A pipe in its place is no record, and nobody waits for one to come out.
        """
        os.mkfifo(self.path)
        self.assertIsNone(self.file.read())

    def test_interrupted(self):
        """
        A record that could not be written whole leaves the one before it.
        """
        self.otherHolder()

        def refuse(old, new):
            raise OSError

        self.patch(record_file.os, "rename", refuse)
        self.assertRaises(OSError, self.otherHolder, token="new")
        self.assertEqual(self.file.read().token, "theirs")
