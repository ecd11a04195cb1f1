"""
Metrics and logs of a real server: a download that is cut and resumed shows in them.
"""

import http.client
import json
import os
import poplib
import re
import signal
import socket
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from tests import models
from tests.interop import suite_of
from tests.interop.running import RunningServer, environment, twistd_command

test_suite = suite_of(__name__)

#: More than the sockets of a connection can hold.
STORED = b"Subject: long\n\n" + b"a line of some length, and then another\n" * 600_000
SAMPLE = re.compile(r"^(extretr\S*?(?:\{.*\})?) (\S+)$", re.MULTILINE)
WHOLE = models.canonical(STORED)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class MonitoringTests(SynchronousTestCase):
    """
    What an administrator sees.
    """

    def serve(self, *options, **more):
        self.metrics = free_port()
        endpoint = f"tcp:{self.metrics}:interface=127.0.0.1"
        server = RunningServer(options=("--metrics", endpoint, *options), **more)
        self.addCleanup(server.stop)
        server.deliver(b"alice", b"1", STORED)
        return server

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def values(self):
        """
        Give all samples by name and labels.
        """
        status, text = self.get("/metrics")
        self.assertEqual(status, 200)
        return {
            name: float(value)
            for name, value in re.findall(
                r"^(extretr\S*?(?:\{.*\})?) (\S+)$", text, re.M
            )
        }

    def awaits(self, name, value):
        """
        Wait until a sample has a value: sessions end a moment after their clients.
        """
        for _ in range(300):
            values = self.values()
            if values.get(name) == value:
                break
            time.sleep(0.1)
        self.assertEqual(values.get(name), value)
        return values

    def logIn(self, server, password="secret"):
        client = poplib.POP3("127.0.0.1", server.port, timeout=60)
        self.addCleanup(client.close)
        client.user("alice")
        client.pass_(password)
        return client

    def cutAndResume(self, server):
        client = self.logIn(server)
        client._putcmd("RETR 1")
        client.file.read(100_000)
        client.sock.shutdown(socket.SHUT_RDWR)
        client.close()
        client = self.logIn(server)
        _, lines, _ = client.retr("1 100000")
        self.assertEqual(b"".join(line + b"\r\n" for line in lines), WHOLE[100_000:])
        client.quit()
        client = poplib.POP3("127.0.0.1", server.port, timeout=60)
        client.user("alice")
        self.assertRaises(poplib.error_proto, client.pass_, "wrong")
        client.close()

    def assertCounted(self):
        self.awaits("extretr_sessions", 0)
        # What workers count is read from several files, one after another.
        values = self.values()
        self.assertEqual(values['extretr_retrievals_total{kind="whole"}'], 1)
        self.assertEqual(values['extretr_retrievals_total{kind="resumed"}'], 1)
        self.assertEqual(values["extretr_saved_octets_total"], 100_000)
        self.assertGreater(values["extretr_sent_octets_total"], len(WHOLE) - 100_000)
        login = 'extretr_logins_total{mechanism="PASS",outcome="%s"}'
        self.assertEqual(values[login % "accepted"], 2)
        self.assertEqual(values[login % "refused"], 1)
        self.assertEqual(values['extretr_sessions_ended_total{ending="QUIT"}'], 1)
        ending = '{ending="connection lost during a transfer"}'
        self.assertEqual(values["extretr_cut_responses_total" + ending], 1)

    def test_oneProcess(self):
        """
        The figures of one process; /health says when mail is gone.
        """
        server = self.serve()
        self.cutAndResume(server)
        self.assertCounted()
        self.assertEqual(self.get("/health")[0], 200)
        mail = server.folder / "mail"
        os.rename(mail, server.folder / "gone")
        status, said = self.get("/health")
        self.assertEqual((status, json.loads(said)["failing"]), (503, ["mail"]))
        self.assertNotIn(str(server.folder), said)

    def test_stopping(self):
        """
        While a server waits for a transfer to end it can be seen, and is not well.
        """
        server = self.serve()
        server.deliver(b"alice", b"2", STORED)
        client = self.logIn(server)
        client._putcmd("RETR 2")
        client.file.read(1000)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("stopping: ")
        status, said = self.get("/health")
        self.assertEqual(
            (status, json.loads(said)["failing"]), (503, ["stopping", "listeners"])
        )
        self.assertEqual(self.values()["extretr_sessions"], 1)
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.stop(), 0)

    def test_takeover(self):
        """
        A login that takes a maildrop from a process that was killed is a takeover.
        """
        server = self.serve()
        self.logIn(server)
        server.restart()
        self.assertEqual(self.values()["extretr_takeovers_total"], 0)
        self.logIn(server)
        self.assertEqual(self.values()["extretr_takeovers_total"], 1)

    def test_workers(self):
        """
        The figures of several processes are added up; one that is killed takes its
        sessions along, and nothing else.
        """
        server = self.serve("--workers", "2")
        self.cutAndResume(server)
        self.assertCounted()
        self.assertEqual(self.get("/health")[0], 200)
        self.logIn(server)
        self.awaits("extretr_sessions", 1)
        for pid in re.findall(r"\(process (\d+)\) serves", server.log()):
            os.kill(int(pid), signal.SIGKILL)
        self.awaits("extretr_sessions", 0)
        values = self.values()
        self.assertEqual(values["extretr_saved_octets_total"], 100_000)

    def test_check(self):
        """
        --check looks at the options of a server that runs, and disturbs nothing.
        """
        server = self.serve()
        mail = ("--mail", f"maildir:{server.folder}/mail/%u")
        users = server.folder / "users"
        before = sorted(server.folder.rglob("*"))

        def check(*options):
            return subprocess.run(
                twistd_command(
                    *("extretr", "run", *mail, "--users", str(users), "--check"),
                    *("--listen", f"tcp:{server.port}:interface=127.0.0.1"),
                    *options,
                ),
                cwd=server.folder,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=60,
            )

        done = check()
        said = "extretr: the configuration is good\n"
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, said, ""))
        with users.open("ab") as file:
            file.write(b"bad line\n")
        done = check("--metrics", "nonsense")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertEqual(len(done.stdout.splitlines()), 3, done.stdout)
        self.assertEqual(sorted(server.folder.rglob("*")), before)
        self.logIn(server)

    def test_logs(self):
        """
        With the JSON logger each line is an event, and that of a session's end has its
        figures; no password is there.
        """
        server = self.serve()
        server.kill()
        server.port, log = free_port(), server.folder / "log.json"
        endpoint = f"tcp:{server.port}:interface=127.0.0.1"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *twistd_command("-n", "--logger", "extretr.server.logs.json_lines"),
                    *(f"--pidfile={server.folder}/json.pid", "extretr", "run"),
                    *("--mail", f"maildir:{server.folder}/mail/%u"),
                    *("--users", f"{server.folder}/users", "--listen", endpoint),
                ],
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.awaitPort(server.port)
        self.cutAndResume(server)
        process.terminate()
        self.assertEqual(process.wait(60), 0)
        text = log.read_text("utf-8")
        events = [json.loads(line) for line in text.splitlines()]
        for event in events:
            self.assertLessEqual({"time", "level", "namespace", "text"}, set(event))
        ends = {
            event["ending"]: event
            for event in events
            if event.get("event") == "session"
        }
        end = ends["QUIT"]
        self.assertEqual(
            (end["user"], end["peer"], end["saved"]), ("alice", "127.0.0.1", 100_000)
        )
        self.assertGreater(end["sent"], len(WHOLE) - 100_000)
        self.assertEqual(
            (end["mechanism"], end["cut"], end["retrieved"], end["resumed"]),
            ("PASS", False, 1, 1),
        )
        self.assertTrue(ends["connection lost during a transfer"]["cut"])
        self.assertNotIn("secret", text)

    def awaitPort(self, port):
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.1)
        self.fail("it does not listen")
