"""
One download: the offset, the overlap, and all the doubts.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.client.download import OVERLAP, SPILL, SYNC_EVERY, Doubt, Download
from extretr.client.partial import Partials
from extretr.client.refusals import ProtocolViolation


class DownloadTests(SynchronousTestCase):
    """
    A message of 10,000 octets.
    """

    size = 10_000

    def setUp(self):
        self.partials = Partials(Path(self.mktemp()), lambda: 0.0)
        self.now = 0.0
        self.begun = []
        self.held = []
        self.message = bytes(range(1, 251)) * 40
        self.message = self.message.replace(b"\r", b"x").replace(b"\n", b"y")

    def download(self, announced=None, resuming=True):
        return Download(
            b"uid",
            self.size if announced is None else announced,
            self.partials,
            lambda: self.now,
            resuming,
            self.begun.append,
            self.held.append,
        )

    def hold(self, octets):
        """
        Have a connection cut behind some octets.
        """
        download = self.download()
        download.started(b"10000 octets")
        download.received(octets)
        return download.cut()

    def octets(self, source):
        octets = b"".join(source.pieces())
        self.assertEqual(len(octets), source.size)
        return octets

    def test_whole(self):
        """
        A message that comes at once is never on the disk.
        """
        download = self.download()
        self.assertEqual(download.offset, 0)
        download.started(b"whatever")
        for begin in range(0, self.size, 100):
            download.received(self.message[begin : begin + 100])
        self.assertEqual(self.octets(download.finish()), self.message)
        self.assertEqual(self.partials.labels(), [])
        self.assertEqual((self.begun, self.held[-1]), ([0], 10_000))

    def test_resumed(self):
        """
        A message that was cut goes on before the end of what is held, by as much as is
        compared.
        """
        self.assertEqual(self.hold(self.message[:5000]), 5000)
        download = self.download()
        self.assertEqual(download.offset, 5000 - OVERLAP)
        self.assertEqual(download.resumed_at, 5000)
        download.started(b"10000 octets (%d to come)" % (self.size - download.offset))
        for begin in range(download.offset, self.size, 7):
            download.received(self.message[begin : min(begin + 7, self.size)])
        self.assertEqual(self.octets(download.finish()), self.message)
        self.assertEqual(self.begun, [0, 5000])
        self.assertEqual(self.held[0], 5000)
        self.assertEqual(self.held[1:3], [5005, 5012])
        self.assertEqual(self.held[-1], self.size)

    def test_cutInOverlap(self):
        """
        A cut in what is compared loses nothing and gains nothing.
        """
        self.hold(self.message[:5000])
        download = self.download()
        download.received(self.message[download.offset : download.offset + 10])
        self.assertEqual(download.cut(), 0)
        self.assertEqual(self.download().resumed_at, 5000)

    def test_notAfterCR(self):
        """
        The octet before the offset is never CR: another one is asked for again.
        """
        octets = b"x" * 3000 + b"\r\n" + b"y" * (OVERLAP - 1)
        self.hold(octets)
        self.assertEqual(octets[-OVERLAP - 1 :][:2], b"\r\n")
        self.assertEqual(self.download().offset, 3000)
        self.setUp()
        self.hold(b"\r\n" + b"y" * (OVERLAP - 1))
        self.assertEqual(self.download().offset, 0)

    def test_tooLittle(self):
        """
        What is no more than would be compared is thrown away.
        """
        self.assertEqual(self.hold(self.message[:OVERLAP]), 0)
        self.assertEqual(self.hold(self.message[: OVERLAP + 1]), OVERLAP + 1)
        self.assertEqual(self.download().offset, 1)

    def test_otherSize(self):
        """
        Where the list has another size than before, what is held is of no use.
        """
        self.hold(self.message[:5000])
        self.assertRaises(Doubt, self.download, announced=self.size + 1)
        self.assertEqual(self.download(announced=self.size + 1).offset, 0)

    def test_otherSizeInResponse(self):
        """
        So it is where the +OK line has; one without a size says nothing.
        """
        self.hold(self.message[:5000])
        download = self.download()
        self.assertRaises(Doubt, download.started, b"9999 octets")
        self.assertRaises(Doubt, download.started, b"message follows: 9999")
        download.started(b"message follows")
        download.started(b"10000")
        download.discard()
        self.download().started(b"9999 octets")

    def test_mismatch(self):
        """
        One octet that differs is enough, wherever it is in what is compared.
        """
        for at in (0, 1, 500, OVERLAP - 1):
            self.hold(self.message[:5000])
            download = self.download()
            octets = bytearray(self.message[download.offset :])
            octets[at] ^= 1
            with self.assertRaises(Doubt):
                for begin in range(0, OVERLAP, 100):
                    download.received(bytes(octets[begin : begin + 100]))
            download.discard()
            self.assertEqual(self.partials.labels(), [])

    def test_endsEarly(self):
        """
        A message that ends before what is held of it is another.
        """
        self.hold(self.message[:5000])
        download = self.download()
        download.received(self.message[download.offset : download.offset + 10])
        self.assertRaises(Doubt, download.finish)

    def test_endsElsewhere(self):
        """
        A message that was gone on with ends at the size that was announced, or it is
        not believed; one that comes whole may end where it likes.
        """
        for end in (9_999, 10_001):
            message = (self.message + b"z")[:end]
            self.hold(self.message[:5000])
            download = self.download()
            download.received(message[download.offset :])
            self.assertRaises(Doubt, download.finish)
            download.discard()
            download = self.download()
            download.received(message)
            self.assertEqual(self.octets(download.finish()), message)

    def test_noEnd(self):
        """
        A message that is far longer than it could be is given up.
        """
        download = self.download(announced=10)
        download.received(bytes(1024 * 1024 + 20))
        self.assertRaises(ProtocolViolation, download.received, b"x")
        download.discard()

    def test_spill(self):
        """
        What is long, or takes long, goes to the disk.
        """
        download = self.download(announced=SPILL)
        download.received(bytes(SPILL - 1))
        self.assertEqual(self.partials.labels(), [])
        download.received(b"x")
        self.assertEqual([held for _, held in self.partials.labels()], [SPILL])
        download.discard()
        download = self.download()
        download.started(b"")
        download.received(b"one")
        self.now += SYNC_EVERY
        download.received(b"two")
        (label, held), *_ = self.partials.labels()
        self.assertEqual((label.synced, held), (6, 6))
        download.received(b"three")
        self.assertEqual(self.octets(download.finish()), b"onetwothree")
        download.discard()

    def test_withoutResuming(self):
        """
        Without resuming nothing is kept, and nothing that was kept is used.
        """
        self.hold(self.message[:5000])
        download = self.download(resuming=False)
        self.assertEqual(download.offset, 0)
        self.assertEqual(self.partials.labels(), [])
        download.received(bytes(SPILL))
        self.assertIsNone(self.partials.find(b"other"))
        self.assertFalse(self.partials.labels()[0][0].resumable)
        self.assertEqual(download.cut(), 0)
        self.assertEqual(self.partials.labels(), [])

    def test_fullDisk(self):
        """
        Where what was in memory cannot be kept at a cut, the cut goes on.
        """
        download = self.download()
        download.received(self.message[:5000])
        self.patch(self.partials, "begin", self.full)
        self.assertEqual(download.cut(), 0)
        self.assertEqual(self.partials.labels(), [])

    def full(self, *_):
        raise OSError("disk full")
