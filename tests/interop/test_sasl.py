"""
Real clients log in by each mechanism that they know.
"""

import os
import poplib
import shlex
import ssl
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority, for_loopback
from tests.interop import program, suite_of
from tests.interop.fetching import Fetcher, in_maildir
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

#: Seconds that a client may take.
PATIENCE = 60

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"

#: Knows one token, and whose it is; what it is not asked for is a failure of its own.
CHECK = """\
import sys
user, token = sys.stdin.read().splitlines()
if len(sys.argv) != 1:
    sys.exit(3)
if token != "good":
    sys.exit(1)
print("alice")
"""


class SaslTests(SynchronousTestCase):
    """
    One server with all that there is, in clear and over TLS.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        made, users = for_loopback(), Authority("users")
        own = users.issue("alice", client=True)
        self.server_pem = self.write("server.pem", made.certificate + made.key)
        self.authority = self.write("authority.pem", made.authority)
        self.users_pem = self.write("users.pem", users.certificate)
        self.cert = self.write("alice.pem", own.certificate)
        self.key = self.write("alice.key", own.key)
        check = self.write("check.py", CHECK.encode())
        self.server = RunningServer(
            users={b"alice": b"secret"},
            options=[
                "--apop",
                "--token-check",
                shlex.join([sys.executable, str(check)]),
                "--certificate",
                str(self.server_pem),
                "--client-ca",
                str(self.users_pem),
                "--certificate-user",
                "cn",
            ],
        )
        self.addCleanup(self.server.stop)
        self.server.deliver(b"alice", b"1.M1P1.host", MESSAGE)

    def write(self, name, octets):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(octets)
        return path

    def run_client(self, *command, status=0, stdin=None):
        run = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        said = run.stdout[-2000:] + run.stderr[-4000:] + self.server.log().encode()
        if status is not None:
            self.assertEqual(run.returncode, status, said)
        return run

    def curl(self, method, *options, **more):
        """
        Fetch by curl; give what it said to the server too.
        """
        return self.run_client(
            program("curl"),
            "-sS",
            "-v",
            "--ssl-reqd",
            "--cacert",
            self.authority,
            "--login-options",
            f"AUTH={method}",
            *options,
            f"pop3://localhost:{self.server.port}/1",
            **more,
        )

    def test_curl(self):
        """
        Curl, with an initial response and without.
        """
        known = [
            ("PLAIN", ("-u", "alice:secret")),
            ("OAUTHBEARER", ("-u", "alice:", "--oauth2-bearer", "good")),
            ("EXTERNAL", ("-u", "alice:", "--cert", self.cert, "--key", self.key)),
            ("+APOP", ("-u", "alice:secret")),
        ]
        for method, options in known:
            for initial in ((), ("--sasl-ir",)):
                run = self.curl(method, *options, *initial)
                self.assertEqual(run.stdout, MESSAGE, run.stderr)
                word = b"> APOP " if method == "+APOP" else b"> AUTH " + method.encode()
                self.assertIn(word, run.stderr)

    def test_curlRefused(self):
        """
        Curl is told no, and it ends.
        """
        for method, options in [
            ("PLAIN", ("-u", "alice:wrong")),
            ("OAUTHBEARER", ("-u", "alice:", "--oauth2-bearer", "bad")),
            ("+APOP", ("-u", "alice:wrong")),
        ]:
            run = self.curl(method, *options, status=67)
            self.assertIn(b"< -ERR [AUTH] ", run.stderr)
            self.assertEqual(run.stdout, b"")

    def mpop(self, method, password, *lines, status=0):
        for name in ("tmp", "new", "cur"):
            (self.folder / "in" / name).mkdir(parents=True, exist_ok=True)
        secret = f"password {password}\n" if password else ""
        config = self.write(
            "mpoprc",
            (
                "account default\nhost localhost\n"
                f"port {self.server.port}\nuser alice\n{secret}auth {method}\n"
                f"tls on\ntls_starttls on\ntls_trust_file {self.authority}\nkeep on\n"
                f"delivery maildir {self.folder / 'in'}\n"
                f"uidls_file {self.folder}/uidls-{method}\nreceived_header off\n"
                + "".join(f"{line}\n" for line in lines)
            ).encode(),
        )
        return self.run_client(program("mpop"), "-C", config, "-d", status=status)

    def test_mpop(self):
        """
        Mpop, whose SCRAM is GNU SASL's.
        """
        certificate = (f"tls_cert_file {self.cert}", f"tls_key_file {self.key}")
        for count, (method, password, lines) in enumerate(
            [
                ("user", "secret", ()),
                ("plain", "secret", ()),
                ("scram-sha-256", "secret", ()),
                ("oauthbearer", "good", ()),
                ("xoauth2", "good", ()),
                ("apop", "secret", ()),
                ("external", "", certificate),
            ],
            1,
        ):
            self.mpop(method, password, *lines)
            delivered = list((self.folder / "in" / "new").iterdir())
            self.assertEqual(len(delivered), count, method)

    def test_mpopRefused(self):
        """
        Mpop is told no, and ends.
        """
        for method, password in [
            ("scram-sha-256", "wrong"),
            ("oauthbearer", "bad"),
            ("xoauth2", "bad"),
        ]:
            run = self.mpop(method, password, status=None)
            self.assertEqual(run.returncode, os.EX_NOPERM, run.stdout + run.stderr)

    def test_poplib(self):
        """
        Python's poplib sees what is offered, before STLS and after.
        """
        client = poplib.POP3("127.0.0.1", self.server.port, timeout=PATIENCE)
        names = ["SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN"]
        self.assertEqual(client.capa()["SASL"], names)
        client.stls(ssl.create_default_context(cafile=self.authority))
        self.assertEqual(client.capa()["SASL"], ["SCRAM-SHA-256-PLUS", *names])
        client.apop("alice", "secret")
        self.assertEqual(client.stat()[0], 1)
        client.quit()

    def test_fetch(self):
        """
        Our own fetcher, by each of its own.
        """
        url = f"pop3://alice@localhost:{self.server.port}"
        for method in (
            *("auto", "scram-sha-256", "plain", "user", "apop"),
            *("oauthbearer", "xoauth2"),
        ):
            secret = "good" if "auth" in method else "secret"
            folder = self.folder / method
            fetcher = Fetcher(
                folder,
                url,
                f"maildir:{folder}/in",
                *("--ca-file", str(self.authority), "--auth", method),
                *("--passwordeval", f"echo {secret}"),
            )
            fetcher.run()
            self.assertEqual(in_maildir(folder / "in"), [MESSAGE])
            fetcher.run("--passwordeval", "echo wrong", status=os.EX_NOPERM)
