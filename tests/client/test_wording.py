"""
What goes wrong, in a line.
"""

from OpenSSL.SSL import Error as TLSFailure
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.refusals import refusal
from extretr.client.wording import describe


class DescribeTests(SynchronousTestCase):
    """
    Exceptions as text for people.
    """

    def test_texts(self):
        """
        A text has what helps, and no numbers and words of the library.
        """
        reasons = [("SSL routines", "", "wrong version number")]
        for error, text in [
            (ConnectionDone(), "the server closed the connection"),
            (ConnectionLost("Connection lost"), "the connection was lost"),
            (
                ConnectionRefusedError(111, "Connection refused"),
                "cannot connect: Connection refused",
            ),
            (NoRouteError(113, "No route to host"), "cannot connect: No route to host"),
            (TimeoutError(), "the server does not answer"),
            (TimeoutError(string="it has fallen silent"), "it has fallen silent"),
            (DNSLookupError("x"), "DNS lookup failed: x"),
            (TLSFailure(reasons), "TLS failed: wrong version number"),
            (TLSFailure(), "TLS failed"),
            (refusal(b"[IN-USE] come\tback"), "the server says: come back"),
            (OSError(28, "No space left on device"), "No space left on device"),
            (OSError(2, "Not there", "/a\nb"), "/a b: Not there"),
            (OSError(2, "Not there", b"/\xff"), "/\\xff: Not there"),
            (OSError("the journal is full"), "the journal is full"),
            (ValueError("one\ntwo."), "one two"),
            (ValueError(), "ValueError"),
        ]:
            self.assertEqual(describe(error), text)
