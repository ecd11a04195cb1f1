"""
Who holds a maildrop: the record of the session lock.
"""

import os
import shutil
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import holder
from extretr.stores.holder import Record, new_token, own_record

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


class OwnRecordTests(SynchronousTestCase):
    """
    The octets of a new record of this process are made without formatting it.
    """

    def assertFormat(self):
        token = new_token()
        formatted = Record.of_this_process(token).format()
        self.assertEqual(own_record(token), formatted)
        return formatted.replace(token.encode(), b"")

    def test_format(self):
        """
        They are what formatting it gives.
        """
        self.assertFormat()

    def test_forked(self):
        """
        So they are in a process that was forked meanwhile.
        """
        before = self.assertFormat()
        self.patch(holder.os, "getpid", lambda: 2**22 + 1)
        self.assertNotEqual(self.assertFormat(), before)

    def test_tokens(self):
        """
        No token comes twice.
        """
        self.assertEqual(len({new_token() for _ in range(1000)}), 1000)


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
