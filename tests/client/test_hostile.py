"""
Servers that do not keep to the rules: nothing wrong is delivered, nothing is lost.
"""

import random

from extretr.client import events
from extretr.client.fetch import GaveUp
from extretr.client.outcome import status_of
from extretr.client.refusals import NotAuthenticated, NotOffered, PermanentFailure
from tests.client.fetching import FetchCase
from tests.client.hostile import PlainServer, PlainSession, stuffed
from tests.client.network import Cut, canonical

LONG = b"Subject: long\n\n" + bytes(random.Random(3).choices(b"abc.\n", k=50_000))


class HostileCase(FetchCase):
    """
    A server of the plainest kind with a message that a cut interrupts once.
    """

    messages = {b"uid-1": LONG, b"uid-2": b"", b"uid-3": b"\n.\n.."}
    session = PlainSession

    def make_server(self):
        return PlainServer(self.messages, self.session)

    def fetch_cut(self, **arguments):
        self.network.cuts = [Cut(down=20_000)]
        return self.fetch(**arguments)

    def retrieved(self):
        return [one for one in self.server.commands if one.startswith(b"RETR 1")]


class PlainTests(HostileCase):
    """
    A server that does nothing wrong.
    """

    def test_resumes(self):
        """
        It is resumed, by the rules, and an empty message is a message.
        """
        self.fetch_cut(delete_after=0)
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.server.messages, {})
        self.assertEqual(len(self.retrieved()), 2)
        self.assertRegex(self.retrieved()[1], rb"\ARETR 1 1[0-9]{4}\Z")
        self.assertEqual(self.said(events.BeganAgain), [])

    def test_economy(self):
        """
        After a reconnect the maildrop is not listed again.
        """
        self.fetch_cut()
        lists = [one for one in self.server.commands if one in (b"LIST", b"UIDL")]
        self.assertEqual(len(lists), 2)
        self.assertIn(b"UIDL 1", self.server.commands)
        self.assertIn(b"LIST 1", self.server.commands)


class WithoutExtensionTests(HostileCase):
    """
    A server that does not offer EXT-RETR.
    """

    def make_server(self):
        server = super().make_server()
        server.offered = [b"UIDL"]
        return server

    def test_whole(self):
        """
        It never gets an offset; a message comes whole or not at all, and that is said
        once.
        """
        self.fetch_cut()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.retrieved(), [b"RETR 1", b"RETR 1"])
        warned = [one.text for one in self.said(events.Warned)]
        self.assertEqual(len(warned), 1)
        self.assertIn("does not offer to resume", warned[0])

    def test_offerGone(self):
        """
        What is held of a message is of no use where the offer is withdrawn.
        """
        self.server.offered = [b"UIDL", b"EXT-RETR"]
        self.network.cuts = [Cut(down=20_000), Cut(down=1)]
        self.assertRaises(GaveUp, self.fetch, attempts=1)
        self.server.offered = [b"UIDL"]
        self.server.commands.clear()
        self.fetch()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.retrieved(), [b"RETR 1"])

    def test_noCapa(self):
        """
        A server that has no CAPA is served all the same.
        """

        class Without(PlainSession):
            def do_CAPA(self):
                return b"-ERR what?\r\n"

        self.server.session = Without
        self.fetch_cut()
        self.assertDelivered(*self.messages.values())


class LyingTests(HostileCase):
    """
    A server that offers EXT-RETR, and does something else.
    """

    def check(self, session, restarts=1, **arguments):
        self.server.session = session
        self.fetch_cut(**arguments)
        self.assertDelivered(*self.messages.values())
        self.assertEqual(len(self.said(events.BeganAgain)), restarts)

    def test_ignoresOffset(self):
        """
        Where the whole message comes instead of its rest, nothing of it is spliced.
        """

        class Ignoring(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                return super().do_RETR(word)

        self.check(Ignoring)

    def test_countsWrong(self):
        """
        Where an offset is counted in another way, nothing is spliced.
        """

        class Counting(PlainSession):
            def do_RETR(self, word, offset=b"1"):
                return super().do_RETR(word, b"%d" % (int(offset) - 1))

        self.check(Counting)

    def test_changes(self):
        """
        A message that changes under its unique-id is begun again, whatever is changed.
        """
        for change in (
            lambda message: message + b"more\r\n",
            lambda message: message.swapcase(),
            lambda message: message[:15] + b"X" * (len(message) - 15),
        ):
            self.setUp()
            old, new = LONG, change(LONG)

            class Changing(PlainSession):
                def do_PASS(self, password):
                    if self.server.sessions == 2:
                        self.server.messages[b"uid-1"] = new  # noqa: B023
                    return b"+OK\r\n"

            self.server.session = Changing
            self.fetch_cut()
            self.assertDelivered(new, b"", self.messages[b"uid-3"])
            self.assertNotEqual(old, new)
            self.assertEqual(len(self.said(events.BeganAgain)), 1)

    def test_sameTail(self):
        """
        A message whose changes do not show in what is compared is caught by its end.
        """

        class Changing(PlainSession):
            # The sizes stay those of the first message: this server is hostile.
            def size(self, word):
                return len(canonical(LONG)) if word in (b"1", 1) else super().size(word)

            def do_RETR(self, word, offset=b"0"):
                if word != b"1":
                    return super().do_RETR(word, offset)
                message = canonical(LONG)
                if self.server.sessions > 1:
                    message = canonical(LONG) + b"and more\r\n"
                rest = message[int(offset) :]
                return b"+OK\r\n" + stuffed(rest) + b".\r\n"

        self.server.session = Changing
        self.fetch_cut()
        self.assertDelivered(LONG + b"\nand more\n", b"", self.messages[b"uid-3"])
        self.assertEqual(len(self.said(events.BeganAgain)), 1)
        self.assertEqual(self.retrieved()[-1], b"RETR 1")

    def test_overrun(self):
        """
        A server that refuses the offset is asked for the whole.
        """

        class Refusing(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                if offset != b"0":
                    return b"-ERR [OFFSET-OVERRUN] message exists\r\n"
                return super().do_RETR(word)

        self.check(Refusing)

    def test_refusesArgument(self):
        """
        So is one that refuses it without a word on what it refuses.
        """

        class Refusing(PlainSession):
            def do_RETR(self, word, *offset):
                if offset:
                    return b"-ERR too many arguments\r\n"
                return super().do_RETR(word)

        self.check(Refusing)
        self.assertEqual(self.retrieved()[-1], b"RETR 1")

    def test_refusesAndHangsUp(self):
        """
        One that refuses it and hangs up may have meant something else: what is held is
        gone on with.
        """

        class Refusing(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                if offset != b"0" and self.server.sessions == 2:
                    self.transport.write(b"-ERR you have been idle for too long\r\n")
                    self.transport.loseConnection()
                    return None
                return super().do_RETR(word, offset)

        self.check(Refusing, restarts=0)
        self.assertEqual(self.retrieved()[1], self.retrieved()[2])

    def test_overrunOfNothing(self):
        """
        A server that finds an offset where there is none is not asked for ever.
        """

        class Refusing(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                if word == b"1":
                    return b"-ERR [OFFSET-OVERRUN] message exists\r\n"
                return super().do_RETR(word, offset)

        self.server.session = Refusing
        self.assertEqual(self.fetch().failed, 1)
        self.assertDelivered(b"", self.messages[b"uid-3"])
        self.assertEqual(self.retrieved(), [b"RETR 1"])

    def test_otherSizeInResponse(self):
        """
        A +OK line with another size than the list's is enough for doubt.
        """

        class Sizing(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                answer = super().do_RETR(word, offset)
                return answer.replace(b"+OK 6", b"+OK 7") if offset != b"0" else answer

        self.check(Sizing)

    def test_wrongSizes(self):
        """
        Sizes that are wrong do no harm to a message that comes whole, and one that was
        resumed is fetched whole.
        """

        class Sizing(PlainSession):
            def size(self, word):
                return len(self.server.messages[self.names[int(word) - 1]]) + 1

            def do_RETR(self, word, offset=b"0"):
                answer = super().do_RETR(word, offset)
                return b"+OK\r\n" + answer.partition(b"\r\n")[2]

        self.check(Sizing)
        self.setUp()
        self.server.session = Sizing
        self.fetch()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.said(events.BeganAgain), [])


class NumberingTests(HostileCase):
    """
    Servers whose numbers do not stay.
    """

    messages = {b"uid-%d" % number: b"message %d\n" % number for number in range(5)}

    def test_renumbers(self):
        """
        A server that numbers anew after each DELE loses nothing that was not delivered.
        """

        class Renumbering(PlainSession):
            def do_DELE(self, word):
                name = self.names.pop(int(word) - 1)
                self.server.gone.append(name)
                return b"+OK\r\n"

            def do_QUIT(self):
                for name in self.server.gone:
                    self.server.messages.pop(name, None)
                return super().do_QUIT()

        self.server.session, self.server.gone = Renumbering, []
        self.fetch()
        self.server.messages = {b"new": b"new\n", **self.messages}
        work = self.fetch(delete_after=0)
        self.assertEqual(work.messages, 1)
        self.assertEqual(self.server.messages, {})
        self.assertDelivered(b"new\n", *self.messages.values())

    def test_gone(self):
        """
        Messages that another client deletes between two connections move the numbers:
        all is listed anew.
        """

        class Deleting(PlainSession):
            def do_PASS(self, password):
                if self.server.sessions == 2:
                    del self.server.messages[b"uid-0"]
                    self.names.remove(b"uid-0")
                return b"+OK\r\n"

        self.server.session = Deleting
        self.network.cuts = [Cut(down=210)]
        self.fetch(delete_after=0)
        self.assertIn(b"message 4\r\n", self.target.messages)
        self.assertEqual(len(set(self.target.messages)), len(self.target.messages))
        self.assertEqual(self.server.messages, {})
        self.assertEqual(self.server.commands.count(b"LIST"), 2)

    def test_gonePending(self):
        """
        So it is where it happens before what was delivered is deleted.
        """

        class Deleting(PlainSession):
            def do_PASS(self, password):
                if self.server.sessions == 2:
                    del self.server.messages[b"uid-0"]
                    self.names.remove(b"uid-0")
                    self.server.messages[b"late"] = b"late\n"
                return b"+OK\r\n"

        self.server.session = Deleting
        total = self.total()
        self.setUp()
        self.server.session = Deleting
        self.network.cuts = [Cut(down=total - 8)]
        self.fetch(delete_after=0)
        self.assertEqual(list(self.server.messages), [b"late"])
        self.fetch(delete_after=0)
        self.assertDelivered(b"late\n", *self.messages.values())
        self.assertEqual(self.server.messages, {})

    def total(self):
        self.fetch(delete_after=0)
        (connection,) = self.network.connections
        return connection.received[connection.client]

    def test_namesGivenAgain(self):
        """
        New mail that gets the unique-id of old mail, which is gone, is fetched, and not
        deleted unread; over a link that breaks too.
        """
        self.fetch(delete_after=0)
        self.assertEqual(self.server.messages, {})
        again = {b"uid-1": LONG, b"uid-2": self.messages[b"uid-2"]}
        self.server.messages = dict(again)
        self.network.cuts = [None, Cut(down=20_000), Cut(down=1), Cut(down=1)]
        self.assertRaises(GaveUp, self.fetch, attempts=2, delete_after=0)
        self.fetch(delete_after=0)
        self.assertEqual(self.server.messages, {})
        self.assertDelivered(LONG, *self.messages.values())
        self.assertGreater(self.said(events.Started)[-1].resumed_at, 10_000)

    def test_sharedNames(self):
        """
        Messages that share a unique-id are all delivered, and none of them is deleted.
        """

        class Sharing(PlainSession):
            def do_UIDL(self, word=None):
                return super().do_UIDL(word).replace(b"uid-1", b"uid-2")

        self.server.session = Sharing
        self.fetch(delete_after=0)
        self.assertDelivered(*self.messages.values())
        self.assertEqual(sorted(self.server.messages), [b"uid-1", b"uid-2"])
        self.assertIn("share", self.said(events.Warned)[0].text)

    def test_sharedLater(self):
        """
        So it is where one comes later, or does not come in one run with the others,
        and where one is deleted by others.
        """

        class Sharing(PlainSession):
            def do_UIDL(self, word=None):
                answer = super().do_UIDL(word)
                return answer.replace(b"uid-1", b"uid-0").replace(b"uid-2", b"uid-0")

        self.server.session = Sharing
        first, third = self.messages[b"uid-0"], self.messages[b"uid-2"]
        self.server.messages = {b"uid-0": first}
        self.fetch(delete_after=3)
        self.server.messages = {b"uid-0": first, b"uid-1": LONG, b"uid-2": third}
        self.network.cuts = [None, Cut(down=20_000), Cut(down=1)]
        self.assertRaises(GaveUp, self.fetch, delete_after=3, attempts=1)
        self.fetch(delete_after=3)
        self.assertDelivered(first, LONG, third)
        self.network.clock.advance(4 * 86400)
        self.fetch(delete_after=3)
        self.assertEqual(len(self.server.messages), 3)
        self.server.messages = {b"uid-2": third}
        self.fetch(delete_after=3)
        self.assertEqual(self.server.messages, {})
        self.assertDelivered(first, LONG, third)

    def test_listsDisagree(self):
        """
        Lists that do not agree, or make no sense, are not believed.
        """
        for sizes, names in [
            (b"1 5\r\n", b"1 a\r\n2 b\r\n"),
            (b"1 5\r\n1 6\r\n", b"1 a\r\n"),
            (b"1 x\r\n", b"1 a\r\n"),
            (b"0 5\r\n", b"0 a\r\n"),
            (b"-1 5\r\n", b"-1 a\r\n"),
            (b"1 5\r\n", b"1\r\n"),
            (b"1 5\r\n", b"1 " + b"x" * 600 + b"\r\n"),
        ]:
            self.setUp()

            class Listing(PlainSession):
                def do_LIST(self):
                    return b"+OK\r\n" + sizes + b".\r\n"  # noqa: B023

                def do_UIDL(self):
                    return b"+OK\r\n" + names + b".\r\n"  # noqa: B023

            self.server.session = Listing
            self.assertRaises(GaveUp, self.fetch, attempts=2)
            self.assertEqual(self.target.messages, [])


class RefusingTests(HostileCase):
    """
    Servers that say no.
    """

    def refusing(self, command, answer, times=1):
        class Refusing(PlainSession):
            pass

        def refuse(session, *words):
            if session.server.sessions <= times:
                return b"-ERR " + answer + b"\r\n"
            return getattr(PlainSession, name)(session, *words)

        name = "do_" + command
        setattr(Refusing, name, refuse)
        self.server.session = Refusing

    def test_wait(self):
        """
        Where the maildrop is in use, or the server has a passing problem, it waits and
        comes again.
        """
        for answer in (
            b"[IN-USE] you again",
            b"[SYS/TEMP] later",
            b"[LOGIN-DELAY] not so fast",
            b"mailbox locked by another session",
        ):
            self.setUp()
            self.refusing("PASS", answer, times=3)
            self.fetch()
            self.assertDelivered(*self.messages.values())
            self.assertEqual(len(self.said(events.Cut)), 3)

    def test_longerWaits(self):
        """
        It waits longer each time, to a minute and a little; no two clients alike.
        """
        waits = []
        for _ in range(2):
            self.setUp()
            self.refusing("PASS", b"[IN-USE] you again", times=20)
            self.fetch(attempts=0, back_off=None)
            waits.append([one.wait for one in self.said(events.Cut)])
        for one, other in zip(*waits, strict=True):
            self.assertNotEqual(one, other)
        for each in waits:
            self.assertEqual(len(each), 20)
            self.assertTrue(1 <= each[0] < 4, each)
            self.assertGreater(each[8], each[0] * 4)
            self.assertTrue(all(50 < one < 70 for one in each[15:]), each)

    def test_loginDelay(self):
        """
        It waits for as long as the server says that it must.
        """
        self.refusing("PASS", b"[LOGIN-DELAY] wait")
        self.server.offered = [b"UIDL", b"LOGIN-DELAY 120"]
        self.fetch()
        self.assertEqual(self.said(events.Cut)[0].wait, 120)

    def test_stop(self):
        """
        Where the password is wrong, it does not come again.
        """
        for answer in (b"[AUTH] no", b"bad password", b"[SYS/PERM] ask your admin"):
            self.setUp()
            self.refusing("PASS", answer, times=99)
            self.assertRaises((NotAuthenticated, PermanentFailure), self.fetch)
            self.assertEqual(self.server.sessions, 1)

    def test_user(self):
        """
        So it is with a user.
        """
        self.refusing("USER", b"nobody", times=99)
        self.assertRaises(NotAuthenticated, self.fetch)

    def test_greeting(self):
        """
        A server that greets with -ERR is tried again.
        """

        class Busy(PlainSession):
            @property
            def greeting(self):
                return b"-ERR too busy" if self.server.sessions < 3 else b"+OK"

        self.server.session = Busy
        self.fetch()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.said(events.Cut)[0].why, "the server says: too busy")

    def test_message(self):
        """
        A message that is refused is left, and all others come.
        """
        for answer in (b"[NON-EXISTENT] no such message", b"changed", b"[SYS/TEMP] x"):
            self.setUp()

            class Refusing(PlainSession):
                def do_RETR(self, word, offset=b"0"):
                    if word == b"1":
                        return b"-ERR " + answer + b"\r\n"  # noqa: B023
                    return super().do_RETR(word, offset)

            self.server.session = Refusing
            work = self.fetch(delete_after=0)
            self.assertDelivered(b"", self.messages[b"uid-3"])
            self.assertEqual(list(self.server.messages), [b"uid-1"])
            self.assertEqual(work.failed, 1)
            self.assertEqual(len(self.said(events.Skipped)), 1)

    def test_top(self):
        """
        So it is where its header is refused.
        """
        self.refusing("TOP", b"no", times=99)
        self.fetch(max_size=10, headers_of_large=True)
        self.assertDelivered(b"", self.messages[b"uid-3"])

    def test_lists(self):
        """
        Without unique-ids nothing is fetched.
        """
        self.refusing("UIDL", b"what?", times=99)
        self.assertRaises(NotOffered, self.fetch)

    def test_listsLater(self):
        """
        Where they are refused for now, it waits and comes again.
        """
        for answer in (b"[SYS/TEMP] later", b"[IN-USE] you again"):
            for command in ("LIST", "UIDL"):
                self.setUp()
                self.refusing(command, answer)
                self.fetch()
                self.assertDelivered(*self.messages.values())

    def test_delete(self):
        """
        A deletion that is refused, and one that QUIT says was not done, are done by the
        next run.
        """
        self.refusing("DELE", b"no", times=1)
        self.fetch(delete_after=0)
        self.assertEqual(self.said(events.Deleted)[0].messages, 0)
        self.fetch(delete_after=0)
        self.assertEqual(self.server.messages, {})
        self.setUp()
        self.refusing("QUIT", b"some deleted messages not removed", times=1)
        self.fetch(delete_after=0)
        self.assertIn("not all", self.said(events.Warned)[0].text)
        self.fetch(delete_after=0)
        self.assertEqual(self.server.messages, {})
        self.assertDelivered(*self.messages.values())


class QuittingTests(HostileCase):
    """
    Servers that end a session in another way.
    """

    def check(self, session):
        self.server.session = session
        for arguments, connections in [
            ({"dry_run": True}, 1),
            ({}, 1),
            ({"delete_after": 0}, 2),
        ]:
            self.network.connections.clear()
            self.fetch(**arguments, attempts=2)
            self.assertEqual(len(self.network.connections), connections)
            self.assertEqual(len(self.said(events.Finished)), 1)
            self.events.clear()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(self.server.messages, {})

    def test_hangsUp(self):
        """
        One that hangs up at QUIT is not come back to, but to see what it has deleted.
        """

        class Leaving(PlainSession):
            def do_QUIT(self):
                self.transport.write = lambda _: None
                super().do_QUIT()

        self.check(Leaving)

    def test_silent(self):
        """
        Nor is one that says nothing then.
        """

        class Silent(PlainSession):
            def do_QUIT(self):
                for index in self.deleted:
                    self.server.messages.pop(self.names[index], None)

        self.check(Silent)

    def test_refuses(self):
        """
        One that refuses to end a session in which nothing is deleted is left.
        """

        class Refusing(PlainSession):
            def do_QUIT(self):
                return b"-ERR stay\r\n"

        self.server.session = Refusing
        self.fetch(attempts=2)
        self.assertEqual(len(self.network.connections), 1)


class EndlessTests(HostileCase):
    """
    Servers that do not stop.
    """

    messages = {b"uid-1": b"x\n", b"uid-2": b"y\n"}

    def endless(self, begin, more):
        class Endless(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                if word != b"1":
                    return super().do_RETR(word, offset)
                self.transport.write(begin)
                for _ in range(40):
                    self.transport.write(more)
                return None

        self.server.session = Endless

    def test_body(self):
        """
        A body without end is given up, and the others come.
        """
        self.endless(b"+OK\r\n", b"x" * 65536)
        work = self.fetch()
        self.assertDelivered(b"y\n")
        self.assertEqual(work.failed, 1)
        self.assertIn("does not end", self.said(events.Skipped)[0].why)
        self.assertEqual(work.journal.partials.labels(), [])

    def test_bodyAlone(self):
        """
        So it is where there are no others.
        """
        del self.server.messages[b"uid-2"]
        self.endless(b"+OK\r\n", b"x" * 65536)
        self.assertEqual(self.fetch().failed, 1)

    def test_otherProtocol(self):
        """
        A server of something else is given up as one that does not speak POP3.
        """

        class Other(PlainSession):
            greeting = b"220 mail.example ESMTP"

        self.server.session = Other
        error = self.assertRaises(GaveUp, self.fetch, attempts=2)
        self.assertEqual(status_of(error), 76)

    def test_line(self):
        """
        A response line of a megabyte is given up.
        """
        self.endless(b"+OK ", b"x" * 65536)
        self.assertRaises(GaveUp, self.fetch, attempts=2)

    def test_name(self):
        """
        A list with a unique-id that is far too long is not listened to any more.
        """

        class Endless(PlainSession):
            def do_UIDL(self, word=None):
                return b"+OK\r\n1 " + b"x" * 1000 + b"\r\n"

        self.server.session = Endless
        error = self.assertRaises(GaveUp, self.fetch, attempts=1)
        self.assertIn("makes no sense", str(error))

    def test_stall(self):
        """
        A server that stops in the middle of a message is left, and come back to.
        """

        class Stalling(PlainSession):
            def do_RETR(self, word, offset=b"0"):
                if self.server.sessions == 1:
                    return b"+OK\r\nx"
                return super().do_RETR(word, offset)

        self.server.session = Stalling
        self.fetch()
        self.assertDelivered(*self.messages.values())
        self.assertEqual(len(self.network.connections), 2)

    def test_header(self):
        """
        So it is with a header, whatever it is asked for.
        """

        class Endless(PlainSession):
            def do_TOP(self, word, lines):
                if word != b"1":
                    return super().do_TOP(word, lines)
                begin = self.server.begin
                return b"+OK\r\n" + begin + b"X: more\r\n" * 200_000

        for begin in (b"", b"\r\n", b"Subject: x\r\n\r\n"):
            for arguments in (
                {"wanted": lambda header: True},
                {"max_size": 1, "headers_of_large": True},
            ):
                self.setUp()
                self.server.session, self.server.begin = Endless, begin
                self.assertEqual(self.fetch(**arguments).failed, 1)
                self.assertEqual(len(self.target.messages), 1)
                self.assertIn("header", self.said(events.Skipped)[0].why)

    def test_topOfAll(self):
        """
        A server that sends all of the message, where its header is asked for, is
        understood.
        """

        class Sending(PlainSession):
            def do_TOP(self, word, lines):
                return self.do_RETR(word)

        self.server.session = Sending
        body = b"y" * 70 + b"\n\n"
        self.server.messages[b"uid-1"] = b"A: b\n\n" + body * 30_000
        self.server.messages[b"uid-2"] = b"\n\n" + body
        work = self.fetch(max_size=20, headers_of_large=True)
        self.assertEqual(work.failed, 0)
        headers = [one.partition(b"\r\n")[2] for one in self.target.messages]
        self.assertEqual(headers, [b"A: b\r\n\r\n", b"\r\n"])
