"""
`extretr.stores.unique_ids`: the unique-ids of a Maildir.
"""

import os

from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import unique_ids
from extretr.stores.unique_ids import (
    UNIQUE_IDS,
    assign,
    base_name,
    couriers,
    dovecots,
    named,
)
from extretr.syntax import is_unique_id


class UniqueIdTests(SynchronousTestCase):
    """
    Names, or what another server gave.
    """

    def setUp(self):
        self.maildir = os.fsencode(os.path.abspath(self.mktemp()))
        os.makedirs(self.maildir)

    def write(self, name, *lines):
        with open(os.path.join(self.maildir, name), "wb") as file:
            file.write(b"\n".join(lines) + b"\n")

    def test_baseName(self):
        """
        f11: flags are no part of what a message is known by; sizes in a name are.
        """
        self.assertEqual(base_name(b"1.a.b:2,S"), b"1.a.b")
        self.assertEqual(base_name(b"1.a.b"), b"1.a.b")
        self.assertEqual(base_name(b"1.a.b,S=5,W=6:2,"), b"1.a.b,S=5,W=6")
        self.assertNotEqual(base_name(b"1.a.b:x"), base_name(b"1.a.b:y"))

    def test_names(self):
        """
        By default each message goes by its name, or a hash where that cannot be sent.
        """
        names = [b"1.a.b", b"1.\xe9.b", b"x" * 71, b"a b"]
        unique_ids = list(assign(names, dict(named(self.maildir))))
        self.assertEqual(unique_ids[0], b"1.a.b")
        self.assertTrue(all(map(is_unique_id, unique_ids)))
        self.assertEqual(unique_ids, list(assign(names, {})))

    def test_dovecot(self):
        """
        Dovecot's default is uid and uidvalidity in lower-case hexadecimal; P holds a
        kept one, or nothing, which stands for the name.
        """
        self.write(
            b"dovecot-uidlist",
            b"3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1",
            b"25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,",
            b"25017 W2481 :1276533073.M242911P3632.kurkku:2,F",
            b"25018 Pkept-uidl W99 :1276533074.M1P1.kurkku",
            b"25019 Pbad\xff :1276533075.M1P1.kurkku",
            b"25020 P :1276533076.M1P1.kurkku",
            b"25021 :1276533077.M1\rP1.kurkku",
            b"nonsense",
        )
        self.assertEqual(
            dict(dovecots(self.maildir)),
            {
                b"1276528487.M364837P9451.kurkku,S=1355,W=1394": b"000061ae4c0907b0",
                b"1276533073.M242911P3632.kurkku": b"000061b94c0907b0",
                b"1276533074.M1P1.kurkku": b"kept-uidl",
                b"1276533075.M1P1.kurkku": b"000061bb4c0907b0",
                b"1276533076.M1P1.kurkku": b"1276533076.M1P1.kurkku",
                b"1276533077.M1\rP1.kurkku": b"000061bd4c0907b0",
            },
        )

    def test_oldDovecot(self):
        """
        The first version of the list is read too.
        """
        self.write(b"dovecot-uidlist", b"1 1275660208 3", b"1 1.a.b:2,S")
        self.assertEqual(dict(dovecots(self.maildir)), {b"1.a.b": b"000000014c0907b0"})

    def test_courier(self):
        """
        Courier's are numbers, with the uidvalidity where there is one, or names.
        """
        self.write(
            b"courierpop3dsizelist",
            b"/3 5 1275660208",
            b"1.a.b:2,S 1024 1:1275660208:0",
            b"2.a.b 1024 2:0:1",
            b"3.a+b 1024 0:0:0",
            b"nonsense",
        )
        self.assertEqual(
            dict(couriers(self.maildir)),
            {b"1.a.b": b"UID1-1275660208", b"2.a.b": b"UID2", b"3.a+b": b"3.a+2Bb"},
        )
        self.write(b"courierpop3dsizelist", b"/2 5 12", b"1.a.b 1024 1:12")
        self.assertEqual(dict(couriers(self.maildir)), {b"1.a.b": b"UID1-12"})

    def test_noList(self):
        """
        Without a list, or with one that is not understood, names hold.
        """
        for read, _ in UNIQUE_IDS.values():
            self.assertEqual(list(read(self.maildir)), [])
        for name in (b"dovecot-uidlist", b"courierpop3dsizelist"):
            self.write(name, b"", b"\xff\0")
        for read, _ in UNIQUE_IDS.values():
            self.assertEqual(list(read(self.maildir)), [])

    def test_noFile(self):
        """
        What cannot be read as a list does not pass for none, and nobody waits for it;
        nor does one that is larger than any.
        """
        path = os.path.join(self.maildir, b"dovecot-uidlist")

        def huge(path):
            with open(path, "wb") as file:
                file.truncate(unique_ids.MOST + 1)

        for lay in (os.mkfifo, os.mkdir, huge):
            lay(path)
            self.assertRaises(OSError, list, dovecots(self.maildir))
            os.rename(path, path + lay.__name__.encode("ascii"))

    def test_unlisted(self):
        """
        A message that the list lacks goes by its name.
        """
        self.assertEqual(
            list(assign([b"1.a", b"2.a"], {b"1.a": b"UID1-5"})), [b"UID1-5", b"2.a"]
        )

    def test_noTwoAlike(self):
        """
        However bad a list is, no two messages share one.
        """
        given = {b"1.a": b"same", b"2.a": b"same", b"3.a": b"2.a", b"4.a": b"2.a"}
        names = [b"1.a", b"2.a", b"3.a", b"4.a", b"same"]
        unique_ids = list(assign(names, given))
        self.assertEqual(len(set(unique_ids)), len(names))
        self.assertTrue(all(map(is_unique_id, unique_ids)))
