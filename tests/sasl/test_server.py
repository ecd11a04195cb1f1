"""
`extretr.sasl.server`: what clients say at once.
"""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.sasl import OAuthBearer, Plain, SaslError, XOAuth2
from extretr.sasl.errors import NotAuthorized
from extretr.sasl.server import (
    parse_bearer,
    parse_external,
    parse_plain,
    parse_xoauth2,
    token_refused,
)
from tests.sasl.test_client import BEARER, TOKEN

PARSERS = (parse_plain, parse_bearer, parse_xoauth2, parse_external)


class PlainTests(SynchronousTestCase):
    """
    PLAIN.
    """

    def test_read(self):
        """
        User and password are any octets; the authorization identity is the same user.
        """
        for message in (b"\0tim\0tan \xff", b"tim\0tim\0tan \xff"):
            self.assertEqual(parse_plain(message), (b"tim", b"tan \xff"))
        said = Plain(b"tim", b"x").initial()
        self.assertEqual(parse_plain(said), (b"tim", b"x"))

    def test_refused(self):
        """
        Anything else is an error; to act for somebody else is one of its own.
        """
        for message in (b"", b"tim", b"\0tim", b"\0\0x", b"\0tim\0", b"\0a\0b\0c"):
            self.assertRaises(SaslError, parse_plain, message)
        self.assertRaises(NotAuthorized, parse_plain, b"root\0tim\0tanstaaf")


class TokenTests(SynchronousTestCase):
    """
    OAUTHBEARER and XOAUTH2.
    """

    def test_vector(self):
        """
        The example of RFC 7628, section 4.1.
        """
        self.assertEqual(parse_bearer(BEARER), (b"user@example.com", TOKEN))

    def test_ours(self):
        """
        What our client says is read as it was meant.
        """
        for user in (b"bob", b"a=b,c", "Jos\u00e9".encode()):
            said = OAuthBearer(user, b"t0k~", "host", 995).initial()
            self.assertEqual(parse_bearer(said), (user, b"t0k~"))
            self.assertEqual(parse_xoauth2(XOAuth2(user, b"t").initial()), (user, b"t"))

    def test_nobody(self):
        """
        OAUTHBEARER may leave it to the token who it is.
        """
        self.assertEqual(parse_bearer(b"n,,\x01auth=bearer t\x01\x01"), (b"", b"t"))

    def test_refused(self):
        """
        Anything else is an error.
        """
        good = b"\x01auth=Bearer t\x01\x01"
        for message in [
            b"", b"\x01", b"n,a=bob," + good[:-1], b"p=tls-unique,a=bob," + good,
            b"n,b=bob," + good, b"n,a=b=b," + good, b"n,a=bob,x" + good, b"n" + good,
            b"n,a=bob,\x01auth=Basic t\x01\x01", b"n,a=bob,\x01auth=Bearer \x01\x01",
            b"n,a=bob,\x01x=y\x01\x01", b"n,a=bob,\x01auth=Bearer a b\x01\x01",
            b"n,a=\xff," + good, b"n,a=b\nb," + good,
            b"n,a=bob," + good[:-1] + good,
        ]:  # fmt: skip
            self.assertRaises(SaslError, parse_bearer, message)
        for message in [
            b"", b"user=bob", b"user=bob" + good[:-1], good, b"user=" + good,
            b"user=b\0b" + good, b"user=bob\x01user=eve" + good,
        ]:  # fmt: skip
            self.assertRaises(SaslError, parse_xoauth2, message)

    def test_refusal(self):
        """
        The reasons for a refusal are what our client reads.
        """
        for name, client, status in [
            (b"OAUTHBEARER", OAuthBearer(b"bob", b"t"), "invalid_token"),
            (b"XOAUTH2", XOAuth2(b"bob", b"t"), "400"),
        ]:
            challenge = token_refused(name)
            client.respond(challenge)
            self.assertEqual(client.status, status)
            self.assertIsInstance(json.loads(challenge), dict)


class AnyTests(SynchronousTestCase):
    """
    Whatever comes.
    """

    @given(st.binary(max_size=60))
    def test_octets(self, message):
        """
        Any octets are read, or refused with a SaslError.
        """
        for parse in PARSERS:
            try:
                parse(message)
            except SaslError:
                pass

    def test_external(self):
        """
        EXTERNAL has a name in UTF-8, or none.
        """
        self.assertEqual(parse_external(b""), b"")
        self.assertEqual(parse_external("Jos\u00e9".encode()), "Jos\u00e9".encode())
        for message in (b"\xff", b"a\0", b"a\n"):
            self.assertRaises(SaslError, parse_external, message)
