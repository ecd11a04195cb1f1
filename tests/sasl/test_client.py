"""
The client's side of the SASL mechanisms.
"""

import json
from base64 import b64decode

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scramp import ScramClient, ScramException, ScramMechanism
from twisted.trial.unittest import SynchronousTestCase

from extretr.errors import ExtRetrError
from extretr.sasl import OAuthBearer, Plain, SaslError, ScramSha256, XOAuth2

#: RFC 7677, section 3.
NONCE = "rOprNGfwEbeRWgbNEkqO"
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

#: RFC 7628, sections 4.1 and 4.3.
BEARER = b64decode(
    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQz"
    "AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9"
    "PQEB"
)
TOKEN = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
REFUSED = b64decode(
    "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3Bl"
    "bmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29w"
    "ZW5pZC1jb25maWd1cmF0aW9uIn0="
)

BINDING = ("tls-server-end-point", b"\x12" * 32)


class PlainTests(SynchronousTestCase):
    """
    PLAIN.
    """

    def test_initial(self):
        """
        User and password are said at once, without an authorization identity.
        """
        plain = Plain(b"tim", b"tanstaaf\xff")
        self.assertEqual(plain.name, b"PLAIN")
        self.assertEqual(plain.initial(), b"\0tim\0tanstaaf\xff")
        plain.complete()

    def test_refused(self):
        """
        What is empty or holds NUL cannot be carried; the error does not show it.
        """
        for user, password in [
            (b"", b"hush"),
            (b"tim", b""),
            (b"ti\0m", b"hush"),
            (b"tim", b"hu\0sh"),
        ]:
            error = self.assertRaises(SaslError, Plain, user, password)
            self.assertNotIn("hu", str(error))

    def test_challenge(self):
        """
        There is no answer to a challenge.
        """
        self.assertRaises(SaslError, Plain(b"tim", b"hush").respond, b"")


class ScramServer:
    """
    The server's side, by the library.
    """

    def __init__(self, password="pencil", user="user", name="SCRAM-SHA-256", **more):
        mechanism = ScramMechanism(name)
        known = {user: mechanism.make_auth_info(password, 4096)}
        self.server = mechanism.make_server(known.get, **more)

    def first(self, initial):
        self.server.set_client_first(initial.decode())
        return self.server.get_server_first().encode()

    def final(self, response):
        self.server.set_client_final(response.decode())
        return self.server.get_server_final().encode()

    def converse(self, scram):
        return scram.respond(self.final(scram.respond(self.first(scram.initial()))))


class ScramTests(SynchronousTestCase):
    """
    SCRAM-SHA-256, with and without channel binding.
    """

    def scram(self, **more):
        return ScramSha256(b"user", b"pencil", nonce=NONCE, **more)

    def test_example(self):
        """
        The example of RFC 7677 comes out to the letter.
        """
        scram = self.scram()
        self.assertEqual(scram.name, b"SCRAM-SHA-256")
        self.assertEqual(scram.initial(), CLIENT_FIRST)
        self.assertEqual(scram.respond(SERVER_FIRST), CLIENT_FINAL)
        self.assertEqual(scram.respond(SERVER_FINAL), b"")
        scram.complete()

    def test_errorIsOurs(self):
        """
        What goes wrong is one of the package's own exceptions.
        """
        self.assertTrue(issubclass(SaslError, ExtRetrError))

    def test_nonces(self):
        """
        Each conversation has a nonce of its own.
        """
        nonces = {ScramSha256(b"user", b"pencil").initial() for _ in range(3)}
        self.assertEqual(len(nonces), 3)

    def test_peer(self):
        """
        A server that knows the user lets us in, and proves itself.
        """
        scram = ScramSha256(b"user", b"pencil")
        self.assertEqual(ScramServer().converse(scram), b"")
        scram.complete()

    def test_iterations(self):
        """
        A server that would keep us at work for hours, in which no time-out can end it,
        is refused.
        """
        for count in (b"10000001", b"9" * 30):
            first = SERVER_FIRST.replace(b"i=4096", b"i=" + count)
            self.assertNotEqual(first, SERVER_FIRST)
            self.assertRaises(SaslError, self.scram().respond, first)

    def test_odd(self):
        """
        Commas and equals signs in names, and text that is not ASCII, are carried.
        """
        user, password = "a,b=c\u00e9", "p\u00e4ss, w\u00f6rd="
        scram = ScramSha256(user.encode(), password.encode())
        ScramServer(password, user).converse(scram)
        scram.complete()

    def test_wrongPassword(self):
        """
        A server does not take the proof of another password.
        """
        scram = ScramSha256(b"user", b"pencil")
        server = ScramServer("crayon")
        response = scram.respond(server.first(scram.initial()))
        self.assertRaises(ScramException, server.final, response)
        self.assertRaises(SaslError, scram.complete)

    def test_serverSaysWhy(self):
        """
        An error in the place of the server's proof is an error, and says which.
        """
        scram = self.scram()
        scram.respond(SERVER_FIRST)
        error = self.assertRaises(SaslError, scram.respond, b"e=invalid-proof")
        self.assertIn("invalid-proof", str(error))
        self.assertRaises(SaslError, scram.complete)

    def test_tamperedSignature(self):
        """
        A server that does not know the password is found out.
        """
        scram = self.scram()
        scram.respond(SERVER_FIRST)
        tampered = SERVER_FINAL.replace(b"v=6", b"v=7")
        self.assertRaises(SaslError, scram.respond, tampered)
        self.assertRaises(SaslError, scram.complete)
        # Nor does it get a second try.
        self.assertRaises(SaslError, scram.respond, SERVER_FINAL)
        self.assertRaises(SaslError, scram.complete)

    def test_noServerFinal(self):
        """
        Success that comes before the server's proof is none.
        """
        scram = self.scram()
        self.assertRaises(SaslError, scram.complete)
        scram.respond(SERVER_FIRST)
        self.assertRaises(SaslError, scram.complete)

    def test_nonsense(self):
        """
        A first message that makes no sense gets no proof.
        """
        for message in [
            b"",
            b"\xff\xfe",
            b"hello",
            b"m=x," + SERVER_FIRST,
            b"e=other-error",
            b"e=nonsense",
            # A nonce that is not ours, or that is ours alone.
            SERVER_FIRST.replace(b"r=r", b"r=x"),
            b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            # Few iterations make the password easy to guess, many take for ever.
            SERVER_FIRST.replace(b"4096", b"1"),
            SERVER_FIRST.replace(b"4096", b"9" * 9),
            SERVER_FIRST.replace(b"4096", b"9" * 9000),
            SERVER_FIRST.replace(b"4096", b"-4096"),
            SERVER_FIRST.replace(b"W22Z", b"!!!!"),
            SERVER_FINAL,
        ]:
            scram = self.scram()
            self.assertRaises(SaslError, scram.respond, message)
            self.assertRaises(SaslError, scram.complete)

    def test_nonsenseAtTheEnd(self):
        """
        A final message that makes no sense proves nothing.
        """
        for message in [b"", b"\xff", b"v=", b"v=!", b"v=AAAA", SERVER_FIRST]:
            scram = self.scram()
            scram.respond(SERVER_FIRST)
            self.assertRaises(SaslError, scram.respond, message)
            self.assertRaises(SaslError, scram.complete)

    def test_tooMany(self):
        """
        There is no answer to a third challenge.
        """
        scram = self.scram()
        scram.respond(SERVER_FIRST)
        scram.respond(SERVER_FINAL)
        self.assertRaises(SaslError, scram.respond, b"")

    def test_refused(self):
        """
        Only text that SASLprep takes can be carried; the error does not show it.
        """
        for user, password in [
            (b"", b"hush"),
            (b"\xff", b"hush"),
            (b"user", b"hush\xff"),
            (b"user", b"hush\0"),
            (b"user", b"hush\r\n"),
            (b"user", "hush\U0001f92b".encode()),
            (b"user", "\u05d0hush".encode()),
        ]:
            error = self.assertRaises(SaslError, ScramSha256, user, password)
            self.assertNotIn("hush", f"{error} {error.__cause__} {error.__context__}")

    def test_channelBinding(self):
        """
        With channel binding it is -PLUS, and lets in over this very channel alone.
        """
        scram = ScramSha256(b"user", b"pencil", BINDING)
        self.assertEqual(scram.name, b"SCRAM-SHA-256-PLUS")
        self.assertTrue(scram.initial().startswith(b"p=tls-server-end-point,,n=user"))
        ScramServer(name="SCRAM-SHA-256-PLUS", channel_binding=BINDING).converse(scram)
        scram.complete()

        elsewhere = (BINDING[0], b"\x34" * 32)
        server = ScramServer(name="SCRAM-SHA-256-PLUS", channel_binding=elsewhere)
        scram = ScramSha256(b"user", b"pencil", BINDING)
        response = scram.respond(server.first(scram.initial()))
        self.assertRaises(ScramException, server.final, response)

    def test_channelBindingNotOffered(self):
        """
        A server that did offer -PLUS learns that its offer did not come through.
        """
        scram = ScramSha256(b"user", b"pencil", BINDING, plus=False)
        self.assertEqual(scram.name, b"SCRAM-SHA-256")
        self.assertTrue(scram.initial().startswith(b"y,,n=user"))
        server = ScramServer(channel_binding=BINDING)
        self.assertRaises(ScramException, server.first, scram.initial())

        scram = ScramSha256(b"user", b"pencil", BINDING, plus=False)
        ScramServer().converse(scram)
        scram.complete()

    def test_badChannelBinding(self):
        """
        A binding that there is not, or that is empty, is refused.
        """
        for binding in [("tls-exporter", b""), ("nonsense", b"x"), (BINDING[0], b"")]:
            self.assertRaises(SaslError, ScramSha256, b"user", b"x", binding)

    @settings(deadline=None, max_examples=60, derandomize=True)
    @given(st.text(max_size=20), st.text(min_size=1, max_size=20))
    def test_anyText(self, password, user):
        """
        Any text is carried, or refused with a SaslError: by both sides alike.
        """
        assume(not any("\ud800" <= each <= "\udfff" for each in password + user))
        try:
            scram = ScramSha256(user.encode(), password.encode())
        except SaslError:
            with self.assertRaises(ScramException):
                ScramClient(["SCRAM-SHA-256"], user, password)
            return
        information = ScramMechanism().make_auth_info(password, 4096)
        server = ScramServer()
        server.server = ScramMechanism().make_server(lambda name: information)
        server.converse(scram)
        scram.complete()

    @settings(deadline=None, derandomize=True)
    @given(st.binary(max_size=60), st.booleans())
    def test_anyChallenge(self, challenge, late):
        """
        No challenge does more harm than a SaslError.
        """
        scram = self.scram()
        if late:
            scram.respond(SERVER_FIRST)
        self.assertRaises(SaslError, scram.respond, challenge)
        self.assertRaises(SaslError, scram.complete)


class OAuthBearerTests(SynchronousTestCase):
    """
    OAUTHBEARER.
    """

    def bearer(self):
        return OAuthBearer(b"user@example.com", TOKEN, "server.example.com", 143)

    def test_example(self):
        """
        The example of RFC 7628 comes out to the letter.
        """
        bearer = self.bearer()
        self.assertEqual(bearer.name, b"OAUTHBEARER")
        self.assertEqual(bearer.initial(), BEARER)
        bearer.complete()
        self.assertIsNone(bearer.status)

    def test_refusal(self):
        """
        The server's reasons are acknowledged by one octet, and can be read.
        """
        bearer = self.bearer()
        self.assertEqual(bearer.respond(REFUSED), b"\x01")
        self.assertEqual(bearer.status, "invalid_token")
        self.assertRaises(SaslError, bearer.respond, REFUSED)

    def test_escapes(self):
        """
        Commas and equals signs in a user name are escaped, as a GS2 header needs it.
        """
        initial = OAuthBearer(b"a,b=c", b"token").initial()
        self.assertEqual(initial, b"n,a=a=2Cb=3Dc,\x01auth=Bearer token\x01\x01")

    def test_reasons(self):
        """
        Reasons without a status, or with a strange one, can be shown all the same.
        """
        for reasons, shown in [
            ({}, "unknown"),
            ({"status": 400}, "400"),
            ({"status": "\x1b[2J"}, r"'\x1b[2J'"),
            ({"status": "x" * 5000}, "x" * 200),
        ]:
            bearer = self.bearer()
            bearer.respond(json.dumps(reasons).encode())
            self.assertEqual(bearer.status, shown)

    def test_nonsense(self):
        """
        A challenge that is no JSON object is an error, however it is made.
        """
        for challenge in [
            b"",
            b"{",
            b"[1]",
            b"\xff\xfe\xfd",
            b"[" * 12000,
            b"1" * 9000,
        ]:
            self.assertRaises(SaslError, self.bearer().respond, challenge)

    def test_refused(self):
        """
        What would end a field cannot be carried; the error does not show it.
        """
        for user, token in [
            (b"", b"hush"),
            (b"us\x01er", b"hush"),
            (b"us\r\ner", b"hush"),
            (b"user", b""),
            (b"user", b"hush\x01auth=x"),
            (b"user", b"hush hush"),
            (b"user", b"hush\n"),
            (b"user", b"hush\xff"),
        ]:
            for kind in (OAuthBearer, XOAuth2):
                error = self.assertRaises(SaslError, kind, user, token)
                self.assertNotIn("hush", str(error))


class XOAuth2Tests(SynchronousTestCase):
    """
    XOAUTH2.
    """

    def test_initial(self):
        """
        User and token are said at once.
        """
        mechanism = XOAuth2(b"someuser@example.com", b"ya29.vF9dft4qmTc2Nvb3")
        self.assertEqual(mechanism.name, b"XOAUTH2")
        self.assertEqual(
            mechanism.initial(),
            b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3\x01\x01",
        )
        mechanism.complete()

    def test_refusal(self):
        """
        The server's reasons are acknowledged by an empty response, and can be read.
        """
        mechanism = XOAuth2(b"user", b"token")
        reasons = b'{"status":"400","schemes":"Bearer","scope":"https://mail.example/"}'
        self.assertEqual(mechanism.respond(reasons), b"")
        self.assertEqual(mechanism.status, "400")
        self.assertRaises(SaslError, mechanism.respond, b"not JSON")
