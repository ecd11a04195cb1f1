"""
A whole fetch, on links that break at any octet.
"""

import random

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError

from extretr.client import events
from extretr.client.fetch import GaveUp, Stopped
from extretr.client.refusals import NotAuthenticated, NotOffered
from tests.client.fetching import FetchCase
from tests.client.network import Cut, canonical

SHORT = {
    b"uid-1": b"Subject: one\n\n.dot\r\n..\n.\nno end",
    b"uid-2": b"\n",
    b"uid-3": b"Subject: three\r\n\r\n" + b"x" * 3000 + b"\n.\n" + b"y" * 200 + b"\n",
}


class FetchTests(FetchCase):
    """
    A link that holds.
    """

    messages = SHORT

    def test_keep(self):
        """
        All mail is delivered and kept on the server; the next time only what is new.
        """
        self.fetch()
        self.assertDelivered(*SHORT.values())
        self.assertEqual(self.server.messages, SHORT)
        self.server.messages = {b"new": b"New\n", **self.server.messages}
        self.server.commands.clear()
        work = self.fetch()
        self.assertDelivered(b"New\n", *SHORT.values())
        self.assertEqual(
            [one for one in self.server.commands if b"RETR" in one], [b"RETR 1"]
        )
        self.assertEqual((work.messages, work.octets), (1, 5))
        self.server.commands.clear()
        self.fetch()
        asked = [command.split()[0] for command in self.server.commands]
        self.assertEqual(asked, [b"CAPA", b"AUTH", b"CAPA", b"LIST", b"UIDL", b"QUIT"])

    def test_delete(self):
        """
        What is delivered is deleted, from the last to the first, and only then.
        """
        self.fetch(delete_after=0)
        self.assertDelivered(*SHORT.values())
        self.assertEqual(self.server.messages, {})
        deleted = [one for one in self.server.commands if one.startswith(b"DELE")]
        self.assertEqual(deleted, [b"DELE 3", b"DELE 2", b"DELE 1"])
        self.assertEqual(self.said(events.Deleted)[0].messages, 3)

    def test_deleteLater(self):
        """
        What was delivered days ago is deleted when its time has come.
        """
        self.fetch(delete_after=2)
        self.network.clock.advance(86400)
        self.fetch(delete_after=2)
        self.assertEqual(len(self.server.messages), 3)
        self.network.clock.advance(86400)
        self.fetch(delete_after=2)
        self.assertEqual(self.server.messages, {})
        self.assertDelivered(*SHORT.values())

    def test_dryRun(self):
        """
        A dry run says what would be done, and does nothing.
        """
        self.fetch(dry_run=True, delete_after=0)
        self.assertEqual(self.target.messages, [])
        self.assertEqual(self.server.messages, SHORT)
        wanted = self.said(events.Wanted)
        self.assertEqual([one.action for one in wanted], ["fetch"] * 3)
        self.assertEqual([one.number for one in wanted], [1, 2, 3])
        self.fetch()
        self.events.clear()
        self.fetch(dry_run=True, delete_after=0)
        self.assertEqual(
            [one.action for one in self.said(events.Wanted)], ["delete"] * 3
        )
        self.assertEqual(self.server.messages, SHORT)

    def test_large(self):
        """
        A message above the limit is left alone, or fetched by its header, which says
        so; it stays on the server.
        """
        self.fetch(delete_after=0, max_size=1000)
        self.assertDelivered(SHORT[b"uid-1"], SHORT[b"uid-2"])
        self.assertEqual(self.said(events.Skipped)[0].unique_id, b"uid-3")
        for _ in range(2):
            self.fetch(delete_after=0, max_size=1000, headers_of_large=True)
        self.assertEqual(
            self.target.messages[2:],
            [b"X-Extretr-Left-On-Server: 3225 octets\r\nSubject: three\r\n\r\n"],
        )
        self.assertEqual(list(self.server.messages), [b"uid-3"])
        self.fetch(delete_after=0)
        self.assertEqual(self.target.messages[3:], [canonical(SHORT[b"uid-3"])])
        self.assertEqual(self.server.messages, {})

    def test_largeTold(self):
        """
        Where a header is to do, that is said, and its message is not counted.
        """
        self.fetch(dry_run=True, max_size=1000, headers_of_large=True)
        wanted = self.said(events.Wanted)
        self.assertEqual([one.action for one in wanted], ["fetch", "fetch", "header"])
        (listed,) = self.said(events.Listed)
        self.assertEqual((listed.new, listed.octets), (3, wanted[0].size + 2))

    def test_filter(self):
        """
        What the filter does not want by its header is left, and not asked about again.
        """
        asked = []

        def wanted(source):
            header = b"".join(source.pieces())
            asked.append(header)
            return b"three" not in header

        self.fetch(wanted=wanted, delete_after=0)
        self.assertDelivered(SHORT[b"uid-1"], SHORT[b"uid-2"])
        self.assertEqual(list(self.server.messages), [b"uid-3"])
        self.assertEqual(asked[2], b"Subject: three\r\n\r\n")
        self.fetch(wanted=wanted, delete_after=0)
        self.assertEqual(len(asked), 3)

    def test_slowFilter(self):
        """
        What takes the filter longer than the server waits for is asked about once.
        """
        asked = []

        def wanted(source):
            asked.append(source)
            answer = Deferred()
            self.network.clock.callLater(70, answer.callback, True)
            return answer

        self.fetch(wanted=wanted, attempts=2)
        self.assertDelivered(*SHORT.values())
        self.assertEqual(len(asked), 3)

    def test_fewFilters(self):
        """
        However many headers come at once, few filters run at once.
        """
        running, most = set(), 0

        def wanted(header):
            nonlocal most
            answer = Deferred()
            running.add(answer)
            most = max(most, len(running))

            def end():
                running.discard(answer)
                answer.callback(True)

            self.network.clock.callLater(1, end)
            return answer

        for number in range(40):
            self.server.messages[b"more-%d" % number] = b"Subject: %d\n\n" % number
        self.fetch(wanted=wanted)
        self.assertEqual(len(self.target.messages), 43)
        self.assertIn(most, range(1, 5))

    def test_filterGains(self):
        """
        A connection that brings nothing but what the filter does not want is not in
        vain.
        """
        for number in range(40):
            self.server.messages[b"more-%d" % number] = b"Subject: %d\n\n" % number
        self.network.cuts = [Cut(down=1900), *[Cut(down=900)] * 40]
        self.fetch(wanted=lambda header: False, attempts=2)
        self.assertGreater(len(self.network.connections), 3)
        self.assertEqual(self.target.messages, [])

    def test_wrongPassword(self):
        """
        A password that is refused is not tried again.
        """
        self.assertRaises(NotAuthenticated, self.fetch, secret=b"wrong")
        self.assertEqual(len(self.network.connections), 1)

    def test_events(self):
        """
        What happens is told, in order.
        """
        self.fetch(delete_after=0)
        names = [type(event).__name__ for event in self.events]
        self.assertEqual(names[:3], ["Connected", "Listed", "Started"])
        self.assertEqual(names[-2:], ["Deleted", "Finished"])
        self.assertEqual(names.count("Delivered"), 3)
        fields = self.said(events.Started)[2].fields()
        self.assertEqual(
            fields,
            {
                "event": "started",
                "account": "test",
                "unique_id": "uid-3",
                "number": 3,
                "size": 3225,
                "resumed_at": 0,
            },
        )

    def test_surprise(self):
        """
        What the user may not expect of the target is told before all else.
        """
        self.target.prepare = lambda: "the Maildir /home/m is new"
        self.fetch()
        first = self.events[0]
        self.assertIsInstance(first, events.Warned)
        self.assertEqual(first.text, "the Maildir /home/m is new")


class StopTests(FetchCase):
    """
    Stopped from outside.
    """

    messages = SHORT

    def stop(self):
        self.assertRaises(Stopped, self.fetch, stopping=True)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_connecting(self):
        """
        A connection that is being made is given up.
        """

        def connect(factory):
            return Deferred(lambda one: one.errback(ConnectingCancelledError(None)))

        self.network.connect = connect
        self.stop()

    def test_silent(self):
        """
        So is one whose server says nothing more, and what has come is kept.
        """
        self.network.cuts = [Cut(down=3400, silent=True)]
        self.stop()
        self.assertDelivered(SHORT[b"uid-1"], SHORT[b"uid-2"])
        self.fetch()
        self.assertDelivered(*SHORT.values())
        self.assertGreater(self.said(events.Started)[-1].resumed_at, 2000)

    def test_filter(self):
        """
        So is a filter that does not answer.
        """
        ended = []

        def wanted(header):
            return Deferred(ended.append)

        self.assertRaises(Stopped, self.fetch, stopping=True, wanted=wanted)
        self.assertGreater(len(ended), 0)
        self.fetch()
        self.assertDelivered(*SHORT.values())

    def test_waiting(self):
        """
        So is a wait.
        """
        self.network.cuts = [Cut(down=1)]
        self.stop()
        self.assertEqual(len(self.said(events.Cut)), 1)


class CutTests(FetchCase):
    """
    A link that breaks.
    """

    messages = SHORT

    def check(self, cut):
        self.setUp()
        self.network.cuts = [cut]
        self.fetch(delete_after=0)
        self.assertDelivered(*SHORT.values())
        self.assertEqual(self.server.messages, {})
        self.assertEqual(list(self.folder.glob("partials/*")), [])
        return self.network.connections

    def whole(self):
        self.setUp()
        self.fetch(delete_after=0)
        (connection,) = self.network.connections
        return connection.received

    def test_everyOctetDown(self):
        """
        Wherever the server's octets are cut off, all mail arrives once, and is deleted.
        """
        received = self.whole()
        total = max(received.values())
        self.assertGreater(total, 3600)
        for down in [*range(1, 700), *range(700, 3400, 9), *range(3400, total)]:
            connections = self.check(Cut(down=down))
            self.assertGreater(len(connections), 1, down)

    def test_everyOctetUp(self):
        """
        So it is with the client's octets.
        """
        received = self.whole()
        total = min(received.values())
        self.assertGreater(total, 90)
        for up in range(1, total):
            connections = self.check(Cut(up=up))
            self.assertGreater(len(connections), 1, up)

    def test_silence(self):
        """
        Where nobody is told that the link is gone, the client finds out.
        """
        total = max(self.whole().values())
        for down in range(20, total, 61):
            connections = self.check(Cut(down=down, silent=True))
            self.assertGreater(len(connections), 1, down)


class ResumeTests(FetchCase):
    """
    A message that is longer than the link lasts.
    """

    random = random.Random(20)
    messages = {
        b"uid-%d" % number: b"S: %d\n\n" % number + octets
        for number, octets in enumerate(
            [
                b"short\n",
                bytes(random.choices(b".\r\nab", k=300_000)),
                b".\n" * 40_000,
            ]
        )
    }

    def test_converges(self):
        """
        A message arrives over connections that each bring a small part of it, and
        nothing but the overlap is sent twice.
        """
        size = sum(len(canonical(one)) for one in self.messages.values())
        self.network.cuts = [Cut(down=20_000)] * 60
        work = self.fetch()
        self.assertDelivered(*self.messages.values())
        received = sum(max(one.received.values()) for one in self.network.connections)
        count = len(self.network.connections)
        self.assertGreater(count, 25)
        # Stuffing is about a sixth of these.
        stuffing = sum(canonical(one).count(b"\r\n.") for one in self.messages.values())
        self.assertLess(received, size + stuffing + count * 2500)
        self.assertGreater(work.saved, size * 0.8)
        self.assertEqual(work.octets, size)

    def test_prompt(self):
        """
        What has come is delivered before a message is waited for that may take long.
        """
        self.network.cuts = [Cut(down=90_000, silent=True)]
        self.assertRaises(Stopped, self.fetch, stopping=True)
        short = canonical(self.messages[b"uid-0"])
        self.assertEqual(self.target.messages, [short])
        names = [type(event).__name__ for event in self.events]
        self.assertLess(names.index("Delivered"), len(names) - 1)
        self.assertEqual(names[-1], "Progress")

    def test_acrossRuns(self):
        """
        Another run, later, goes on where one gave up.
        """
        self.network.cuts = [Cut(down=90_000), *[Cut(down=300)] * 3]
        self.assertRaises(GaveUp, self.fetch, attempts=3)
        held = [octets for _, octets in self.work.journal.partials.labels()]
        self.assertEqual(len(held), 1)
        self.assertGreater(held[0], 70_000)
        self.fetch()
        self.assertDelivered(*self.messages.values())
        first = self.said(events.Started)[-2]
        self.assertEqual((first.unique_id, first.resumed_at), (b"uid-1", held[0]))

    def test_headerBefore(self):
        """
        So it does where the header of the message was delivered long before.
        """
        self.fetch(max_size=100_000, headers_of_large=True)
        self.network.cuts = [None, Cut(down=90_000), *[Cut(down=300)] * 3]
        self.assertRaises(GaveUp, self.fetch, attempts=3)
        self.fetch()
        self.assertGreater(self.said(events.Started)[-2].resumed_at, 70_000)
        self.assertIn(canonical(self.messages[b"uid-1"]), self.target.messages)

    def test_gain(self):
        """
        As long as each connection brings something, it goes on; then it gives up.
        """
        self.network.cuts = [Cut(down=5_000)] * 200
        self.fetch(attempts=2)
        self.assertDelivered(*self.messages.values())
        self.assertGreater(len(self.network.connections), 80)

    def test_withoutResuming(self):
        """
        With resuming turned off, no offset is sent, and nothing is kept.
        """
        self.network.cuts = [Cut(down=100_000)] * 2
        self.fetch(resume=False)
        self.assertDelivered(*self.messages.values())
        asked = [one for one in self.server.commands if one.startswith(b"RETR")]
        self.assertTrue(all(one.count(b" ") == 1 for one in asked), asked)

    def test_random(self):
        """
        Links that are cut at random, one way or the other, loudly or not.
        """
        for _ in range(12):
            self.setUp()
            self.network.cuts = [
                Cut(
                    down=self.random.randrange(1, 60_000),
                    up=self.random.choice([None, None, self.random.randrange(1, 300)]),
                    silent=self.random.random() < 0.2,
                )
                for _ in range(40)
            ]
            self.fetch(attempts=0, delete_after=0)
            self.assertDelivered(*self.messages.values())
            self.assertEqual(self.server.messages, {})

    def test_partialOfAnother(self):
        """
        What is held of a message that is gone is removed when its days are over.
        """
        self.network.cuts = [Cut(down=90_000), *[Cut(down=300)] * 2]
        self.assertRaises(GaveUp, self.fetch, attempts=2)
        del self.server.messages[b"uid-1"]
        self.fetch(partial_days=3)
        self.assertEqual(len(self.work.journal.partials.labels()), 1)
        self.network.clock.advance(3 * 86400 + 1)
        self.fetch(partial_days=3)
        self.assertEqual(self.work.journal.partials.labels(), [])

    def test_noNames(self):
        """
        A server without unique-ids is refused.
        """

        def without(session):
            session.do_UIDL = None
            return session

        build = self.server.build
        self.server.build = lambda clock: without(build(clock))
        self.assertRaises(NotOffered, self.fetch)
