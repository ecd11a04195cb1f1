"""
Messages put into a Maildir: each is there once and whole, or not at all.
"""

import os
import stat
from itertools import count

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores.appending import CannotDeliver
from extretr.stores.maildir_append import LEFT_ALONE, MaildirAppender
from tests.stores.appends import (
    MESSAGES,
    FailingAppend,
    Message,
    canonical,
    outcome,
    with_os,
)
from tests.stores.mboxes import Crash


class MaildirCase(SynchronousTestCase):
    """
    A Maildir, and those who put messages into it.
    """

    def setUp(self):
        self.path = os.fsencode(os.path.abspath(self.mktemp()))
        self.now = 1_000_000.5
        self.journal = []

    def appender(self, **arguments):
        return MaildirAppender(
            self.path, wall=lambda: self.now, host="host", **arguments
        )

    def folder(self, name):
        return os.path.join(self.path, name)

    def names(self, folder):
        return sorted(os.listdir(self.folder(folder)))

    def stored(self):
        found = []
        for folder in (b"new", b"cur"):
            for name in self.names(folder):
                with open(os.path.join(self.folder(folder), name), "rb") as file:
                    found.append(file.read())
        return found

    def delivered(self):
        return sorted(map(canonical, self.stored()))

    def deliver(self, *messages, appender=None):
        appender = appender or self.appender()
        staged = [appender.stage(Message(octets)) for octets in messages]
        self.successResultOf(appender.commit(staged, self.journal.extend))

    def settle(self, intent, appender=None, source=None):
        settling = (appender or self.appender()).settle(intent, source)
        return self.successResultOf(settling)


class DeliveryTests(MaildirCase):
    """
    All goes well.
    """

    def setUp(self):
        super().setUp()
        self.appender().prepare()

    def test_canonical(self):
        """
        What is stored has the canonical form of what came, with either line end.
        """
        for crlf in (False, True):
            self.deliver(*MESSAGES, appender=self.appender(crlf=crlf))
        self.assertEqual(self.delivered(), sorted(MESSAGES * 2))
        self.assertEqual(self.names(b"tmp"), [])

    def test_lineEnds(self):
        """
        Lines end in LF, or in CRLF where that is asked for.
        """
        self.deliver(b"a\r\n")
        self.deliver(b"b\r\n", appender=self.appender(crlf=True))
        self.assertEqual(sorted(self.stored()), [b"a\n", b"b\r\n"])

    def test_private(self):
        """
        Nobody else may read what is delivered, or look into a folder that was made.
        """
        self.deliver(b"a\r\n")
        (name,) = self.names(b"new")
        paths = [
            self.path,
            self.folder(b"new"),
            os.path.join(self.folder(b"new"), name),
        ]
        for path in paths:
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0)

    def test_names(self):
        """
        Each name tells when, and is like no other; a host's name does no harm in it.
        """
        self.deliver(*[b"a\r\n"] * 50)
        self.deliver(
            b"b\r\n",
            appender=MaildirAppender(self.path, host="a/b:c", wall=lambda: 5.0),
        )
        names = self.names(b"new")
        self.assertEqual(len(names), 51)
        self.assertEqual(
            sum(name.startswith(b"1000000.M500000P") for name in names), 50
        )
        self.assertTrue(any(name.endswith(rb".a\057b\072c") for name in names))

    def test_discard(self):
        """
        What was staged and is not wanted leaves nothing.
        """
        appender = self.appender()
        before = len(os.listdir("/proc/self/fd"))
        appender.discard(appender.stage(Message(b"a\r\n")))
        self.assertEqual(self.names(b"tmp"), [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_wrongSize(self):
        """
        A message that is not as long as it says is not staged.
        """
        source = Message(b"a\r\n")
        source.size = 4
        self.assertRaises(CannotDeliver, self.appender().stage, source)
        self.assertEqual(self.names(b"tmp"), [])

    def test_intentFirst(self):
        """
        Nothing is in new/ when the intents are written down; where that fails, nothing
        comes there.
        """
        appender = self.appender()
        staged = [appender.stage(Message(b"a\r\n"))]

        def intend(intents):
            self.assertEqual(self.names(b"new"), [])
            self.assertEqual(len(self.names(b"tmp")), 1)
            raise OSError("disk full")

        self.failureResultOf(appender.commit(staged, intend), OSError)
        self.assertEqual(self.names(b"new"), [])
        appender.discard(staged[0])
        self.assertEqual(self.delivered(), [])


class PrepareTests(MaildirCase):
    """
    What may be a Maildir.
    """

    def test_made(self):
        """
        A Maildir that is not there is made, and one that lacks a folder gets it; each
        is said once.
        """
        self.assertIn("is new", self.appender().prepare())
        self.assertIsNone(self.appender().prepare())
        os.rmdir(self.folder(b"tmp"))
        self.assertIn(os.fsdecode(self.path), self.appender().prepare())
        self.assertEqual(sorted(os.listdir(self.path)), [b"cur", b"new", b"tmp"])

    def test_refused(self):
        """
        What is something else is left alone, and said.
        """
        missing = MaildirAppender(self.path + b"/no/where")
        self.assertRaises(CannotDeliver, missing.prepare)
        with open(self.path, "wb"):
            pass
        self.assertRaises(CannotDeliver, self.appender().prepare)
        os.unlink(self.path)
        os.mkdir(self.path)
        with open(self.folder(b"letter.txt"), "wb"):
            pass
        error = self.assertRaises(CannotDeliver, self.appender().prepare)
        self.assertIn("is no Maildir", str(error))
        self.assertEqual(os.listdir(self.path), [b"letter.txt"])


class SettleTests(MaildirCase):
    """
    A run has ended between the intent and its end.
    """

    def setUp(self):
        super().setUp()
        self.appender().prepare()

    def intend(self):
        """
        Give the intent of a message that was never renamed.
        """
        appender = self.appender()
        staged = [appender.stage(Message(b"a\r\n"))]

        def intend(intents):
            self.journal.extend(intents)
            raise Crash

        self.failureResultOf(appender.commit(staged, intend), Crash)
        return self.journal[-1]

    def test_inTmp(self):
        """
        What is in tmp/ still was not delivered; nothing is left of it to be read.
        """
        intent = self.intend()
        for _ in range(2):
            self.assertIs(self.settle(intent), False)
        self.assertEqual(self.delivered(), [])
        (name,) = self.names(b"tmp")
        path = os.path.join(self.folder(b"tmp"), name)
        self.assertEqual(os.path.getsize(path), 0)

    def test_inNew(self):
        """
        What is not there any more was delivered, wherever it is now.
        """
        self.deliver(b"a\r\n")
        (intent,) = self.journal
        self.assertIs(self.settle(intent), True)
        (name,) = self.names(b"new")
        moved = os.path.join(self.folder(b"cur"), name + b":2,S")
        os.rename(os.path.join(self.folder(b"new"), name), moved)
        self.assertIs(self.settle(intent), True)
        os.unlink(moved)
        self.assertIs(self.settle(intent), True)

    def test_longAgo(self):
        """
        After 36 hours somebody may have cleaned tmp/: then only what can be seen is
        taken for delivered, since a doubled message is better than a lost one.
        """
        intent = self.intend()
        (name,) = self.names(b"tmp")
        os.unlink(os.path.join(self.folder(b"tmp"), name))
        self.now = intent["time"] + LEFT_ALONE + 1
        self.assertIs(self.settle(intent), False)
        with open(os.path.join(self.folder(b"cur"), name + b":2,"), "wb"):
            pass
        self.assertIs(self.settle(intent), True)

    def test_everyChange(self):
        """
        Whatever change fails, or whenever the process dies, settling tells the truth.
        """
        outcomes = set()
        for error in (OSError(28, "No space left on device"), Crash()):
            for at in count():
                self.setUp()
                fake = FailingAppend(at, error, 0.3)
                appender = self.appender()
                results = []

                def attempt(appender=appender):
                    staged = [appender.stage(Message(one)) for one in MESSAGES]
                    return appender.commit(staged, self.journal.extend)

                try:
                    results.append(outcome(with_os(fake, attempt)))
                except (OSError, Crash) as raised:
                    results.append(Failure(raised))
                if not fake.failed:
                    break
                self.assertIsInstance(results[0], Failure)
                if isinstance(error, Crash):
                    appender = None
                answers = [self.settle(intent, appender) for intent in self.journal]
                answers = answers or [False] * len(MESSAGES)
                pairs = list(zip(MESSAGES, answers, strict=True))
                done = sorted(message for message, answer in pairs if answer)
                self.assertEqual(self.delivered(), done)
                outcomes.add(len(done))
                self.deliver(*[message for message, answer in pairs if not answer])
                self.assertEqual(self.delivered(), sorted(MESSAGES))
        self.assertEqual(outcomes, set(range(len(MESSAGES) + 1)))


class SweepTests(MaildirCase):
    """
    What earlier runs have left.
    """

    def test_sweep(self):
        """
        Files of ours in tmp/ are removed after 36 hours, those of others never.
        """
        self.appender().prepare()
        appender = self.appender()
        old = appender.stage(Message(b"old\r\n"))
        path = os.path.join(self.folder(b"tmp"), old.name)
        os.utime(path, (0, self.now - LEFT_ALONE - 1))
        young = appender.stage(Message(b"young\r\n"))
        os.utime(
            os.path.join(self.folder(b"tmp"), young.name),
            (0, self.now - LEFT_ALONE + 1),
        )
        theirs = os.path.join(self.folder(b"tmp"), b"1.M2P3.theirs")
        with open(theirs, "wb"):
            pass
        os.utime(theirs, (0, 0))
        self.appender().sweep()
        self.assertEqual(self.names(b"tmp"), sorted([young.name, b"1.M2P3.theirs"]))
        for one in (old, young):
            one.close()
