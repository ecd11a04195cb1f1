"""
Whatever fails while messages are put at the end of an mbox, each is there once or not.
"""

import os
import random
from itertools import count

from twisted.python.failure import Failure

from extretr.stores import mbox_text
from tests.stores.appends import FailingAppend, Message, outcome, with_os
from tests.stores.mboxes import Crash, every, failures
from tests.stores.test_mbox_append import OLD, MboxCase

#: Longer and shorter than what is written at once; two are the same, one is empty.
MESSAGES = [
    b"A: 1\r\n\r\nFrom x\r\n" + b"line\r\n" * 40,
    b"B: 2\r\n",
    b"",
    b"B: 2\r\n",
    b"C: 3\r\n\r\n" + b"y" * 300 + b"\r\n",
]

#: What the mailbox is before: absent, empty, ended well, or not.
MAILBOXES = [None, b"", OLD, OLD[:-1], OLD[:-2], OLD[:-2] + b"\r"]


class PowerLoss(FailingAppend):
    """
    An `os` whose disk forgets, at the crash, some of what was not synced in one file.
    """

    block = 5

    def __init__(self, path, at, seed):
        super().__init__(at, Crash(), torn=1)
        self._path = path
        self._random = random.Random(seed)
        self._named = os.path.exists(path)
        self._safe = self._there()
        #: How probable it is that a block is lost.
        self._bad = self._random.choice([0.5, 0.1, 0.01])

    def _there(self):
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _change(self, name, function, arguments):
        failed = self.failed
        try:
            result = super()._change(name, function, arguments)
        except Crash:
            if not failed:
                self._forget()
            raise
        if name.endswith("sync"):
            synced = os.fstat(arguments[0])
            if os.path.samestat(synced, os.stat(self._path)):
                self._safe = self._there()
            elif os.path.samestat(synced, os.stat(os.path.dirname(self._path))):
                self._named = True
        return result

    def _forget(self):
        if not os.path.exists(self._path):
            return
        if not self._named and self._random.random() < 0.5:
            os.unlink(self._path)
            return
        now, safe = self._there(), self._safe
        sizes = [len(now), len(safe)]
        if len(safe) < len(now) - 4 and not any(now[len(safe) : -4]):
            # A length that grows little by little, with nothing in it as yet.
            sizes.append(self._random.randrange(len(safe), len(now) - 4))
        size = self._random.choice(sizes)
        blocks = []
        for at in range(0, size, self.block):
            octets = safe if self._random.random() < self._bad else now
            block = octets[at : at + self.block]
            blocks.append(block.ljust(self.block, b"\0"))
        with open(self._path, "wb") as file:
            file.write(b"".join(blocks)[:size])


class CrashCase(MboxCase):
    messages_to_come = MESSAGES
    crlf = False

    def setUp(self):
        super().setUp()
        # Many writes for a short message.
        self.patch(mbox_text, "STEP", 50)
        self.random = random.Random(1)
        self.contents = set()

    def appender(self, **arguments):
        return super().appender(crlf=self.crlf, **arguments)

    def begin(self, mailbox):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.before = []
        if mailbox is not None:
            self.write(mailbox.replace(b"\n", b"\r\n") if self.crlf else mailbox)
            self.before = self.messages()

    def attempt(self, fake):
        """
        Deliver all on an `os` that fails; give the appender, the intents, the result.
        """
        appender = self.appender()
        committing, intents = with_os(
            fake, lambda: self.commit(appender, self.messages_to_come)
        )
        result = outcome(committing)
        self.assertEqual(isinstance(result, Failure), fake.failed)
        return appender, intents

    def settleAll(self, intents, appender=None, answers=None):
        """
        Settle all in any order, to the same end each time; give the answers.
        """
        answers = {} if answers is None else answers
        for _ in range(2):
            order = list(range(len(intents)))
            self.random.shuffle(order)
            for number in order:
                answer = self.settle(intents[number], appender)
                self.assertEqual(answers.setdefault(number, answer), answer)
        return [answers[number] for number in range(len(intents))]

    def check(self, answers):
        """
        See that what is delivered is there once, and the rest can come again.
        """
        answers = answers or [False] * len(self.messages_to_come)
        there = self.messages() if os.path.exists(self.path) else []
        pairs = list(zip(self.messages_to_come, answers, strict=True))
        done = [message for message, answer in pairs if answer]
        self.assertEqual(there, [*self.before, *done])
        rest = [message for message, answer in pairs if not answer]
        again = self.commit(self.appender(), rest)[0]
        self.successResultOf(again)
        self.assertEqual(self.messages(), [*self.before, *done, *rest])


class AppendCrashTests(CrashCase):
    """
    After a failure at any single change of a file all is settled.
    """

    def test_everyChange(self):
        """
        Each message is there once and whole, or not at all, and settling tells which.
        """
        for mailbox in MAILBOXES:
            results = set()
            for error, torn in failures():

                def attempt(
                    at, mailbox=mailbox, error=error, torn=torn, results=results
                ):
                    self.begin(mailbox)
                    fake = FailingAppend(at, error, torn)
                    appender, intents = self.attempt(fake)
                    if isinstance(error, Crash):
                        appender = None
                    answers = self.settleAll(intents, appender)
                    results.add(sum(answers))
                    self.check(answers)
                    return fake.failed

                with self.subTest(mailbox=mailbox, error=error):
                    self.assertGreater(every(attempt), 10)
            self.assertEqual(results, {0, 1, 2, 3, 4, 5})

    def test_crashAgain(self):
        """
        Whoever settles may crash as well: the next one comes to the same end.
        """
        failed = 0
        for mailbox in (None, OLD[:-1]):
            for first in count():
                self.begin(mailbox)
                fake = FailingAppend(first, Crash(), 0.3)
                _, intents = self.attempt(fake)
                if not fake.failed:
                    break
                for second in range(4):
                    answers = {}
                    again = FailingAppend(second, Crash(), 0.3)
                    for number, intent in enumerate(intents):
                        settling = with_os(
                            again, lambda one=intent: self.appender().settle(one, None)
                        )
                        result = outcome(settling)
                        if isinstance(result, Failure):
                            result.trap(Crash)
                            failed += 1
                            break
                        answers[number] = result
                    # What was said and not written down is said again.
                    answers = self.settleAll(intents, answers=answers)
                self.check(answers)
        self.assertGreater(failed, 50)

    def test_undoingFails(self):
        """
        Where not even a half can be taken out, that is done when it is settled.
        """
        error = OSError(28, "No space left on device")

        class Stuck(FailingAppend):
            def _change(self, name, function, arguments):
                if self.failed:
                    raise error
                return super()._change(name, function, arguments)

        for at in count():
            self.begin(OLD)
            fake = Stuck(at, error, 0.3)
            appender, intents = self.attempt(fake)
            if not fake.failed:
                break
            self.check(self.settleAll(intents, appender))
        self.assertGreater(at, 10)
        self.assertIn("cannot be taken out of", "".join(self.logged))

    def test_otherMailMeanwhile(self):
        """
        Others' mail that comes before it is settled is kept whole, whatever was left.
        """
        for at in count():
            self.begin(OLD)
            fake = FailingAppend(at, Crash(), 0.3)
            _, intents = self.attempt(fake)
            self.write(OLD, "ab")
            answers = self.settleAll(intents) or [False] * 5
            there = self.messages()
            self.assertEqual(there[-1], self.before[0])
            # Room is made, and then there is a From_ line before it.
            self.assertEqual(there[0].strip(b"\0\r\n"), self.before[0].strip(b"\r\n"))
            # What was left by half stays, as a message of its own that is all NUL, or
            # empty where its From_ line is.
            left = [one for one in there[1:-1] if b"\0" not in one]
            done = [
                one for one, answer in zip(MESSAGES, answers, strict=True) if answer
            ]
            self.assertEqual(list(filter(None, left)), list(filter(None, done)))
            if not fake.failed:
                break
        self.assertEqual(answers, [True] * 5)


class CRLFAppendCrashTests(CrashCase):
    """
    The same where lines end in CRLF.
    """

    crlf = True

    def test_everyChange(self):
        """
        Each message is there once and whole, or not at all, and settling tells which.
        """
        for mailbox in (None, OLD, OLD[:-2]):
            for error, torn in failures():

                def attempt(at, mailbox=mailbox, error=error, torn=torn):
                    self.begin(mailbox)
                    fake = FailingAppend(at, error, torn)
                    _, intents = self.attempt(fake)
                    self.check(self.settleAll(intents))
                    return fake.failed

                self.assertGreater(every(attempt), 10)


class PowerLossTests(CrashCase):
    """
    A disk that forgets what was not synced makes no difference.
    """

    def test_commit(self):
        """
        After a crash at any change each message is there once and whole, or not at
        all.
        """
        results = set()
        for mailbox in MAILBOXES:
            for seed in range(12):

                def attempt(at, mailbox=mailbox, seed=seed):
                    self.begin(mailbox)
                    fake = PowerLoss(self.path, at, seed)
                    _, intents = self.attempt(fake)
                    answers = self.settleAll(intents)
                    results.add(sum(answers))
                    self.check(answers)
                    return fake.failed

                with self.subTest(mailbox=mailbox, seed=seed):
                    every(attempt)
        self.assertEqual(results, {0, 1, 2, 3, 4, 5})

    def test_settling(self):
        """
        Nor does it while what was left is settled.
        """
        for seed in range(12):
            for first in count():
                self.begin(OLD[:-1])
                fake = FailingAppend(first, Crash(), 0.3)
                _, intents = self.attempt(fake)
                if not fake.failed:
                    break
                self.random.shuffle(intents)
                for at in range(3):
                    again = PowerLoss(self.path, at, seed)
                    for intent in intents:
                        settling = with_os(
                            again, lambda one=intent: self.appender().settle(one, None)
                        )
                        if isinstance(outcome(settling), Failure):
                            break
                intents.sort(key=lambda intent: intent["length"])
                self.check(self.settleAll(intents))

    def test_success(self):
        """
        What was delivered is not forgotten.
        """
        self.begin(None)
        fake = PowerLoss(self.path, 1000, 0)
        self.attempt(fake)
        self.assertFalse(fake.failed)
        fake._forget()
        self.assertEqual(self.messages(), MESSAGES)


class MessageTests(CrashCase):
    """
    A message that cannot be read leaves nothing behind.
    """

    def test_unreadable(self):
        """
        An error of the source at any time leaves the mailbox with whole messages.
        """

        class Unreadable(Message):
            def __init__(self, octets, left):
                super().__init__(octets)
                self.left = left

            def pieces(self):
                for octets in super().pieces():
                    self.left -= 1
                    if self.left < 0:
                        raise OSError("the partial cannot be read")
                    yield octets

        seen = set()
        for at in count(1):
            self.begin(OLD[:-1])
            intents = []
            appender = self.appender()
            staged = [appender.stage(Message(each)) for each in MESSAGES]
            staged[3].source = Unreadable(MESSAGES[3], at - 1)
            result = outcome(appender.commit(staged, intents.extend))
            answers = self.settleAll(intents, appender)
            seen.add(tuple(answers))
            self.check(answers)
            if result is None:
                break
        self.assertEqual(
            seen, {(), (True, True, True, False, False), (True, True, True, True, True)}
        )
