"""
How the client logs in: which mechanism, and its conversation in POP3's words.
"""

from base64 import b64decode, b64encode

from scramp import ScramMechanism
from twisted.internet.error import ConnectionDone
from twisted.mail.pop3 import LineTooLong

from extretr.client.refusals import (
    NotAuthenticated,
    NotOffered,
    ProtocolViolation,
)
from extretr.sasl import Plain, SaslError
from tests.client.test_protocol import ClientCase


class AuthenticationCase(ClientCase):
    """
    A client that may send passwords as it likes.
    """

    offered = b"SASL PLAIN SCRAM-SHA-256 OAUTHBEARER XOAUTH2\r\n"

    def login(self, authentication="auto", secret=b"secret"):
        self.client.allowInsecureLogin = True
        self.client.authentication = authentication
        self.transport.clear()
        return self.client.login(b"user", secret)

    def offer(self, line):
        self.client.capabilities(useCache=False)
        self.say(b"+OK\r\n" + line + b"\r\n.\r\n")


class ChoiceTests(AuthenticationCase):
    """
    Which mechanism is used.
    """

    def test_best(self):
        """
        Where nothing is said, it is the best of those that are offered.
        """
        self.login()
        self.assertTrue(self.sent().startswith(b"AUTH SCRAM-SHA-256 "))
        for line, first in [
            (b"SASL PLAIN LOGIN", b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"),
            (b"SASL plain", b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"),
            (b"SASL CRAM-MD5", b"USER user\r\n"),
            (b"SASL", b"USER user\r\n"),
            (b"UIDL", b"USER user\r\n"),
        ]:
            self.setUp()
            self.offer(line)
            self.login()
            self.assertEqual(self.sent(), first)

    def test_wanted(self):
        """
        What is wanted is used, or nothing.
        """
        self.login("user")
        self.assertEqual(self.sent(), b"USER user\r\n")
        for wanted in ("scram-sha-256", "plain", "oauthbearer", "xoauth2", "apop"):
            self.setUp()
            self.offer(b"UIDL")
            self.failureResultOf(self.login(wanted), NotOffered)
            self.assertEqual(self.sent(), b"")

    def test_apop(self):
        """
        APOP is used where it is wanted, and the server gave a challenge.
        """
        self.client.serverChallenge = b"<1896.697170952@dbc.mtview.ca.us>"
        asked = self.login("apop", b"tanstaaf")
        # The example of RFC 1939, section 7.
        self.assertEqual(self.sent(), b"APOP user c4c9334bac560ecc979e58001b3e22fb\r\n")
        self.say(b"+OK maildrop has 1 message\r\n")
        self.successResultOf(asked)

    def test_apopUnasked(self):
        """
        A challenge in the greeting does not turn it on: its hash is no protection.
        """
        self.client.serverChallenge = b"<1@host>"
        self.login()
        self.assertTrue(self.sent().startswith(b"AUTH SCRAM"))

    def test_empty(self):
        """
        A secret that a mechanism cannot take is an error here, not there.
        """
        self.failureResultOf(self.login("plain", b""), SaslError)
        self.assertEqual(self.sent(), b"")


class ConversationTests(AuthenticationCase):
    """
    AUTH, challenges and responses.
    """

    def test_scram(self):
        """
        Both sides prove that they know the password.
        """
        mechanism = ScramMechanism("SCRAM-SHA-256")
        server = mechanism.make_server(lambda user: mechanism.make_auth_info("secret"))
        asked = self.login()
        command = self.sent().split()
        server.set_client_first(b64decode(command[2]).decode())
        final = self.say(b"+ %b\r\n" % b64encode(server.get_server_first().encode()))
        server.set_client_final(b64decode(final).decode())
        last = self.say(b"+ %b\r\n" % b64encode(server.get_server_final().encode()))
        self.assertEqual(last, b"\r\n")
        self.say(b"+OK in\r\n")
        self.assertEqual(self.successResultOf(asked), b"in")

    def test_endless(self):
        """
        A server that goes on with challenges when it was told to stop is given up.
        """
        asked = self.login("plain")
        self.assertEqual(self.say(b"+ \r\n"), b"*\r\n")
        self.assertEqual(self.say(b"+ \r\n"), b"")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.failureResultOf(asked, ProtocolViolation)

    def test_scramUnproved(self):
        """
        A server that says yes without its proof is not believed.
        """
        asked = self.login()
        self.say(b"+OK in\r\n")
        self.failureResultOf(asked, SaslError)

    def test_scramNonsense(self):
        """
        A challenge that makes no sense ends the conversation, and then the login.
        """
        for challenge in (b"", b"!!!", b64encode(b"r=other,s=x,i=1"), b"\xff"):
            self.setUp()
            asked = self.login()
            self.assertEqual(self.say(b"+ %b\r\n" % challenge), b"*\r\n", challenge)
            self.assertNoResult(asked)
            self.say(b"-ERR as you like\r\n")
            self.failureResultOf(asked, SaslError)
            self.client.noop()
            self.assertEqual(self.sent(), b"NOOP\r\n")

    def test_refused(self):
        """
        A refusal is the server's.
        """
        asked = self.login("plain")
        self.say(b"-ERR [AUTH] no\r\n")
        self.failureResultOf(asked, NotAuthenticated)

    def test_longInitial(self):
        """
        An initial response that is too long for the command waits for the server.
        """
        token = b"t" * 300
        asked = self.login("xoauth2", token)
        self.assertEqual(self.sent(), b"AUTH XOAUTH2\r\n")
        response = b64decode(self.say(b"+ \r\n"))
        self.assertEqual(response, b"user=user\x01auth=Bearer " + token + b"\x01\x01")
        self.say(b"+OK\r\n")
        self.successResultOf(asked)

    def test_limit(self):
        """
        The command is at most 255 octets long, with its CRLF.
        """
        lengths = set()
        for octets in range(150, 200):
            self.setUp()
            self.login("plain", b"x" * octets)
            lengths.add(len(self.sent()))
        self.assertEqual(max(lengths), 253)
        self.assertIn(len(b"AUTH PLAIN\r\n"), lengths)

    def test_oauthRefused(self):
        """
        The token's refusal comes as a challenge, which is answered so that the server
        can say no.
        """
        for wanted, answer in [("oauthbearer", b"AQ==\r\n"), ("xoauth2", b"\r\n")]:
            self.setUp()
            asked = self.login(wanted, b"token")
            self.sent()
            said = self.say(b"+ %b\r\n" % b64encode(b'{"status":"invalid_token"}'))
            self.assertEqual(said, answer)
            self.say(b"-ERR [AUTH] no\r\n")
            self.failureResultOf(asked, NotAuthenticated)

    def test_endlessChallenge(self):
        """
        A challenge longer than any may be is given up.
        """
        asked = self.login()
        self.say(b"+ " + b"A" * 13000 + b"\r\n")
        self.lose(ConnectionDone)
        self.failureResultOf(asked, LineTooLong)

    def test_public(self):
        """
        Any mechanism may be used by hand; nothing else goes out meanwhile.
        """
        asked = self.client.authenticate(Plain(b"user", b"secret"))
        self.client.noop()
        self.assertEqual(self.sent(), b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
        self.assertEqual(self.say(b"+OK in\r\n"), b"NOOP\r\n")
        self.assertEqual(self.successResultOf(asked), b"in")
