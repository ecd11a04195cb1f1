"""
`extretr.server.short`: a short message goes out as any other does, only sooner.
"""

import os
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from extretr.interfaces import ISeekableMailbox
from extretr.server.protocol import ExtendedPOP3
from extretr.server.short import SHORT
from extretr.stores.maildir import MaildirMaildrop
from tests import models
from tests.server.dialogue import pump
from tests.stores.test_maildir import MaildirTestCase

READ_SHORT = MaildirMaildrop.readShort

#: A line end may fall on either side of where a chunk ends.
NEAR = range(SHORT - 3, SHORT + 4)


def stored_forms():
    """
    Give stored forms of all kinds, some of them about as long as a chunk.
    """
    parts = st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"a", b"\0\xff" * 40])
    short = st.lists(parts, max_size=12).map(b"".join)
    return st.one_of(
        short,
        st.builds(
            lambda end, size: end.rjust(size, b"x"), short, st.sampled_from(NEAR)
        ),
    )


class ShortTestCase(MaildirTestCase):
    """
    A session over a Maildir.
    """

    def session(self, kind=ExtendedPOP3, **attributes):
        session = kind()
        vars(session).update(clock=self.clock, **attributes)
        session.callLater = self.clock.callLater
        self.transport = StringTransport()
        session.makeConnection(self.transport)
        session.mbox = self.open()
        session.mbox.listMessages()
        self.transport.clear()
        self.addCleanup(session.setTimeout, None)
        return session

    def end(self, session):
        """
        Let another session have the maildrop.
        """
        self.open_ones.remove(session.mbox)
        session.mbox.close()

    def answer(self, session, command):
        """
        Give what a command is answered with.
        """
        self.transport.clear()
        session.dataReceived(command)
        pump(self.transport)
        return self.transport.value()

    def counted(self):
        """
        Give a list in which a message is noted each time that it is read in one go.
        """
        noted = []

        def noting(maildrop, index, most):
            found = READ_SHORT(maildrop, index, most)
            if found is not None:
                noted.append(index)
            return found

        self.patch(MaildirMaildrop, "readShort", noting)
        return noted


class SameOctetsTests(ShortTestCase):
    """
    What is sent does not depend on the way.
    """

    count = 0

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(stored_forms())
    @example(b"")
    @example(b".")
    @example(b"\r")
    @example(b"\n.\r\n.\r.\n")
    @example(b"x" * SHORT)
    @example(b"x" * (SHORT - 1) + b"\n")
    @example(b"x" * (SHORT - 2) + b"\r\n.")
    @example(b"x" * (SHORT - 1) + b"\r\n.")
    @example(b"\n" * SHORT)
    def test_everyWay(self, stored):
        """
        From the line, from do_RETR and from a transfer come the same octets, those of
        the model; no message longer than a chunk goes the short way.
        """
        # By the same name it could be taken for the one before.
        self.count += 1
        path = self.deliver(b"%d.a" % self.count, stored)
        session = self.session()
        canonical = models.canonical(stored)
        wanted = b"+OK %d octets\r\n" % len(canonical) + models.wire(canonical)
        noted = self.counted()
        self.assertEqual(self.answer(session, b"RETR 1\r\n"), wanted)
        self.assertEqual(self.answer(session, b"retr 1\r\n"), wanted)
        self.assertEqual(noted, [0, 0] if len(stored) <= SHORT else [])
        with mock.patch.object(MaildirMaildrop, "readShort", return_value=None):
            self.assertEqual(self.answer(session, b"RETR 1\r\n"), wanted)
        self.end(session)
        os.unlink(path)

    def test_pipelined(self):
        """
        Commands in one piece, short, long and wrong, are answered one by one, in order.
        """
        for number, stored in enumerate([b"one\n", b"x" * (SHORT + 1), b".three"], 1):
            self.deliver(b"%d.a" % number, stored)
        session = self.session()
        answer = self.answer(
            session,
            b"RETR 1\r\nRETR 3\r\nRETR 2\r\nRETR 9\r\nRETR x\r\nRETR 1\r\nNOOP\r\n",
        )
        one = b"+OK 5 octets\r\none\r\n.\r\n"
        three = b"+OK 8 octets\r\n..three\r\n.\r\n"
        two = b"+OK %d octets\r\n%b\r\n.\r\n" % (SHORT + 3, b"x" * (SHORT + 1))
        bad = b"-ERR [NON-EXISTENT] no such message\r\n"
        bad += b"-ERR Bad message number argument\r\n"
        self.assertEqual(answer, one + three + two + bad + one + b"+OK \r\n")


class ChangedTests(ShortTestCase):
    """
    What is not as it was listed is found, and told, as for any message.
    """

    def setUp(self):
        super().setUp()
        self.path = self.deliver(b"1.a", b"first\n")
        self.opened = self.session()
        self.noted = self.counted()

    def refused(self):
        self.assertTrue(self.answer(self.opened, b"RETR 1\r\n").startswith(b"-ERR "))
        self.assertEqual(self.noted, [])

    def test_grown(self):
        """
        A message that has grown is refused.
        """
        with open(self.path, "ab") as file:
            file.write(b"more\n")
        self.refused()

    def test_truncated(self):
        """
        A message that is shorter than it was is refused.
        """
        os.truncate(self.path, 3)
        self.refused()

    def test_rewritten(self):
        """
        A message of the same size that was written later is refused.
        """
        status = os.stat(self.path)
        with open(self.path, "r+b") as file:
            file.write(b"other\n")
        os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        self.refused()

    def test_changedWhileRead(self):
        """
        A message that changes just when it is read is refused.
        """
        read = os.read

        def reading(descriptor, size):
            octets = read(descriptor, size)
            os.truncate(self.path, 3)
            return octets

        self.patch(os, "read", reading)
        self.refused()

    def test_gone(self):
        """
        A message that is gone, or has something else in its place, is refused.
        """
        os.unlink(self.path)
        self.refused()
        os.mkdir(self.path)
        self.refused()
        os.rmdir(self.path)
        os.symlink(b"/etc/passwd", self.path)
        self.refused()

    def test_moved(self):
        """
        A message that another agent has moved and flagged is found, and short again.
        """
        os.rename(self.path, os.path.join(self.maildir, b"cur", b"1.a:2,S"))
        wanted = b"+OK 7 octets\r\nfirst\r\n.\r\n"
        self.assertEqual(self.answer(self.opened, b"RETR 1\r\n"), wanted)
        self.assertEqual(self.noted, [])
        self.assertEqual(self.answer(self.opened, b"RETR 1\r\n"), wanted)
        self.assertEqual(self.noted, [0])

    def test_deleted(self):
        """
        A message that is marked as deleted is none, until the mark is taken back.
        """
        self.answer(self.opened, b"DELE 1\r\n")
        self.refused()
        self.answer(self.opened, b"RSET\r\n")
        self.answer(self.opened, b"RETR 1\r\n")
        self.assertEqual(self.noted, [0])

    def test_noDescriptorIsLeft(self):
        """
        Whatever comes of it, the file is closed.
        """
        before = sorted(os.listdir("/proc/self/fd"))
        self.answer(self.opened, b"RETR 1\r\n")
        os.truncate(self.path, 3)
        self.answer(self.opened, b"RETR 1\r\n")
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)


class HooksTests(ShortTestCase):
    """
    What a subclass, or who owns the object, puts in the way is not passed by.
    """

    def setUp(self):
        super().setUp()
        self.deliver(b"1.a", b"first\n")
        self.seen = []

    def watching(self, name):
        """
        Give a class with a method of its own, which notes the call and goes on.
        """
        seen = self.seen

        def method(self, *arguments):
            seen.append((name, arguments[-1]))
            return getattr(super(kind, self), name)(*arguments)

        kind = type("Mine", (ExtendedPOP3,), {name: method})
        return kind

    def test_subclass(self):
        """
        Each method that RETR passes on its way is called where a subclass has its own.
        """
        for name in ("lineReceived", "state_COMMAND", "processCommand", "do_RETR"):
            session = self.session(self.watching(name))
            answer = self.answer(session, b"RETR 1\r\n")
            self.assertEqual(answer, b"+OK 7 octets\r\nfirst\r\n.\r\n")
            whole = name in ("lineReceived", "state_COMMAND")
            self.assertEqual(self.seen, [(name, b"RETR 1" if whole else b"1")])
            self.seen.clear()
            self.end(session)

    def test_object(self):
        """
        So is what one object has been given.
        """
        for name in ("lineReceived", "state_COMMAND", "processCommand", "do_RETR"):
            session = self.session()
            setattr(session, name, lambda *arguments: self.seen.append(arguments[-1]))
            self.answer(session, b"RETR 1\r\n")
            self.assertEqual(len(self.seen), 1, name)
            self.seen.clear()
            self.end(session)

    def test_mailbox(self):
        """
        Nor is a mailbox that opens messages in its own way, be it a maildrop's subclass
        or something around one.
        """
        seen = self.seen

        class Mine(MaildirMaildrop):
            __slots__ = ()

            def openMessage(self, index):
                seen.append(index)
                return super().openMessage(index)

        @implementer(ISeekableMailbox)
        class Around:
            def __init__(self, original):
                self.original = original

            def __getattr__(self, name):
                return getattr(self.original, name)

            def openMessage(self, index):
                seen.append(index)
                return self.original.openMessage(index)

        session = self.session()
        maildrop = session.mbox
        for mailbox in (maildrop, Around(maildrop)):
            session.mbox = mailbox
            maildrop.__class__ = Mine if mailbox is maildrop else MaildirMaildrop
            answer = self.answer(session, b"RETR 1\r\nretr 1\r\n")
            self.assertEqual(answer, b"+OK 7 octets\r\nfirst\r\n.\r\n" * 2)
            self.assertEqual(self.seen, [0, 0])
            self.seen.clear()

    def test_timeout(self):
        """
        A message that was asked for puts the autologout off.
        """
        session = self.session()
        for _ in range(3):
            self.clock.advance(session.timeOut - 1)
            self.assertTrue(self.answer(session, b"RETR 1\r\n").startswith(b"+OK"))
        self.clock.advance(session.timeOut - 1)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)

    def test_strictUTF8(self):
        """
        A message that a client must not get is looked at as ever.
        """
        self.deliver(b"2.a", "Subject: ä\n\n".encode())
        session = self.session(strictUTF8=True)
        self.assertIn(b"UTF8", self.answer(session, b"RETR 2\r\n"))
        self.assertTrue(self.transport.value().startswith(b"-ERR"))

    def test_fails(self):
        """
        An error of the mailbox is one reply, and the session goes on.
        """
        session = self.session()
        self.patch(MaildirMaildrop, "readShort", lambda *_: 1 // 0)
        answer = self.answer(session, b"RETR 1\r\nNOOP\r\n")
        wanted = b"-ERR [SYS/TEMP] server error, try again later\r\n+OK \r\n"
        self.assertEqual(answer, wanted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_told(self):
        """
        It is counted, and known as retrieved.
        """
        session = self.session()
        self.answer(session, b"RETR 1\r\nRETR 1\r\n")
        self.assertEqual((session.retrieved, session.resumed), (2, 0))
        self.assertEqual(session._highest, 1)
