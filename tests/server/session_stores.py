"""
The stores that sessions are driven over, each beside what it must hold.

A store is on disk, in a folder of its own; time stands still but for what a test says.
"""

import os
import re
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from twisted.internet.defer import Deferred

from extretr.stores.maildir import MaildirStore
from extretr.stores.mbox import MboxStore
from extretr.stores.paths import PathTemplate
from tests import models
from tests.server.dialogue import ListMailbox
from tests.server.session_model import Mail

TAKEOVER_AFTER = 15.0

#: Later than any time stamp: what was read is trusted the next time.
LATE = 1e12


class Store:
    """
    A store, and by user the mail that has to be in it.
    """

    #: Whether a maildrop is one session's alone.
    exclusive = True
    #: Whether a message may be of no octets.
    empty = True

    def __init__(self, folder, clock, cooperate):
        self.folder = Path(folder)
        self.mail = self.folder / "mail"
        self.mail.mkdir(parents=True, exist_ok=True)
        self.clock = clock
        self.cooperate = cooperate
        self.wall = LATE
        self.count = 0
        self.held = {}

    def common(self):
        return {
            "template": PathTemplate(os.fsencode(self.mail) + b"/%u"),
            "clock": self.clock,
            "cooperate": self.cooperate,
            "state": PathTemplate(os.fsencode(self.folder) + b"/state/%u"),
            "takeover_after": TAKEOVER_AFTER,
            "wall": lambda: self.wall,
        }

    def deliver(self, user, stored):
        self.count += 1
        stored = self.as_stored(stored)
        mail = Mail(models.canonical(stored), b"%d.M1.host" % self.count)
        self.put(user, stored, mail)
        self.held.setdefault(user, []).append(mail)

    def as_stored(self, stored):
        """
        Give what becomes of a message when it is delivered.
        """
        return stored

    def remove(self, user, mails):
        self.held[user] = [one for one in self.held.get(user, []) if one not in mails]

    def listing(self, user):
        """
        Give unique-id and message of all that a new session must see.
        """
        return [(mail.name, mail) for mail in self.held.get(user, [])]

    def expected(self, user):
        return sorted(mail.canonical for mail in self.held.get(user, []))

    def settle(self):
        """
        Let so much time pass that what was changed does not look fresh any more.
        """

    def meddle(self, user):
        """
        Do what other mail software may do while a session runs.
        """


class Maildirs(Store):
    """
    A Maildir a user.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ticks = 0
        self.store = MaildirStore(**self.common())

    def put(self, user, stored, mail):
        maildir = self.mail / os.fsdecode(user)
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True, exist_ok=True)
        where = "cur" if self.count % 3 == 0 else "new"
        name = os.fsdecode(mail.name) + (":2,S" if where == "cur" else "")
        (maildir / where / name).write_bytes(stored)
        self.settle()

    def settle(self):
        # Each change of a folder has a time of its own, as after seconds.
        for folder in self.mail.glob("*/*"):
            self.ticks += 1
            if folder.stat().st_mtime > 1e6:
                os.utime(folder, (self.ticks, self.ticks))

    def meddle(self, user):
        for path in sorted((self.mail / os.fsdecode(user)).glob("*/*.host*")):
            name = path.name.partition(":")[0] + f":2,S{'T' * (self.count % 2)}"
            path.rename(path.parent.parent / "cur" / name)
        self.settle()

    def found(self, user):
        paths = (self.mail / os.fsdecode(user)).glob("*/*.host*")
        return sorted(models.canonical(path.read_bytes()) for path in paths)


class Mboxes(Store):
    """
    An mbox a user, in which lines are quoted.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.store = MboxStore(quoting=True, **self.common())

    def as_stored(self, stored):
        # The line end that an mbox adds is the message's.
        return stored if stored.endswith(b"\n") else stored + b"\n"

    def put(self, user, stored, mail):
        quoted = re.sub(rb"(?m)^(?=>*From )", b">", stored)
        with (self.mail / os.fsdecode(user)).open("ab") as file:
            file.write(b"From somebody Thu Jan  1 00:00:00 1970\n%b\n" % quoted)

    def listing(self, user):
        seen, listed = {}, []
        for mail in self.held.get(user, []):
            unique_id = sha256(mail.canonical).hexdigest().encode()
            count = seen[unique_id] = seen.get(unique_id, -1) + 1
            listed.append((unique_id + b".%d" % count * bool(count), mail))
        return listed

    def found(self, user):
        path = self.mail / os.fsdecode(user)
        octets = path.read_bytes() if path.exists() else b""
        parts = re.split(rb"(?m)^From somebody .*\n", octets)[1:]
        plain = (re.sub(rb"(?m)^>(>*From )", rb"\1", part[:-1]) for part in parts)
        return sorted(map(models.canonical, plain))


class Adapted(Store):
    """
    Mailboxes that have nothing but IMailboxPOP3, and make one wait.
    """

    exclusive = False
    #: A size of 0 is all that tells a deleted message there.
    empty = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.store = self
        self.stored = {}
        self.there = {}

    def put(self, user, stored, mail):
        self.stored[mail] = stored
        self.there.setdefault(user, []).append(mail)

    def openMaildrop(self, user, session):
        return Box(self, user)

    def found(self, user):
        return sorted(mail.canonical for mail in self.there.get(user, []))


class Unseekable(BytesIO):
    """
    A file that can only be read.
    """

    def seekable(self):
        return False


class Box(ListMailbox):
    """
    A mailbox over a snapshot of what a user has.
    """

    def __init__(self, store, user):
        self.mails = list(store.there.get(user, []))
        super().__init__([store.stored[mail] for mail in self.mails])
        self.store = store
        self.user = user

    def getMessage(self, index):
        kind = Unseekable if index % 2 else BytesIO
        return self.later(kind(self.messages[index]))

    def getUidl(self, index):
        return self.mails[index].name

    def later(self, result):
        waiting = Deferred()
        self.store.clock.callLater(0, waiting.callback, result)
        return waiting

    def sync(self):
        # Another session may have removed some of them: this one is no less done.
        gone = [self.mails[index] for index in self.deleted]
        there = self.store.there
        there[self.user] = [mail for mail in there[self.user] if mail not in gone]
        return self.later(None)

    def close(self):
        pass
