"""
Arbitrary octets to a session: one reply a line, and the session can still be used.
"""

import re
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.server.session_driver import Host
from tests.server.session_stores import Maildirs

_WORDS = [
    *(b"USER", b"PASS", b"APOP", b"AUTH", b"CAPA", b"STLS", b"LANG", b"UTF8", b"RPOP"),
    *(b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"RSET", b"NOOP", b"LAST"),
    *(b"PLAIN", b"SCRAM-SHA-256", b"*", b"=", b"AGEAYg==", b"1", b"0", b"-1", b"alice"),
    *(b"connectionLost", b"__class__", b"%s", b"{0}", b"\xff\xfe", b"\0", b"\r", b"\n"),
    b"9" * 5000,
]
#: What ends a session: Hypothesis tries words that it finds in our modules, too.
_QUIT = re.compile(rb"QUIT(?: |\Z)", re.IGNORECASE)

_LINES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from(_WORDS), max_size=4).map(b" ".join),
    st.lists(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=9)), max_size=5).map(
        b" ".join
    ),
).filter(lambda line: b"\r\n" not in line and not _QUIT.match(line))

#: What no client may be told.
_INTERNAL = re.compile(
    rb"Traceback|Errno|\.py\b|object at 0x|/tmp|/state|\b(?!POP3)[A-Z]\w+Error\b"
)


class GarbageTests(SynchronousTestCase):
    """
    Whatever is sent.
    """

    def setUp(self):
        self.unexpected = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if "log_failure" in event:
            self.unexpected.append(event["log_failure"].getTraceback())

    def ask(self, connection, line, cuts=()):
        connection.put(line + b"\r\n", cuts)
        connection.host.settle()
        answer = connection.transport.value()
        connection.transport.clear()
        return answer

    def check(self, line, answer):
        """
        Look at one reply: a line, and others only behind a positive one.
        """
        status, end, rest = answer.partition(b"\r\n")
        self.assertEqual(end, b"\r\n", (line, answer))
        self.assertLessEqual(len(status), 510, line)
        self.assertTrue(status.startswith((b"+OK", b"-ERR", b"+ ")), (line, answer))
        if rest:
            self.assertTrue(status.startswith(b"+OK"), (line, answer))
            self.assertEqual(
                (b"\r\n" + rest).find(b"\r\n.\r\n"), len(rest) - 3, (line, answer)
            )
        # What was sent may be sent back.
        self.assertEqual(
            set(_INTERNAL.findall(status)) - set(_INTERNAL.findall(line)), set(), line
        )

    @settings(derandomize=True, max_examples=400, deadline=None)
    @given(
        lines=st.lists(_LINES, min_size=1, max_size=12),
        cuts=st.lists(st.integers(0, 6000), max_size=5),
        logged_in=st.booleans(),
    )
    def test_lines(self, lines, cuts, logged_in):
        """
        Each line has exactly one reply, with nothing of our insides in it; then the
        session answers as if nothing had been.
        """
        with tempfile.TemporaryDirectory() as folder:
            host = Host(Maildirs, folder)
            host.store.deliver(b"alice", b"Subject: x\n\n.\nbody\n")
            connection = host.connect()
            login = [b"USER alice", b"PASS secret"]
            for line in login if logged_in else ():
                self.assertTrue(self.ask(connection, line).startswith(b"+OK"))
            continued = False
            for line in lines:
                answer = self.ask(connection, line, cuts)
                if len(line) > 510 and continued and not answer:
                    # Responses of AUTH may be that long: it wants more, or not.
                    continue
                self.check(line, answer)
                continued = answer.startswith(b"+ ")
            if continued:
                self.check(b"*", self.ask(connection, b"*"))
            self.assertFalse(connection.closed, lines)
            self.assertTrue(self.ask(connection, b"CAPA").startswith(b"+OK"))
            self.assertEqual(self.unexpected, [])
            connection.lose()
            host.settle()
