"""
`extretr.sasl.scram`: the server's side, and the keys that it knows.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode

from scramp import ScramClient
from twisted.trial.unittest import SynchronousTestCase

from extretr.sasl import SaslError, ScramSha256
from extretr.sasl.scram import ScramKeys, ScramServer, WrongProof
from tests.sasl.test_client import (
    CLIENT_FINAL,
    CLIENT_FIRST,
    NONCE,
    SERVER_FINAL,
    SERVER_FIRST,
)

#: The keys of the example of RFC 7677, in the form that Dovecot has.
DOVECOT = (
    "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)

END_POINT = {"tls-server-end-point": b"\x12" * 32}
BOTH = {"tls-exporter": b"\x34" * 32, **END_POINT}


class KeysTests(SynchronousTestCase):
    """
    What a users file has of a password.
    """

    def test_vector(self):
        """
        The keys are those that RFC 7677's example is made with, in Dovecot's form.
        """
        salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        keys = ScramKeys.of_password(b"pencil", salt, 4096)
        self.assertEqual(str(keys), DOVECOT)
        self.assertEqual(ScramKeys.parse(DOVECOT), keys)
        self.assertTrue(keys.matches(b"pencil"))
        for wrong in (b"", b"pencil ", b"\xff", b"hush\0"):
            self.assertFalse(keys.matches(wrong))

    def test_fresh(self):
        """
        Without a salt it is a new one each time; SASLprep makes two spellings one.
        """
        one, two = (ScramKeys.of_password("I\u00adX".encode()) for _ in range(2))
        self.assertNotEqual(one.salt, two.salt)
        self.assertEqual(len(one.salt), 16)
        self.assertTrue(one.matches("\u2168".encode()))

    def test_refused(self):
        """
        A password that SCRAM does not take is a ValueError that does not show it.
        """
        for password in (b"hush\xff", b"hush\0"):
            error = self.assertRaises(ValueError, ScramKeys.of_password, password)
            self.assertNotIn("hush", f"{error} {error.__context__}")

    def test_bad(self):
        """
        What is not four fields as they must be is a ValueError.
        """
        count, salt, stored, server = DOVECOT.split(",")
        for words in [
            (count, salt, stored),
            (count, salt, stored, server, server),
            ("x", salt, stored, server),
            ("1", salt, stored, server),
            ("99999999999", salt, stored, server),
            (count, "c2FsdA==", stored, server),
            (count, salt, "!", server),
            (count, salt, stored, salt),
        ]:
            self.assertRaises(ValueError, ScramKeys.parse, ",".join(words))


class ServerTests(SynchronousTestCase):
    """
    The conversation.
    """

    keys = ScramKeys.parse(DOVECOT)

    def server(self, bindings=None, plus=False, nonce=None):
        return ScramServer(bindings or {}, plus=plus, nonce=nonce)

    def converse(self, server, client):
        user = server.begin(client.initial())
        response = client.respond(server.challenge(self.keys))
        client.respond(server.finish(response))
        client.complete()
        return user

    def test_vector(self):
        """
        The example of RFC 7677, section 3.
        """
        nonce = SERVER_FIRST.split(b",")[0].removeprefix(b"r=").decode()
        server = self.server(nonce=nonce.removeprefix(NONCE))
        self.assertEqual(server.begin(CLIENT_FIRST), b"user")
        self.assertEqual(server.challenge(self.keys), SERVER_FIRST)
        self.assertEqual(server.finish(CLIENT_FINAL), SERVER_FINAL)

    def test_ours(self):
        """
        Our own client gets in, under any name that it can say.
        """
        for user in (b"user", b"a=b,c", "Jos\u00e9".encode()):
            self.assertEqual(
                self.converse(self.server(), ScramSha256(user, b"pencil")), user
            )

    def test_theirs(self):
        """
        So does scramp's, bound to the channel and not.
        """
        for binding in (None, *END_POINT.items()):
            name = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
            client = ScramClient([name], "user", "pencil", channel_binding=binding)
            server = self.server(END_POINT if binding else {}, plus=bool(binding))
            server.begin(client.get_client_first().encode())
            client.set_server_first(server.challenge(self.keys).decode())
            final = server.finish(client.get_client_final().encode())
            client.set_server_final(final.decode())

    def test_wrongPassword(self):
        """
        A wrong password is a wrong proof, and keys of somebody else are too.
        """
        for password, keys in [
            (b"pen", self.keys),
            (b"pencil", ScramKeys.of_password(b"x")),
        ]:
            server, client = self.server(), ScramSha256(b"user", password)
            server.begin(client.initial())
            response = client.respond(server.challenge(keys))
            self.assertRaises(WrongProof, server.finish, response)

    def test_binding(self):
        """
        -PLUS takes either type, whichever the client names, and no other's channel.
        """
        for kind in BOTH:
            client = ScramSha256(b"user", b"pencil", (kind, BOTH[kind]))
            self.assertTrue(client.initial().startswith(b"p=%b,,n=" % kind.encode()))
            self.converse(self.server(BOTH, plus=True), client)

            client = ScramSha256(b"user", b"pencil", (kind, b"\x56" * 32))
            server = self.server(BOTH, plus=True)
            server.begin(client.initial())
            response = client.respond(server.challenge(self.keys))
            self.assertRaises(WrongProof, server.finish, response)

    def test_exporterByHand(self):
        """
        With tls-exporter the messages are those of RFC 5802, reckoned by hand.
        """
        bare, data = b"n=user,r=abc", BOTH["tls-exporter"]
        server = self.server(BOTH, plus=True)
        self.assertEqual(server.begin(b"p=tls-exporter,," + bare), b"user")
        first = server.challenge(self.keys)
        nonce = first.split(b",")[0]
        without = b"c=%b,%b" % (b64encode(b"p=tls-exporter,," + data), nonce)
        salted = hashlib.pbkdf2_hmac("sha256", b"pencil", self.keys.salt, 4096)
        key = hmac.digest(salted, b"Client Key", "sha256")
        signed = b",".join([bare, first, without])
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        final = server.finish(without + b",p=" + b64encode(proof))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.assertEqual(
            final, b"v=" + b64encode(hmac.digest(server_key, signed, "sha256"))
        )

    def test_downgrade(self):
        """
        A client that believes we offer no -PLUS, where we do, was lied to (RFC 5802).
        """
        for kind in BOTH:
            client = ScramSha256(b"user", b"pencil", (kind, BOTH[kind]), plus=False)
            self.assertTrue(client.initial().startswith(b"y,,"))
            for bindings in (BOTH, END_POINT):
                server = self.server(bindings)
                self.assertRaises(SaslError, server.begin, client.initial())
            self.converse(self.server(), client)
        # One that cannot bind is taken all the same.
        self.converse(self.server(BOTH), ScramSha256(b"user", b"pencil"))

    def test_flags(self):
        """
        -PLUS is for clients that bind, and the plain mechanism for those that do not.
        """
        bound = b"p=tls-server-end-point,,n=user,r=abc"
        for plus, message in [
            (True, b"n,,n=user,r=abc"),
            (True, b"y,,n=user,r=abc"),
            (True, b"p=tls-unique,,n=user,r=abc"),
            (True, b"p=nonsense,,n=user,r=abc"),
            (True, b"p=,,n=user,r=abc"),
            (False, bound),
        ]:
            server = self.server(BOTH, plus=plus)
            self.assertRaises(SaslError, server.begin, message)
        self.assertEqual(self.server(BOTH, plus=True).begin(bound), b"user")
        self.assertRaises(SaslError, self.server, {}, True)

    def test_nonsense(self):
        """
        What makes no sense is a SaslError, at each step.
        """
        for message in [
            b"", b"n", b"n,,", b"n,,n=user", b"n,,r=abc,n=user", b"\xff",
            b"n,,n=,r=abc",
            b"n,a=root,n=user,r=abc", b"n,,n=us=er,r=abc", b"n,,m=x,n=user,r=abc",
        ]:  # fmt: skip
            self.assertRaises(SaslError, self.server().begin, message)
        for message in [
            b"",
            b"c=biws",
            b"\xff",
            b"c=biws,r=other,p=AA==",
            CLIENT_FINAL,
        ]:
            server = self.server()
            server.begin(b"n,,n=user,r=abc")
            server.challenge(self.keys)
            self.assertRaises(SaslError, server.finish, message)
