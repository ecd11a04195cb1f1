"""
Messages put at the end of an mbox.
"""

import json
import os
import tracemalloc

from twisted.internet.task import Clock

from extretr.stores import mbox_append, mbox_intent, mbox_lock, mbox_text
from extretr.stores.appending import CannotDeliver, TargetBusy
from extretr.stores.mbox_append import MboxAppender
from extretr.stores.mbox_lock import MailboxLocks
from tests.stores.appends import MESSAGES, Message, canonical
from tests.stores.mboxes import StoreCase, all_stored

OLD = b"From old\nO: 1\n\n>From an old one\n\n"


class MboxCase(StoreCase):
    """
    A mailbox, and the appender that puts messages there.
    """

    quoting = True

    def setUp(self):
        super().setUp()
        # Nothing is gained by waiting for the real disk.
        self.patch(os, "fsync", os.fstat)

    def appender(self, **arguments):
        self.clock = Clock()
        locks = MailboxLocks(self.clock, 5.0, lambda: self.wall)
        arguments = {"wall": lambda: 0.0, **arguments}
        return MboxAppender(self.path, locks, **arguments)

    def commit(self, appender, messages, intend=lambda _: None, step=7):
        """
        Begin to deliver; give the intents, which fill up as they are written down.
        """
        intents = []

        def note(new):
            intend(new)
            intents.extend(json.loads(json.dumps(new)))

        staged = [appender.stage(Message(each, step)) for each in messages]
        return appender.commit(staged, note), intents

    def deliver(self, *messages, **arguments):
        committing, intents = self.commit(self.appender(**arguments), messages)
        self.assertIsNone(self.successResultOf(committing))
        return intents

    def settle(self, intent, appender=None):
        settling = (appender or self.appender()).settle(intent, None)
        return self.successResultOf(settling)

    def messages(self):
        """
        Give the canonical form of each message, as our own server serves it.
        """
        maildrop = self.open()
        found = [canonical(each) for each in all_stored(maildrop)]
        sizes = [maildrop.openMessage(n).size for n in range(len(found))]
        maildrop.close()
        self.assertEqual(sizes, [len(each) for each in found])
        return found


class AppendTests(MboxCase):
    """
    What was appended is read again in its canonical form.
    """

    def test_newMailbox(self):
        """
        A mailbox that is not there is made, and holds the message.
        """
        self.deliver(b"A: 1\r\n\r\nFrom x\r\n")
        self.assertEqual(
            self.content(),
            b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nA: 1\n\n>From x\n\n",
        )
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [b"user"])

    def test_sender(self):
        """
        The From_ line names the sender.
        """
        self.deliver(b"Return-Path: <a@b>\r\n\r\n")
        self.assertTrue(self.content().startswith(b"From a@b Thu Jan"))

    def test_roundTrip(self):
        """
        Each message is itself again, in every line end, chunk and kind of mailbox.
        """
        for crlf in (False, True):
            for step in (1, 7, 10_000):
                self.write(b"")
                committing, _ = self.commit(
                    self.appender(crlf=crlf), MESSAGES, step=step
                )
                self.successResultOf(committing)
                self.assertEqual(self.messages(), MESSAGES)
                self.assertEqual(self.content().count(b"\r\n") > 20, crlf)

    def test_oneByOne(self):
        """
        It is the same where each is appended by itself.
        """
        self.deliver(*MESSAGES)
        content = self.content()
        os.unlink(self.path)
        for each in MESSAGES:
            self.deliver(each)
        self.assertEqual(self.content(), content)

    def test_oldMailboxes(self):
        """
        The last message of a mailbox stays what it is, however the file ends.
        """
        endings = [b"", b"\n", b"\n\n", b"a", b"a\n", b"a\n\n", b"a\n\n\n"]
        endings += [b"\r", b"a\r", b"a\r\r", b"a\r\r\n", b"a\n\r", b">Fro", b">From "]
        for ending in endings:
            for lines in (b"From o", b"From o\nO: 1\n\n", b"From o\n\n\nFrom p\n"):
                for crlf in (False, True):
                    old = lines + ending
                    self.write(old.replace(b"\n", b"\r\n") if crlf else old)
                    before = self.messages()
                    old = self.content()
                    intents = self.deliver(*MESSAGES[:3], crlf=crlf)
                    self.assertTrue(self.content().startswith(old))
                    self.assertEqual(self.messages(), [*before, *MESSAGES[:3]], old)
                    self.assertEqual(
                        [self.settle(each) for each in intents], [True] * 3
                    )

    def test_mixedLineEnds(self):
        """
        So it does where the mailbox has other line ends than what is appended.
        """
        for old in (OLD, OLD[:-1], OLD[:-2]):
            for there in (False, True):
                self.write(old.replace(b"\n", b"\r\n") if there else old)
                before = self.messages()
                self.deliver(*MESSAGES, crlf=not there)
                self.assertEqual(self.messages(), [*before, *MESSAGES])

    def test_nothing(self):
        """
        To deliver nothing is nothing.
        """
        self.deliver()
        self.assertFalse(os.path.exists(self.path))

    def test_locked(self):
        """
        While something is written the mailbox is locked, and then no more.
        """
        self.write(OLD)
        seen = []
        committing, _ = self.commit(
            self.appender(),
            MESSAGES,
            lambda _: seen.append(os.path.exists(self.path + b".lock")),
        )
        self.successResultOf(committing)
        self.assertEqual(seen, [True])
        self.assertFalse(os.path.exists(self.path + b".lock"))

    def test_intendedFirst(self):
        """
        Nothing is written before the intents are, nor where these cannot be.
        """
        self.write(OLD[:-1])

        def fail(_):
            self.assertEqual(self.content(), OLD[:-1])
            raise OSError("the journal is full")

        committing, _ = self.commit(self.appender(), MESSAGES, fail)
        self.failureResultOf(committing, OSError)
        self.assertEqual(self.content(), OLD[:-1])
        self.assertFalse(os.path.exists(self.path + b".lock"))

    def test_signsOfLife(self):
        """
        The dot-lock is refreshed while a message takes long.
        """
        self.write(OLD)
        appender = self.appender()
        dot_lock = self.path + b".lock"
        times = []

        class Slow(Message):
            def pieces(slow):
                for octets in super().pieces():
                    if os.path.exists(dot_lock):
                        times.append(os.stat(dot_lock).st_mtime)
                        os.utime(dot_lock, (1, 1))
                        self.clock.advance(mbox_lock.REFRESH)
                    yield octets

        self.patch(mbox_text, "STEP", 10)
        staged = [appender.stage(Slow(b"a" * 95 + b"\r\n", 10))]
        self.successResultOf(appender.commit(staged, lambda _: None))
        self.assertEqual(len(times), 20)
        self.assertNotIn(1, times)

    def test_mode(self):
        """
        A new mailbox is its owner's alone; the mode of one that was there stays.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.deliver(b"a\r\n")
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        os.chmod(self.path, 0o664)
        inode = os.stat(self.path).st_ino
        self.deliver(b"b\r\n")
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o664)
        self.assertEqual(os.stat(self.path).st_ino, inode)

    def test_changingMessage(self):
        """
        A message that is another the second time it is read is not delivered; what
        comes before it is.
        """
        for second in (b"a\r\n\r\n", b"\r\na\r\n", b"aaaaa", b"From ", b"a\r\n"):
            self.write(OLD)
            appender = self.appender()
            changing = Message(b"aaa\r\n")

            def change(_, changing=changing, second=second):
                changing.octets = second

            staged = [appender.stage(Message(b"b\r\n")), appender.stage(changing)]
            self.failureResultOf(appender.commit(staged, change), CannotDeliver)
            self.assertEqual(self.messages()[1:], [b"b\r\n"])
            self.assertTrue(self.content().endswith(b" 1970\nb\n\n"))

    def test_memory(self):
        """
        What is delivered and settled is never in memory as a whole.
        """

        class Long:
            size = 64 * 1024 * 256

            def pieces(self):
                for _ in range(256):
                    yield b"From 789abcdef\r\n" + b"0123456789abcd\r\n" * 4095

        appender = self.appender()
        intents = []
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        staged = [appender.stage(Long())]
        self.successResultOf(appender.commit(staged, intents.extend))
        self.assertTrue(self.settle(intents[0], appender))
        with open(self.path, "r+b") as file:
            file.seek(9_000_000)
            file.write(b"!")
        self.assertFalse(self.settle(intents[0], appender))
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * 1024 * 1024)


class RefusalTests(MboxCase):
    """
    What is no mbox of ours is left as it is, and it is said why.
    """

    def assertRefused(self, says, commit=True):
        appender = self.appender()
        error = self.assertRaises(CannotDeliver, appender.prepare)
        self.assertIn(says, str(error))
        if commit:
            committing, intents = self.commit(appender, [b"a\r\n"])
            failure = self.failureResultOf(committing, CannotDeliver, OSError)
            self.assertEqual(intents, [])
            if failure.check(CannotDeliver):
                self.assertIn(says, str(failure.value))

    def test_ready(self):
        """
        A mailbox may be absent, empty, or begin with a From_ line; it is not touched.
        """
        self.appender().prepare()
        self.assertFalse(os.path.exists(self.path))
        for content in (b"", b"From ", OLD):
            self.write(content)
            self.appender().prepare()
            self.assertEqual(self.content(), content)

    def test_noMbox(self):
        """
        A file that begins with something else is refused.
        """
        for content in (b"\nFrom a\n", b"From", b"Subject: x\n", b"\0" * 9):
            self.write(content)
            self.assertRefused("does not begin with a From_ line")
            self.assertEqual(self.content(), content)

    def test_noFile(self):
        """
        A folder, a pipe or a link is refused, and nothing hangs.
        """
        other = self.path + b".other"
        with open(other, "wb") as file:
            file.write(OLD)
        os.symlink(other, self.path)
        self.assertRefused("is no regular file")
        os.unlink(self.path)
        os.mkfifo(self.path)
        self.assertRefused("is no regular file")
        os.unlink(self.path)
        os.mkdir(self.path)
        self.assertRefused("is no regular file")
        with open(other, "rb") as file:
            self.assertEqual(file.read(), OLD)

    def test_noFolder(self):
        """
        The folder of a new mailbox must be there.
        """
        os.rmdir(os.path.dirname(self.path))
        self.assertRefused("there is no folder")
        self.path = os.path.join(self.folder, b"a" * 300)
        self.assertRefused("File name too long")

    def test_notOurs(self):
        """
        What cannot be written is refused before anything is fetched.
        """
        self.patch(os, "access", lambda path, mode: False)
        self.assertRefused("is not ours to make an mbox in", commit=False)
        self.write(OLD)
        self.assertRefused("is not ours to write", commit=False)

    def test_readOnly(self):
        """
        Nor is anything appended to what could be opened for reading alone.
        """
        self.write(OLD)
        self.readOnly()
        committing, intents = self.commit(self.appender(), [b"a\r\n"])
        self.failureResultOf(committing, CannotDeliver)
        self.assertEqual((self.content(), intents), (OLD, []))

    def readOnly(self):
        really = mbox_lock.os.open

        def open_(path, flags, *mode):
            if path == self.path and flags & os.O_RDWR:
                raise PermissionError(13, "no", path)
            return really(path, flags, *mode)

        self.patch(os, "open", open_)

    def test_busy(self):
        """
        Where others have it locked for too long that is said; later it goes.
        """
        self.write(OLD)
        intents = self.deliver(b"a\r\n")
        with open(self.path + b".lock", "wb"):
            pass
        appender = self.appender()
        committing, _ = self.commit(appender, [b"b\r\n"])
        settling = appender.settle(intents[0], None)
        self.clock.pump([0.1] * 49)
        self.assertNoResult(committing)
        self.clock.pump([0.1] * 2)
        for deferred in (committing, settling):
            failure = self.failureResultOf(deferred, TargetBusy)
            self.assertIn("is locked by other mail software", str(failure.value))
        os.unlink(self.path + b".lock")
        self.deliver(b"b\r\n")
        self.assertEqual(self.messages()[1:], [b"a\r\n", b"b\r\n"])

    def test_waits(self):
        """
        It waits for the locks, and goes on when they are free.
        """
        self.write(OLD)
        with open(self.path + b".lock", "wb"):
            pass
        committing, _ = self.commit(self.appender(), [b"b\r\n"])
        self.clock.pump([0.1] * 9)
        os.unlink(self.path + b".lock")
        self.assertNoResult(committing)
        self.clock.pump([0.1] * 2)
        self.successResultOf(committing)

    def test_changedInSpite(self):
        """
        Where others append in spite of the locks, before us, nothing is written over.
        """
        self.write(OLD)
        committing, _ = self.commit(
            self.appender(), [b"a\r\n"], lambda _: self.write(OLD, "ab")
        )
        self.failureResultOf(committing, CannotDeliver)
        self.assertEqual(self.content(), OLD + OLD)

    def test_nothingElse(self):
        """
        To take back a message, or to sweep, changes nothing.
        """
        self.write(OLD)
        appender = self.appender()
        appender.discard(appender.stage(Message(b"a\r\n")))
        appender.sweep()
        self.assertEqual(self.content(), OLD)


class SettleTests(MboxCase):
    """
    An intent is settled by what is in the mailbox.
    """

    def setUp(self):
        super().setUp()
        self.patch(mbox_intent, "STEP", 50)
        self.write(OLD)
        self.intents = self.deliver(*MESSAGES)
        self.whole = self.content()

    def settled(self, order=None):
        """
        Settle all, and give the answers in the order of the messages.
        """
        answers = {}
        for number in order or range(len(self.intents)):
            answers[number] = self.settle(self.intents[number])
        return [answers[number] for number in range(len(self.intents))]

    def test_there(self):
        """
        What is there is delivered, and stays.
        """
        self.assertEqual(self.settled(), [True] * 8)
        self.assertEqual(self.content(), self.whole)

    def test_moreMail(self):
        """
        So it is where more mail came after it.
        """
        self.write(OLD, "ab")
        self.assertEqual(self.settled(), [True] * 8)
        self.assertEqual(self.content(), self.whole + OLD)

    def test_noMailbox(self):
        """
        Where there is no mailbox there is no message.
        """
        os.unlink(self.path)
        self.assertEqual(self.settled(), [False] * 8)
        self.assertFalse(os.path.exists(self.path))

    def test_nothingYet(self):
        """
        A mailbox that is as it was before has no message, with or without other mail.
        """
        for content in (OLD, OLD + OLD, OLD * 50):
            self.write(content)
            self.assertEqual(self.settled(), [False] * 8)
            self.assertEqual(self.content(), content)

    def torn(self, number, octets=20):
        """
        Give the mailbox as it is when it was cut off in a message.
        """
        place = self.intents[number]["length"] + octets
        lost = len(self.whole) - 2 - place
        return self.whole[:place] + b"\0" * lost + b"\n\n"

    def test_torn(self):
        """
        What was written by half is taken out, in whatever order they are settled.
        """
        for number in range(8):
            size = self.intents[number]["size"]
            for octets in {0, 1, 5, 20, size // 2, size - 3}:
                for order in (None, [3, 1, 7, 0, 5, 2, 6, 4], range(7, -1, -1)):
                    self.write(self.torn(number, octets))
                    done = [True] * number + [False] * (8 - number)
                    self.assertEqual(self.settled(order), done)
                    end = self.intents[number]["length"]
                    self.assertEqual(self.content(), self.whole[:end])
                    self.assertEqual(self.settled(), done)

    def test_tornAndFollowed(self):
        """
        Where other mail follows the half it stays, and that is said; the other mail
        is a message of its own.
        """
        for number in range(8):
            content = self.torn(number) + OLD
            self.write(content)
            done = [True] * number + [False] * (8 - number)
            self.assertEqual(self.settled(), done)
            self.assertEqual(self.content(), content)
            self.assertIn("a part of a message stays in", self.logged.pop())
            self.assertEqual(self.logged, [])
            found = self.messages()
            self.assertEqual(found[1 : number + 1], MESSAGES[:number])
            self.assertEqual(found[-1], b"O: 1\r\n\r\nFrom an old one\r\n")

    def test_readOnly(self):
        """
        A half that cannot be taken out is no message delivered.
        """
        self.write(self.torn(2))
        RefusalTests.readOnly(self)
        settling = self.appender().settle(self.intents[2], None)
        self.failureResultOf(settling, CannotDeliver)
        self.assertEqual(self.content(), self.torn(2))

    def test_lostBlock(self):
        """
        A disk that has lost one block of the batch has lost what follows, too: all
        that is behind it is taken out and comes again.
        """
        for number in range(8):
            for at in (0, 3, self.intents[number]["size"] - 4):
                place = self.intents[number]["length"] + at
                content = self.whole[:place] + b"\0\0" + self.whole[place + 2 :]
                for order in (None, [3, 1, 7, 0, 5, 2, 6, 4], range(7, -1, -1)):
                    self.write(content)
                    done = [True] * number + [False] * (8 - number)
                    self.assertEqual(self.settled(order), done)
                    end = self.intents[number]["length"]
                    self.assertEqual(self.content(), self.whole[:end])

    def test_lostBlockAndFollowed(self):
        """
        Where other mail follows, what is whole stays and is delivered.
        """
        place = self.intents[2]["length"] + 3
        content = self.whole[:place] + b"\0\0" + self.whole[place + 2 :] + OLD
        self.write(content)
        self.assertEqual(self.settled(), [True, True, False, *[True] * 5])
        self.assertEqual(self.content(), content)

    def test_rewritten(self):
        """
        What others have moved within the mailbox is found.
        """
        texts = [self.text(number) for number in range(8)]
        for content in (
            OLD[:5] + b"!" + OLD[5:] + b"".join(texts),
            b"".join(texts),
            b"From \n\n" + b"".join(reversed(texts)) + OLD,
            OLD * 9 + b"".join(texts) + OLD,
        ):
            self.write(content)
            self.assertEqual(self.settled(), [True] * 8)
            self.assertEqual(self.content(), content)

    def text(self, number):
        begin = self.intents[number]["length"]
        return self.whole[begin : begin + self.intents[number]["size"]]

    def test_rewrittenWithout(self):
        """
        What others have taken out, or changed, is not found; nothing is cut off.
        """
        texts = [self.text(number) for number in range(8)]
        # Not the empty one, which the next one begins with.
        for without in (0, 1, 3, 4, 5, 6, 7):
            rest = texts[:without] + texts[without + 1 :]
            content = OLD + b"".join(rest) + b"From \n\n"
            self.write(content)
            done = [number != without for number in range(8)]
            self.assertEqual(self.settled(), done)
            self.assertEqual(self.content(), content)
            changed = texts[without].replace(b"\n", b"\nStatus: O\n", 1)
            content = OLD + b"".join([*rest[:without], changed, *rest[without:]])
            self.write(content)
            self.assertEqual(self.settled(), done)
            self.assertEqual(self.content(), content)

    def test_headsAlike(self):
        """
        A message of which another has the same beginning is told apart.
        """
        self.write(OLD)
        long = b"a: b\r\n" * 200
        intents = self.deliver(long + b"1\r\n", long + b"2\r\n", long + b"3\r\n")
        texts = self.content()[len(OLD) :].split(b"From ")[1:]
        self.write(b"".join(b"From " + text for text in (texts[0], texts[2])))
        answers = [self.settle(each) for each in intents]
        self.assertEqual(answers, [True, False, True])

    def test_twins(self):
        """
        Of two messages that are the same each has to be there.
        """
        self.write(OLD)
        twin = b"a\r\n" * 300
        self.intents = self.deliver(twin, b"b\r\n", twin)
        self.whole = self.content()
        self.assertEqual(self.settled(), [True, True, True])
        self.write(self.torn(1))
        self.assertEqual(self.settled([2, 1, 0]), [True, False, False])
        # Rewritten, and the first of them torn and followed by others' mail.
        for content, done in (
            (self.text(0), [True, False, False]),
            (self.text(1) + self.text(0) * 2, [True, True, True]),
            (self.torn(0) + OLD, [False, False, False]),
            (
                self.torn(0)[: -len(self.text(2))] + self.text(2) + OLD,
                [False, False, True],
            ),
        ):
            self.write(content)
            self.assertEqual(self.settled(), done)
            self.assertEqual(self.content(), content)

    def test_withinAnother(self):
        """
        A text that another one begins with is not that one.
        """
        self.write(OLD)
        self.intents = self.deliver(b"", b"\r\n", b"\r\na\r\n")
        self.whole = self.content()
        for content, done in (
            (OLD * 2 + self.text(0), [True, False, False]),
            (OLD * 2 + self.text(1) + self.text(2), [False, True, True]),
            (OLD * 2 + self.text(2) + self.text(0), [True, False, True]),
            (OLD + b"a" + self.text(0), [False, False, False]),
        ):
            self.write(content)
            self.assertEqual(self.settled(), done, content)

    def test_otherMailInItsPlace(self):
        """
        Mail of others that takes up just the room of ours is not cut off.
        """
        others = b"From x\n" + b"y" * (len(self.whole) - len(OLD) - 9) + b"\n\n"
        self.write(OLD + others)
        self.assertEqual(self.settled(), [False] * 8)
        self.assertEqual(self.content(), OLD + others)
        self.write(OLD + others[:-30])
        self.assertEqual(self.settled(), [False] * 8)
        self.assertEqual(self.content(), OLD + others[:-30])

    def test_lengthLost(self):
        """
        Room that a disk has made in part, with nothing in it, is given back.
        """
        for octets in (1, 9, len(self.whole) - len(OLD) - 3):
            self.write(OLD + b"\0" * octets)
            self.assertEqual(self.settled(range(7, -1, -1)), [False] * 8)
            self.assertEqual(self.content(), OLD)
        for closing in (b"\n", b"\r", b"\r\n\r"):
            room = len(self.whole) - len(OLD) - 4
            self.write(OLD + (b"\0" * room + b"\0\0\0" + closing)[: room + 3])
            self.assertEqual(self.settled(), [False] * 8)
            self.assertEqual(self.content(), OLD)

    def test_synced(self):
        """
        What is said to be there has been brought to the disk by whoever says so.
        """
        synced = []
        self.patch(os, "fsync", synced.append)
        self.assertTrue(self.settle(self.intents[3]))
        self.assertEqual(len(synced), 1)
        self.write(OLD + OLD + self.text(3))
        self.assertTrue(self.settle(self.intents[3]))
        self.assertEqual(len(synced), 2)

    def test_order(self):
        """
        Room is made and synced before a message is written; all is synced before the
        end.
        """
        log = []
        for name in ("ftruncate", "fsync", "pwrite"):
            really = getattr(os, name)

            def logged(*arguments, name=name, really=really):
                log.append(name)
                return really(*arguments)

            self.patch(mbox_append.os, name, logged)
        self.write(OLD)
        self.deliver(b"a\r\n", b"b\r\n")
        self.assertEqual(log, ["pwrite"] * 2 + ["fsync"] + ["pwrite"] * 2 + ["fsync"])
