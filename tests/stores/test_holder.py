"""
The record of the session lock, and the file that it lies in.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import holder
from extretr.stores.holder import Record
from tests.stores.locking import LockTestCase

_SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


class RecordTests(SynchronousTestCase):
    """
    A record says who holds a maildrop.
    """

    @settings(derandomize=True, deadline=None)
    @given(
        st.builds(
            Record,
            token=st.text(min_size=1),
            host=st.text(),
            pid=st.integers(1),
            started=st.text(),
            contest=st.integers(),
            answered=st.integers(),
        )
    )
    def test_roundTrip(self, record):
        """
        What is formatted is parsed to the same.
        """
        self.assertEqual(Record.parse(record.format()), record)

    @settings(derandomize=True, deadline=None)
    @given(st.binary())
    def test_noise(self, octets):
        """
        Octets that are no record are none, and nothing else happens.
        """
        self.assertIsNone(Record.parse(octets))

    def test_torn(self):
        """
        No part of a record is a record, but for the line end.
        """
        whole = Record.of_this_process("token").format()
        for length in range(len(whole) - 1):
            self.assertIsNone(Record.parse(whole[:length]), length)


class ProcessTests(SynchronousTestCase):
    """
    Whether a process lives is told by its number, its start and its host.
    """

    def record(self, process, **changes):
        """
        Give the record that *process* would write.
        """
        started = holder._state_and_start(process.pid)[1]
        record = Record("token", holder.host_identity(), process.pid, started)
        for name, value in changes.items():
            setattr(record, name, value)
        return record

    def start(self, command=_SLEEP, **more):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        return process

    def test_own(self):
        """
        Our own process lives.
        """
        self.assertFalse(Record.of_this_process("token").is_of_dead_process())

    def test_ended(self):
        """
        A process that was killed is dead, also before its parent takes note.
        """
        process = self.start()
        process.stdout.readline()
        record = self.record(process)
        self.assertFalse(record.is_of_dead_process())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(holder._state_and_start(process.pid)[0], "Z")
        self.assertTrue(record.is_of_dead_process())
        process.wait()
        self.assertTrue(record.is_of_dead_process())

    def test_numberUsedAgain(self):
        """
        A process that started at another time is another one.
        """
        process = self.start()
        self.assertTrue(self.record(process, started="1").is_of_dead_process())
        # Where the time was not told then, the number alone must do.
        self.assertFalse(self.record(process, started="").is_of_dead_process())

    def test_otherHost(self):
        """
        Of another host's process nothing is known.
        """
        process = self.start()
        record = self.record(process, host="elsewhere")
        process.kill()
        process.wait()
        self.assertFalse(record.is_of_dead_process())

    def test_awkwardName(self):
        """
        A program may have blanks and brackets in its name.
        """
        program = os.path.join(os.path.dirname(self.mktemp()), "a) Z 1 (b")
        shutil.copy(shutil.which("sleep"), program)
        process = self.start([program, "60"])
        state, started = holder._state_and_start(process.pid)
        self.assertIn(state, "RSD")
        self.assertGreaterEqual(
            int(started), int(holder._state_and_start(os.getpid())[1])
        )

    def test_hidden(self):
        """
        Where /proc does not show a process, the kernel is asked whether it is there.
        """
        process = self.start()
        record = self.record(process)
        self.patch(holder, "_state_and_start", lambda pid: ("", ""))
        self.assertFalse(record.is_of_dead_process())

        def refuse(pid, signal):
            raise PermissionError

        with_kill, kill = holder.os, os.kill
        self.patch(with_kill, "kill", refuse)
        self.assertFalse(record.is_of_dead_process())
        self.patch(with_kill, "kill", kill)
        record.pid = 2**80
        self.assertTrue(record.is_of_dead_process())
        record.pid = process.pid
        process.kill()
        process.wait()
        self.assertTrue(record.is_of_dead_process())

    def test_strangeProc(self):
        """
        A /proc that says something else says nothing.
        """
        self.assertEqual(holder._state_and_start(2**80), ("", ""))
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"1 (x) R 1 2")
        opened = open
        holder.open = lambda _, mode: opened(path, mode)
        self.addCleanup(delattr, holder, "open")
        self.assertEqual(holder._state_and_start(1), ("", ""))

    def test_hostIdentity(self):
        """
        A host is known by its boot and the namespace of its process numbers, or by its
        name where neither is told.
        """
        first = holder.host_identity()
        self.assertRegex(first, r"\A[0-9a-f-]{36} pid:\[\d+\]\Z")
        self.addCleanup(holder.host_identity.cache_clear)
        holder.host_identity.cache_clear()
        self.assertEqual(holder.host_identity(), first)

        def refuse(path):
            raise FileNotFoundError

        holder.host_identity.cache_clear()
        self.patch(holder.os, "readlink", refuse)
        self.patch(holder.socket, "gethostname", lambda: "mail.example")
        self.assertEqual(holder.host_identity(), "mail.example")


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

        self.patch(holder.fcntl, "flock", remove_first)
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
        self.file.write_first(record)
        number = os.stat(self.path).st_ino
        for token in ("x", "second" * 20, "third"):
            self.file.remove()
            self.assertIsNone(self.file.read())
            self.assertFalse(os.path.exists(self.path))
            record = Record.of_this_process(token)
            self.file.write_first(record)
            self.assertEqual(self.file.read(), record)
            self.assertEqual(os.stat(self.path).st_ino, number)
        self.file.remove()
        self.file.remove()

    def test_strangeFile(self):
        """
        What is no such file is left alone, and a corrupt record replaced.
        """
        free, other = self.path + b".free", self.path + b".other"
        record = Record.of_this_process("token")

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
            self.file.write_first(record)
            self.assertEqual(self.file.read(), record)
            with open(other, "rb") as file:
                self.assertEqual(file.read(), b"other")
            self.file.remove()
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
        record = Record.of_this_process("token")
        self.file.write_first(record)
        self.assertEqual(self.file.read(), record)
        self.assertLessEqual(os.stat(self.path).st_size, holder.RECORD_LIMIT)
        self.file.remove()
        self.assertLessEqual(os.stat(free).st_size, holder.RECORD_LIMIT)

    def test_notOurs(self):
        """
        A file that must not be written to does not keep anybody out.
        """
        free, original = self.path + b".free", os.open

        def refuse(path, *args):
            if path == free:
                raise PermissionError(errno.EACCES, "not yours", path)
            return original(path, *args)

        record = Record.of_this_process("token")
        self.patch(holder.os, "open", refuse)
        self.file.write_first(record)
        self.assertEqual(self.file.read(), record)

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

        self.patch(holder.os, "rename", refuse)
        self.assertRaises(OSError, self.otherHolder, token="new")
        self.assertEqual(self.file.read().token, "theirs")
