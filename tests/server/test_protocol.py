"""
`extretr.server.protocol`: the commands, as dialogues.

The rows f01 to g08 of the flaws of stock Twisted that the project's audit lists are
named where a test stands for one.
"""

from io import BytesIO

from twisted.internet.defer import Deferred, fail, succeed
from twisted.mail import pop3
from twisted.mail.interfaces import IMailboxPOP3
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from extretr.server.protocol import ExtendedPOP3, ExtendedRETRMixin
from tests import models
from tests.server.dialogue import DialogueTestCase, ListMailbox


class RetrieveTests(DialogueTestCase):
    """
    RETR sends a message, whole or from an offset on.
    """

    def test_whole(self):
        """
        RETR without an offset sends the canonical form, stuffed (f02, f03, f10).
        """
        self.dialogue(b"""
            C: RETR 1
            S: +OK 22 octets
            S: H: one
            S:
            S: ..dot
            S: line
            S: .
            C: RETR 2
            S: +OK 16 octets
            S: H: two
            S:
            S: body
            S: .
            C: RETR 3
            S: +OK 3 octets
            S: ..
            S: .""")

    def test_fromOffset(self):
        """
        RETR with an offset sends what comes after so many octets.
        """
        self.dialogue(b"""
            C: RETR 1 18
            S: +OK 22 octets (4 to come)
            S: ne
            S: .
            C: RETR 1 0
            S: +OK 22 octets
            S: H: one
            S:
            S: ..dot
            S: line
            S: .""")

    def test_everyOffset(self):
        """
        Every offset of every message gives what the model gives.
        """
        for index, stored in enumerate(self.messages):
            whole = models.canonical(stored)
            for offset in range(len(whole) + 1):
                answer = self.send(b"RETR %d %d\r\n" % (index + 1, offset))
                if models.accepted(whole, offset):
                    _, _, body = answer.partition(b"\r\n")
                    self.assertEqual(body, models.wire(whole[offset:]))
                else:
                    self.assertEqual(
                        answer,
                        b"-ERR the offset splits a line end: step back one octet\r\n",
                    )

    def test_resumeAtDot(self):
        """
        A response that begins with a dot in mid-line is stuffed all the same.
        """
        self.mailbox.messages.append(b"a.b\n")
        self.dialogue(b"""
            C: RETR 4 1
            S: +OK 5 octets (4 to come)
            S: ..b
            S: .""")

    def test_offsetIsSize(self):
        """
        An offset that is the size is answered with an empty body.
        """
        self.dialogue(b"""
            C: RETR 1 22
            S: +OK 22 octets (0 to come)
            S: .""")

    def test_overrun(self):
        """
        An offset beyond the size is an overrun, however large the number.
        """
        self.dialogue(b"""
            C: RETR 1 23
            S: -ERR [OFFSET-OVERRUN] message exists
            C: RETR 1 1000000000000000000000000000000
            S: -ERR [OFFSET-OVERRUN] message exists
            C: NOOP
            S: +OK""")

    def test_noSuchMessage(self):
        """
        A message that is not there, or deleted, is non-existent before any offset.
        """
        self.dialogue(b"""
            C: RETR 4
            S: -ERR [NON-EXISTENT] no such message
            C: RETR 0
            S: -ERR [NON-EXISTENT] no such message
            C: RETR 4 99999
            S: -ERR [NON-EXISTENT] no such message
            C: RETR 1000000000000000000000000000000
            S: -ERR [NON-EXISTENT] no such message
            C: DELE 1
            S: +OK
            C: RETR 1
            S: -ERR [NON-EXISTENT] no such message
            C: RETR 1 9999
            S: -ERR [NON-EXISTENT] no such message""")

    def test_badSyntax(self):
        """
        f16, f17: arguments that are no numbers, too few or too many, keep the session.
        """
        for arguments in (b"", b" ", b" x", b" -1", b" +1", b" 1_0", b" 0x1", b" \xff"):
            answer = self.send(b"RETR" + arguments + b"\r\n")
            self.assertRegex(answer, rb"\A-ERR [^[\r\n]+\r\n\Z")
        for arguments in (
            b" x",
            b" -1",
            b" +0",
            b" ",
            b" 1_0",
            b" 0x1",
            b" 1 2",
            b" \t",
        ):
            answer = self.send(b"RETR 1" + arguments + b"\r\n")
            self.assertRegex(answer, rb"\A-ERR [^[\r\n]+\r\n\Z")
        self.assertEqual(self.send(b"NOOP\r\n"), b"+OK \r\n")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_zeroOctets(self):
        """
        f23: a message of no octets that is not deleted is a message like any other.
        """
        self.mailbox.messages.append(b"")
        self.mailbox.listMessages = lambda index=None: (
            [1, 1, 1, 0] if index is None else 0 if index == 3 else 1
        )
        # IMailboxPOP3 says 0 for deleted, so an adapted mailbox cannot have one.
        self.assertEqual(
            self.send(b"RETR 4\r\n"), b"-ERR [NON-EXISTENT] no such message\r\n"
        )

    def test_chunkEdges(self):
        """
        f01: a dot after an LF that ends a chunk is stuffed, wherever the edge falls.
        """
        for around in (16384, 65536):
            for length in range(around - 3, around + 3):
                stored = b"x" * (length - 1) + b"\n.dot\r\n" + b"y" * 70000
                self.mailbox.messages.append(stored)
                number = len(self.mailbox.messages)
                answer = self.send(b"RETR %d\r\n" % number)
                _, _, body = answer.partition(b"\r\n")
                self.assertEqual(body, models.wire(models.canonical(stored)))

    def test_fileIsClosed(self):
        """
        f39: the file is closed after a transfer, and after a lost one.
        """
        files = []

        def getMessage(index):
            files.append(BytesIO(b"x" * 1000000))
            return files[-1]

        self.mailbox.getMessage = getMessage
        self.send(b"RETR 1\r\n")
        self.transport.clear()
        self.session.dataReceived(b"RETR 1\r\n")
        self.assertIsNotNone(self.transport.producer)
        self.lose()
        self.assertTrue(files)
        self.assertTrue(all(file.closed for file in files))

    def test_readErrorMidway(self):
        """
        f40: where the file fails after +OK, the connection is dropped, no dot is sent.
        """

        class Failing(BytesIO):
            reads = 0

            def read(self, count=-1):
                self.reads += 1
                if self.reads > 2 and self.fails:
                    raise OSError("/secret/path")
                return super().read(count)

        file = Failing(b"x\n" * 200000)
        file.fails = False
        file.close = lambda: file.seek(0)
        self.mailbox.getMessage = lambda index: file
        self.send(b"LIST 1\r\n")
        file.fails, file.reads = True, 0
        answer = self.send(b"RETR 1\r\n")
        self.assertTrue(answer.startswith(b"+OK 600000 octets\r\nx\r\n"))
        self.assertNotIn(b".\r\n", answer)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_openErrors(self):
        """
        f15b, f41: a message that cannot be opened is an -ERR that tells no path.
        """

        def getMessage(index):
            raise FileNotFoundError(2, "gone", "/secret/path")

        self.mailbox.getMessage = getMessage
        for command in (b"RETR 1", b"TOP 1 0", b"LIST", b"STAT", b"LIST 1"):
            self.assertEqual(
                self.send(command + b"\r\n"),
                b"-ERR [SYS/TEMP] server error, try again later\r\n",
            )
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 5)

    def test_unicodeErrorIsNoBadNumber(self):
        """
        f09: an error in reading that is a ValueError is not taken for a bad number.
        """

        def getMessage(index):
            raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "no")

        self.mailbox.getMessage = getMessage
        self.assertIn(b"[SYS/TEMP]", self.send(b"RETR 1\r\n"))
        self.assertEqual(len(self.flushLoggedErrors(UnicodeDecodeError)), 1)


class TopTests(DialogueTestCase):
    """
    TOP sends the header and some lines (f05 to f08c: see test_wire too).
    """

    def test_top(self):
        """
        The header, the blank line and so many lines, stuffed; no more lines than are.
        """
        self.dialogue(b"""
            C: TOP 1 0
            S: +OK Top of message follows
            S: H: one
            S:
            S: .
            C: TOP 1 1
            S: +OK Top of message follows
            S: H: one
            S:
            S: ..dot
            S: .
            C: TOP 2 9
            S: +OK Top of message follows
            S: H: two
            S:
            S: body
            S: .
            C: TOP 3 0
            S: +OK Top of message follows
            S: ..
            S: .""")

    def test_blankLineAcrossChunks(self):
        """
        f05, f06, f07: edges, long lines and a last line without an end do no harm.
        """
        for length in range(65530, 65540):
            stored = b"H: " + b"h" * length + b"\r\n\r\n" + b"b" * 200000
            self.mailbox.messages.append(stored)
            number = len(self.mailbox.messages)
            head = stored[: length + 7]
            answer = self.send(b"TOP %d 0\r\n" % number).partition(b"\r\n")[2]
            self.assertEqual(answer, models.wire(head))
            answer = self.send(b"TOP %d 1\r\n" % number).partition(b"\r\n")[2]
            self.assertEqual(answer, models.wire(models.canonical(stored)))

    def test_badArguments(self):
        """
        TOP takes two numbers, and no offset (spec reading 16).
        """
        self.dialogue(b"""
            C: TOP 1
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments
            C: TOP 1 x
            S: -ERR Bad line count argument
            C: TOP 1 -1
            S: -ERR Bad line count argument
            C: TOP x 1
            S: -ERR Bad message number argument
            C: TOP 9 1
            S: -ERR Bad message number argument
            C: TOP 1 1 1
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments""")


class ListingTests(DialogueTestCase):
    """
    STAT, LIST and UIDL tell of what is there, and of nothing that is deleted.
    """

    def test_sizes(self):
        """
        f10: sizes are those of the canonical form, and RETR sends just so many.
        """
        self.dialogue(b"""
            C: STAT
            S: +OK 3 41
            C: LIST
            S: +OK 3
            S: 1 22
            S: 2 16
            S: 3 3
            S: .
            C: LIST 2
            S: +OK 2 16""")

    def test_unique_ids(self):
        """
        f25: UIDL n names the number before the unique-id.
        """
        self.dialogue(b"""
            C: UIDL
            S: +OK
            S: 1 uid-0
            S: 2 uid-1
            S: 3 uid-2
            S: .
            C: UIDL 2
            S: +OK 2 uid-1""")

    def test_deleted(self):
        """
        f24: a deleted message is in no list, cannot be named, nor deleted again.
        """
        self.dialogue(b"""
            C: DELE 2
            S: +OK
            C: DELE 2
            S: -ERR [NON-EXISTENT] no such message
            C: STAT
            S: +OK 2 25
            C: LIST
            S: +OK 2
            S: 1 22
            S: 3 3
            S: .
            C: LIST 2
            S: -ERR [NON-EXISTENT] no such message
            C: UIDL
            S: +OK
            S: 1 uid-0
            S: 3 uid-2
            S: .
            C: UIDL 2
            S: -ERR [NON-EXISTENT] no such message
            C: RSET
            S: +OK
            C: STAT
            S: +OK 3 41""")

    def test_badNumbers(self):
        """
        f15, f18, f33b: bad numbers and surplus arguments are refused in one line.
        """
        for command in (b"LIST", b"UIDL"):
            for argument in (b"x", b"0", b"4", b"-1", b"+1", b"1_0", b"\xff", b"1 2"):
                answer = self.send(command + b" " + argument + b"\r\n")
                self.assertRegex(answer, rb"\A-ERR [\x20-\x7e]+\r\n\Z")

    def test_uidlAfterDeletion(self):
        """
        f15c: a mailbox that has no unique-id for what is deleted is not asked for it.
        """

        def getUidl(index):
            if index in self.mailbox.deleted:
                raise ValueError(index)
            return b"uid-%d" % index

        self.mailbox.getUidl = getUidl
        self.send(b"DELE 1\r\n")
        self.assertEqual(self.send(b"UIDL\r\n"), b"+OK \r\n2 uid-1\r\n3 uid-2\r\n.\r\n")

    def test_uniqueIdsAreChecked(self):
        """
        f52: what a mailbox calls a message cannot break out of the response.
        """
        self.mailbox.getUidl = lambda index: [b"a b", b"x\r\n.\r\n+OK", "text"][index]
        lines = self.send(b"UIDL\r\n").split(b"\r\n")
        self.assertEqual(len(lines), 6)
        for line in lines[1:4]:
            self.assertRegex(line, rb"\A\d [\x21-\x7e]{1,70}\Z")
        self.assertEqual(lines[3], b"3 text")

    def test_longLists(self):
        """
        A list of many thousand messages comes whole and in order.
        """
        self.mailbox.messages = [b"x\n"] * 5000
        wanted = [b"%d 3" % number for number in range(1, 5001)]
        lines = self.send(b"LIST\r\n").split(b"\r\n")
        self.assertEqual(lines, [b"+OK 5000", *wanted, b".", b""])
        lines = self.send(b"UIDL\r\n").split(b"\r\n")
        self.assertEqual(len(lines), 5003)
        self.assertEqual(lines[5000], b"5000 uid-4999")


class DeleteTests(DialogueTestCase):
    """
    DELE marks, RSET unmarks, QUIT removes.
    """

    def test_badNumbers(self):
        """
        f14, f14b, f14c: no bad number ends the session or hits another message.
        """
        self.dialogue(b"""
            C: DELE x
            S: -ERR Bad message number argument
            C: DELE 99
            S: -ERR [NON-EXISTENT] no such message
            C: DELE 0
            S: -ERR [NON-EXISTENT] no such message
            C: DELE -1
            S: -ERR Bad message number argument
            C: DELE
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments
            C: DELE 1 2
            S: -ERR bad protocol or server: POP3Error: wrong number of arguments
            C: STAT
            S: +OK 3 41""")

    def test_valueErrors(self):
        """
        A mailbox may raise ValueError or IndexError for a number that is not there.
        """
        for kind in (ValueError, IndexError):

            def deleteMessage(index, kind=kind):
                raise kind(index)

            self.mailbox.deleteMessage = deleteMessage
            self.assertEqual(
                self.send(b"DELE 1\r\n"), b"-ERR [NON-EXISTENT] no such message\r\n"
            )

    def test_last(self):
        """
        f43: LAST, which RFC 1725 dropped, goes on as stock Twisted has it.
        """
        self.send(b"RETR 2\r\n")
        self.send(b"TOP 1 0\r\n")
        self.assertEqual(self.send(b"LAST\r\n"), b"+OK 2\r\n")
        self.assertNotIn(b"LAST", self.send(b"CAPA\r\n"))


class QuitTests(DialogueTestCase):
    """
    QUIT enters the UPDATE state, once.
    """

    def test_quit(self):
        """
        QUIT has the mailbox remove what is marked, replies, and closes.
        """
        self.dialogue(b"""
            C: DELE 1
            S: +OK
            C: QUIT
            S: +OK""")
        self.assertEqual(self.mailbox.synced, 1)
        self.assertTrue(self.transport.disconnecting)

    def test_beforeLogin(self):
        """
        QUIT before login just closes.
        """
        self.session.mbox = None
        self.assertEqual(self.send(b"QUIT\r\n"), b"+OK \r\n")
        self.assertTrue(self.transport.disconnecting)

    def test_syncFails(self):
        """
        f22: where the deletions fail the reply is -ERR, and tells no path.
        """

        def sync():
            raise OSError(5, "broken", "/secret/path")

        self.mailbox.sync = sync
        self.assertEqual(
            self.send(b"QUIT\r\n"),
            b"-ERR [SYS/TEMP] server error, try again later\r\n",
        )
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_syncTakesTime(self):
        """
        f22: +OK comes when the deletions are done, not before.
        """
        done = Deferred()
        self.mailbox.sync = lambda: done
        self.assertEqual(self.send(b"QUIT\r\n"), b"")
        done.callback(None)
        self.assertEqual(self.transport.value(), b"+OK \r\n")

    def test_nothingAfterQuit(self):
        """
        f21, f21b: commands behind QUIT never run, also where QUIT was queued.
        """
        waiting = Deferred()
        self.mailbox.listMessages = lambda index=None: waiting
        self.session.dataReceived(b"STAT\r\nQUIT\r\nDELE 1\r\n")
        waiting.callback([1])
        self.assertEqual(self.mailbox.deleted, set())
        self.assertEqual(self.mailbox.synced, 1)

    def test_emptyMailboxIsAMailbox(self):
        """
        f38: a mailbox that is false is still logged in to, and synced at QUIT.
        """

        class Empty(ListMailbox):
            def __len__(self):
                return 0

        mailbox = Empty([])
        self.session.mbox = mailbox
        self.dialogue(b"""
            C: STAT
            S: +OK 0 0
            C: QUIT
            S: +OK""")
        self.assertEqual(mailbox.synced, 1)


class CapabilityTests(DialogueTestCase):
    """
    CAPA tells what is so (RFC 2449; spec reading 13).
    """

    wanted = [
        *(b"TOP", b"USER", b"UIDL", b"PIPELINING", b"RESP-CODES", b"EXT-RETR"),
        *(b"UTF8", b"LANG"),
    ]

    def test_bothStates(self):
        """
        f26, f26b, f26c: registered names and ours, the same in both states.
        """
        after = self.send(b"CAPA\r\n").split(b"\r\n")
        self.session.mbox = None
        before = self.send(b"CAPA\r\n").split(b"\r\n")
        self.assertEqual(before, after)
        self.assertEqual(sorted(before[1:-2]), sorted(self.wanted))
        self.assertTrue(before[0].startswith(b"+OK"))
        self.assertEqual(before[-2:], [b".", b""])

    def test_noArguments(self):
        """
        CAPA takes no arguments, and refuses them without a word of list.
        """
        answer = self.send(b"CAPA x\r\n")
        self.assertRegex(answer, rb"\A-ERR [^\r\n]+\r\n\Z")

    def test_aSubclassAddsItsOwn(self):
        """
        What another class announces is announced still.
        """

        class Theirs(pop3.POP3):
            def listCapabilities(self):
                return [*super().listCapabilities(), b"X-THEIRS 1"]

        class Both(ExtendedRETRMixin, Theirs):
            pass

        capabilities = Both().listCapabilities()
        self.assertIn(b"X-THEIRS 1", capabilities)
        self.assertEqual(capabilities.count(b"EXT-RETR"), 1)

    def test_noPasswordsInClear(self):
        """
        Where passwords are taken over TLS only, USER is neither listed nor taken.
        """
        self.session.requireTLS = True
        self.session.mbox = None
        self.assertNotIn(b"USER", self.send(b"CAPA\r\n"))
        self.assertEqual(
            self.send(b"USER bob\r\n"), b"-ERR passwords are taken over TLS only\r\n"
        )
        self.assertEqual(
            self.send(b"PASS x\r\n"), b"-ERR USER required before PASS\r\n"
        )


class AsynchronousTests(DialogueTestCase):
    """
    A mailbox may return Deferreds wherever it has to wait.
    """

    def makeMailbox(self):
        @implementer(IMailboxPOP3)
        class Waiting(ListMailbox):
            def listMessages(self, index=None):
                return succeed(super().listMessages(index))

            def getMessage(self, index):
                return succeed(super().getMessage(index))

            def getUidl(self, index):
                return succeed(super().getUidl(index))

            def sync(self):
                return succeed(super().sync())

        return Waiting(self.messages)

    test_sizes = ListingTests.test_sizes
    test_unique_ids = ListingTests.test_unique_ids
    test_whole = RetrieveTests.test_whole
    test_overrun = RetrieveTests.test_overrun
    test_quit = QuitTests.test_quit

    def test_repliesInOrder(self):
        """
        Commands behind one that waits are answered after it, each once.
        """
        waiting = Deferred()
        self.mailbox.listMessages = lambda index=None: waiting
        self.assertEqual(self.send(b"STAT\r\nNOOP\r\nXYZZY\r\nNOOP\r\n"), b"")
        waiting.callback([0])
        answers = self.transport.value().split(b"\r\n")
        self.assertEqual(answers[0], b"+OK 0 0")
        self.assertEqual(answers[1], b"+OK ")
        self.assertTrue(answers[2].startswith(b"-ERR bad protocol"))
        self.assertEqual(answers[3:], [b"+OK ", b""])

    def test_failureIsAReply(self):
        """
        f19, g03: a Deferred that fails is one -ERR, and the queue goes on after it.
        """
        self.mailbox.listMessages = lambda index=None: fail(OSError("/secret"))
        answers = self.send(b"STAT\r\nNOOP\r\n")
        self.assertEqual(
            answers, b"-ERR [SYS/TEMP] server error, try again later\r\n+OK \r\n"
        )
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.session.timeOut, ExtendedPOP3.timeOut)


class SubclassTests(SynchronousTestCase):
    """
    The public classes are true subclasses, and the names leant on are there.
    """

    def test_subclasses(self):
        """
        Each ready-made class is a subclass of the one that it replaces.
        """
        from twisted.mail.mail import MailService
        from twisted.mail.protocols import POP3Factory, VirtualPOP3

        import extretr

        self.assertTrue(issubclass(extretr.ExtendedPOP3, pop3.POP3))
        self.assertTrue(issubclass(extretr.ExtendedVirtualPOP3, VirtualPOP3))
        self.assertTrue(issubclass(extretr.ExtendedPOP3Factory, POP3Factory))
        self.assertTrue(issubclass(extretr.ExtendedMailService, MailService))

    def test_privateNames(self):
        """
        The few private names of Twisted that we stand on exist.
        """
        from twisted.internet import tcp

        for name in ("_unblock", "_longOperation", "_highest", "_userIs", "_onLogout"):
            self.assertTrue(hasattr(pop3.POP3, name), name)
        self.assertIsNone(pop3.POP3.blocked)
        self.assertIn("writeSomeData", dir(tcp.Connection))
        self.assertFalse(tcp.Connection.TLS)
