"""
Whole sessions against a model of RFC 1939 and the draft: every reply is predicted.

``EXTRETR_MODEL_EXAMPLES=5000`` makes a longer run, of other examples each time.
"""

import os
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from extretr.server import listings, transfer
from extretr.stores import maildir_listing, maildir_scan, steps
from tests.server.session_driver import USERS, Host
from tests.server.session_model import read_reply
from tests.server.session_stores import Adapted, Maildirs, Mboxes
from tests.server.session_strategies import COMMANDS, CUTS, MARKING, MESSAGES, USER

EXAMPLES = int(os.environ.get("EXTRETR_MODEL_EXAMPLES", "0"))

SETTINGS = settings(
    derandomize=not EXAMPLES,
    max_examples=EXAMPLES or 60,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Sessions(RuleBasedStateMachine):
    """
    Sessions of two users, over one store.
    """

    make_store = None

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.host = Host(self.make_store, self.folder.name)
        self.store = self.host.store

    def teardown(self):
        for connection in self.host.connections:
            connection.lose()
        self.host.pass_time(2)
        assert not self.host.clock.getDelayedCalls()
        self.folder.cleanup()

    def live(self, logged_in=None):
        return [
            one
            for one in self.host.connections
            if not one.lost and logged_in in (None, one.model.drop is not None)
        ]

    def holder(self, user):
        held = [one for one in self.live(True) if one.model.user == user]
        return held[0] if held else None

    def pick(self, data, logged_in=None):
        return data.draw(st.sampled_from(self.live(logged_in)))

    def login(self, user, connection, more=(), cuts=()):
        connection.send([b"USER " + user, b"PASS " + USERS[user], *more], cuts)

    # Mail

    @initialize(stored=st.lists(MESSAGES, min_size=2, max_size=6))
    def fill(self, stored):
        for user in USERS:
            self.deliver(b"first\n", user)
        for one in [*stored, stored[0]]:
            self.deliver(one, b"alice")
        self.login(b"alice", self.host.connect())

    @rule(stored=MESSAGES, user=USER)
    def deliver(self, stored, user):
        if stored or self.store.empty:
            self.store.deliver(user, stored)

    @rule(user=USER)
    def meddle(self, user):
        """
        Flag messages and move them, as other software does.
        """
        self.store.meddle(user)

    @rule()
    def look_again(self):
        """
        Trust nothing that was read of the store the next time, or all of it.
        """
        self.store.wall = 0 if self.store.wall else 1e12

    # Sessions

    @precondition(lambda self: len(self.live()) < 3)
    @rule(user=USER, more=st.lists(COMMANDS, max_size=3), cuts=CUTS)
    def log_in(self, user, more, cuts):
        if not self.store.exclusive or self.holder(user) is None:
            self.login(user, self.host.connect(), more, cuts)

    @precondition(lambda self: len(self.live()) < 3 and self.store.count % 3 == 0)
    @rule(lines=st.lists(COMMANDS, max_size=4), cuts=CUTS)
    def stay_out(self, lines, cuts):
        """
        Try to log in in vain, or not at all.
        """
        lines = [b"USER alice", b"PASS wrong", b"PASS secret", *lines, b"USER bob"]
        self.host.connect().send(lines, cuts)

    @precondition(lambda self: self.live(True))
    @rule(data=st.data(), lines=st.lists(COMMANDS, min_size=4, max_size=16), cuts=CUTS)
    def command(self, data, lines, cuts):
        self.pick(data, True).send(lines, cuts)

    @precondition(lambda self: self.live(True))
    @rule(data=st.data())
    def mark(self, data):
        """
        Mark messages, and unmark them: what is listed tells.
        """
        for lines in data.draw(st.lists(st.sampled_from(MARKING), min_size=1)):
            self.pick(data, True).send([*lines, b"STAT", b"LIST", b"UIDL"])

    @precondition(lambda self: self.live(True))
    @rule(data=st.data(), lines=st.lists(COMMANDS, max_size=4), cuts=CUTS)
    def quit(self, data, lines, cuts):
        """
        Send QUIT; what comes behind it never runs.
        """
        connection = self.pick(data, True)
        connection.send([*lines, b"QUIT", b"DELE 1", b"RETR 1"], cuts)

    @precondition(lambda self: self.live(True))
    @rule(
        data=st.data(),
        lines=st.lists(COMMANDS, max_size=5),
        octets=st.binary(max_size=20),
        blocks=st.integers(0, 12),
    )
    def cut(self, data, lines, octets, blocks):
        """
        Cut a connection, maybe in the middle of a response: what came is right as far
        as it goes, and nothing is deleted.
        """
        connection = self.pick(data, True)
        lines = [b"RETR 1", *lines, b"DELE 1", b"RETR 2"]
        connection.put(b"".join(line + b"\r\n" for line in lines) + octets)
        for _ in range(blocks):
            connection.pump()
            self.host.clock.advance(0)
        connection.lose()
        said = connection.said + connection.transport.value()
        connection.said = b""
        for line in lines:
            rest = read_reply(said, connection.model.answer(line))
            if rest is None:
                break
            said = rest
        self.host.settle()

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def fall_silent(self, data):
        """
        Log a session out that says nothing for 600 seconds, and no other.
        """
        silent = self.pick(data)
        others = [one for one in self.live() if one is not silent]
        for _ in range(3):
            self.host.pass_time(201)
            for other in others:
                other.send([b"CAPA"])
        assert silent.transport.disconnected
        assert not silent.transport.value()
        silent.lose()

    # Two logins of a user

    def contest(self, data, user):
        """
        Let a second session wait for the maildrop of the first.
        """
        if not self.store.exclusive or self.holder(user) is None:
            return None, None
        second = self.host.connect()
        self.login(user, second, data.draw(st.lists(COMMANDS, max_size=3)))
        assert second.lines
        return self.holder(user), second

    @rule(data=st.data(), user=USER)
    def in_use(self, data, user):
        """
        Let a holder that gives a sign of life keep the maildrop.
        """
        first, second = self.contest(data, user)
        if first is not None:
            self.host.pass_time(3)
            first.send([b"NOOP", *data.draw(st.lists(COMMANDS, max_size=3))])
            self.host.pass_time(3)
            second.compare(granted=False)
            assert not second.lines

    @rule(data=st.data(), user=USER)
    def take_over(self, data, user):
        """
        Let one that gives none lose it, and delete nothing.
        """
        first, second = self.contest(data, user)
        if first is not None:
            first.put(b"RETR 1\r\nDELE 1")
            self.host.settle()
            first.transport.clear()
            self.host.pass_time(20)
            assert first.transport.disconnected
            first.put(b"\r\nQUIT\r\n")
            first.lose()
            second.compare()

    @rule(data=st.data(), user=USER, leave=st.booleans())
    def hand_over(self, data, user, leave):
        """
        Let one that ends while another waits leave it to that.
        """
        first, second = self.contest(data, user)
        if first is not None:
            if leave:
                first.send([b"DELE 1", b"QUIT"])
            else:
                first.put(b"DELE 1\r\nRETR 1\r\n")
                first.lose()
            self.host.pass_time(1)
            second.compare()

    @rule(user=USER)
    def give_up(self, user):
        """
        Let one hang up while it waits, and leave nothing behind.
        """
        if self.store.exclusive and self.holder(user) is not None:
            second = self.host.connect()
            self.login(user, second)
            second.lose()

    # What holds whatever happens

    @invariant()
    def everything_is_there(self):
        for user in USERS:
            found = self.store.found(user)
            assert found == self.store.expected(user), (user, found)


class SessionModelTests(SynchronousTestCase):
    """
    Each store, over many sessions.
    """

    def setUp(self):
        # Small, so that even a short message or list takes many turns.
        self.patch(transfer, "CHUNK", 16)
        self.patch(listings, "LINES_A_TURN", 3)
        self.patch(steps, "ON_THE_SPOT", 0)
        for module in (maildir_listing, maildir_scan):
            self.patch(module, "STEP", 2)
        self.patch(maildir_listing, "CAPACITY", 3)
        self.wrong = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if "log_failure" in event:
            self.wrong.append(event["log_failure"].getTraceback())

    def drive(self, store):
        machine = type("Machine", (Sessions,), {"make_store": store})
        run_state_machine_as_test(machine, settings=SETTINGS)
        self.assertEqual(self.wrong, [])

    def test_maildir(self):
        """
        Over Maildirs each reply is the model's, and the mail is what it says.
        """
        self.drive(Maildirs)

    def test_mbox(self):
        """
        Over mboxes too.
        """
        self.drive(Mboxes)

    def test_adapted(self):
        """
        Over mailboxes of others, made seekable, too.
        """
        self.drive(Adapted)
