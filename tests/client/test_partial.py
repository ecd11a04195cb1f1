"""
Partials: what is held, and of what message.
"""

import json
import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.client import partial as module
from extretr.client.partial import Label, Partials


class PartialTests(SynchronousTestCase):
    """
    A folder of partials.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()) / "partials"
        self.now = 1000.0
        self.partials = Partials(self.folder, lambda: self.now)

    def begin(self, octets, unique_id=b"uid", resumable=True):
        partial = self.partials.begin(unique_id, 5000, resumable)
        partial.append(octets)
        return partial

    def boot(self, name):
        self.patch(module, "boot", lambda: name)

    def test_goneMeanwhile(self):
        """
        A partial that a run under way removes just then does not show.
        """
        self.begin(b"one").close()
        (path,) = self.folder.glob("*.part")
        path.unlink()
        path.symlink_to("nowhere")
        self.assertEqual(self.partials.labels(), [])

    def test_kept(self):
        """
        What was held is found again, by another process too, and gone on with.
        """
        partial = self.begin(b"one")
        partial.close()
        found = self.partials.find(b"uid")
        self.assertEqual((found.size, found.label.announced), (3, 5000))
        self.assertEqual(found.label.begun, 1000.0)
        found.append(b"two")
        self.assertEqual(found.size, 6)
        self.assertEqual(found.read(2, 5), b"etw")
        self.assertEqual(b"".join(found.pieces()), b"onetwo")
        self.assertEqual(b"".join(found.pieces()), b"onetwo")
        found.close()

    def test_private(self):
        """
        Nobody else may read what is held.
        """
        self.begin(b"one").close()
        for path in [self.folder, *self.folder.iterdir()]:
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode & 0o077, 0, path)

    def test_otherMessage(self):
        """
        There is nothing for a message of which nothing was held.
        """
        self.begin(b"one").close()
        self.assertIsNone(self.partials.find(b"other"))
        self.assertTrue(self.partials.has(b"uid"))
        self.assertFalse(self.partials.has(b"other"))

    def test_noLabel(self):
        """
        A file whose label is gone, garbled, or another's is removed, not gone on with.
        """
        whole = json.loads(Label(unique_id=b"uid", announced=1, begun=1.0).format())
        for text in [
            None,
            b"",
            b"{",
            b"[" * 100_000,
            b"[]",
            b"{}",
            json.dumps({**whole, "unique_id": "other"}).encode(),
            json.dumps({**whole, "announced": -1}).encode(),
            json.dumps({**whole, "announced": "5"}).encode(),
            json.dumps({**whole, "synced": None}).encode(),
            json.dumps({**whole, "begun": "x"}).encode(),
            json.dumps({**whole, "resumable": 1}).encode(),
            json.dumps({**whole, "unique_id": "\u2026"}).encode(),
            json.dumps({**whole, "more": 1}).encode(),
        ]:
            self.begin(b"one").close()
            (label,) = self.folder.glob("*.json")
            if text is None:
                label.unlink()
            else:
                label.write_bytes(text)
            self.assertIsNone(self.partials.find(b"uid"), text)
            self.assertEqual(list(self.folder.iterdir()), [], text)

    def test_notResumable(self):
        """
        What was begun without resuming is not gone on with.
        """
        self.begin(b"one", resumable=False).close()
        self.assertIsNone(self.partials.find(b"uid"))

    def test_labelAlone(self):
        """
        A label whose file was never begun is nothing.
        """
        self.begin(b"one").close()
        for path in self.folder.glob("*.part"):
            path.unlink()
        self.assertIsNone(self.partials.find(b"uid"))

    def test_sync(self):
        """
        The label says what is on the disk for sure.
        """
        partial = self.begin(b"one")
        self.assertEqual(self.partials.labels()[0][0].synced, 0)
        partial.sync()
        partial.append(b"two")
        self.assertEqual(
            [(label.synced, octets) for label, octets in self.partials.labels()],
            [(3, 6)],
        )
        partial.close()

    def test_powerLoss(self):
        """
        What was not synced before the machine went down is not trusted.
        """
        self.boot("first")
        partial = self.begin(b"one")
        partial.sync()
        partial.append(b"two")
        partial.close()
        self.boot("second")
        found = self.partials.find(b"uid")
        self.assertEqual(b"".join(found.pieces()), b"one")
        found.append(b"2")
        found.sync()
        found.append(b"3")
        found.close()
        found = self.partials.find(b"uid")
        self.assertEqual(b"".join(found.pieces()), b"one23")
        found.close()

    def test_noBootName(self):
        """
        Where it cannot be told whether the machine went down, it may have.
        """
        self.boot("")
        partial = self.begin(b"one")
        partial.sync()
        partial.append(b"two")
        partial.close()
        found = self.partials.find(b"uid")
        self.assertEqual(found.size, 3)
        found.close()

    def test_discard(self):
        """
        What is discarded is gone, open or not.
        """
        self.begin(b"one").discard()
        self.begin(b"two").close()
        self.partials.discard(b"uid")
        self.assertEqual(list(self.folder.iterdir()), [])
        self.partials.discard(b"uid")

    def test_tidy(self):
        """
        Half of a pair, and a draft, which a run that was killed has left, are removed.
        """
        self.begin(b"one").close()
        self.begin(b"two", b"other").close()
        self.partials.tidy()
        self.assertEqual(len(list(self.folder.iterdir())), 4)
        label, _ = sorted(self.folder.glob("*.json"))
        label.with_suffix(".part").unlink()
        (self.folder / "x.part").write_bytes(b"three")
        (self.folder / "x.json.new").write_bytes(b"draft")
        self.partials.tidy()
        left = sorted(path.suffix for path in self.folder.iterdir())
        self.assertEqual(left, [".json", ".part"])

    def test_beginAgain(self):
        """
        To begin a message anew is to forget what was held of it.
        """
        self.begin(b"a long one").close()
        partial = self.begin(b"two")
        self.assertEqual(b"".join(partial.pieces()), b"two")
        partial.close()

    def test_anyUniqueId(self):
        """
        A unique-id may hold any octets: it never becomes part of a path.
        """
        for unique_id in (b"../../etc/passwd", b"\xff\x00\n", b"x" * 500):
            self.begin(b"one", unique_id).close()
            found = self.partials.find(unique_id)
            self.assertEqual(found.label.unique_id, unique_id)
            found.close()
        self.assertEqual(len(list(self.folder.iterdir())), 6)

    def test_fullDisk(self):
        """
        What a full disk took is held, and no more than that.
        """
        partial = self.begin(b"one")
        answers = [2]

        def write(descriptor, octets):
            if not answers:
                raise OSError("disk full")
            return real(descriptor, octets[: answers.pop()])

        real = os.write
        self.patch(module.os, "write", write)
        self.assertRaises(OSError, partial.append, b"two")
        self.assertEqual(partial.size, 5)
        self.assertEqual(b"".join(partial.pieces()), b"onetw")
        partial.close()
