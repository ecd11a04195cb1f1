"""
The limits of ``twistd extretr run``: what they take, and what sessions have of them.
"""

import os

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.penalties import DELAYS
from extretr.tap import Options
from extretr.tap.limit_options import brakes_of, session_limits


class LimitTests(SynchronousTestCase):
    """
    Options become limits.
    """

    def setUp(self):
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)

    def parse(self, *more):
        options = Options()
        mail = f"maildir:{self.folder}/%u"
        options.parseOptions(["run", "--mail", mail, "--users", "users", *more])
        return options.subOptions

    def limits(self, *more):
        run = self.parse(*more)
        brakes = brakes_of(run, MemoryReactorClock())
        return brakes._limits, session_limits(run, brakes)

    def test_defaults(self):
        """
        Without options there are limits all the same.
        """
        limits, session = self.limits()
        self.assertEqual((limits.connections, limits.per_address), (5000, 100))
        self.assertEqual((limits.per_user, limits.logins_per_address), (10, 20))
        self.assertEqual((limits.delays, limits.login_delay), (DELAYS, 0))
        self.assertEqual(
            (session["timeOut"], session["stallTimeOut"], session["loginTimeOut"]),
            (600, 300, 60),
        )
        self.assertEqual((session["commandRate"], session["limitsLocal"]), (50, False))
        self.assertIsNone(session["expire"])

    def test_given(self):
        """
        Each can be given; 0 is any number, and no time-out.
        """
        limits, session = self.limits(
            *("--max-connections", "0", "--penalty", "1,2.5", "--login-delay", "30"),
            *("--idle-timeout", "0", "--stall-timeout", "0", "--login-timeout", "0"),
            *("--expire-never", "--limit-local", "--command-rate", "0"),
        )
        self.assertEqual((limits.connections, limits.delays), (0, (1, 2.5)))
        self.assertEqual((limits.login_delay, session["loginDelay"]), (30, 30))
        for name in ("timeOut", "stallTimeOut", "loginTimeOut"):
            self.assertIsNone(session[name])
        self.assertEqual((session["commandRate"], session["limitsLocal"]), (0, True))
        self.assertEqual(session["expire"], b"NEVER")

    def test_none(self):
        """
        An empty penalty is no delay.
        """
        self.assertEqual(self.limits("--penalty", "")[0].delays, ())

    def test_bad(self):
        """
        What is no number is one line that says what is.
        """
        for option, value in (
            ("--max-connections", "many"),
            ("--max-per-address", "-1"),
            ("--max-per-user", "1.5"),
            ("--max-logins-per-address", "\u0663"),
            ("--command-rate", "9" * 5000),
            ("--login-delay", ""),
            ("--login-timeout", "nan"),
            ("--idle-timeout", "inf"),
            ("--stall-timeout", "-3"),
            ("--penalty", "2,x"),
        ):
            with self.assertRaises(SystemExit) as caught:
                self.parse(option, value)
            self.assertIn(f"{option} is a number", str(caught.exception))
