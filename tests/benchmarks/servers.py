"""
The servers that are measured, each as a process of its own, with the same mail.
"""

import re
import shutil
import subprocess
import sys
import tempfile

from tests.benchmarks.client import Client
from tests.benchmarks.processes import tree
from tests.certificates import for_loopback
from tests.interop.peers import Courier, Dovecot, Mailutils, Popa3d
from tests.interop.running import ROOT, RunningServer, environment

#: Told apart from the listener in clear by its name.
_TLS = "tcp:port=0:interface=127.0.0.1"


class Server:
    """
    A running server.
    """

    name = ""
    port = tls_port = 0

    #: What it keeps of a maildrop for the next session, as patterns in the Maildir.
    remembered = ()

    #: Whether it finds the messages again without reading all of them.
    has_index = True

    def start(self):
        """
        Start, with all users and no mail; what is left is ended by `stop`.
        """
        raise NotImplementedError

    def stop(self):
        """
        End all processes.
        """
        raise NotImplementedError

    def maildir(self, user):
        """
        Give the folder of a user's Maildir.
        """
        raise NotImplementedError

    def processes(self):
        """
        Give all processes that it has now.
        """
        raise NotImplementedError

    def deliver(self, user, files):
        """
        Put messages into the maildrop of a user, who has had none.
        """
        folder = self.maildir(user) / "cur"
        for number, path in enumerate(files, 1):
            target = folder / f"{1_000_000_000 + number}.M{number}P1.bench:2,S"
            try:
                # The same file for all: the same pages in the kernel's cache.
                target.hardlink_to(path)
            except OSError:
                shutil.copy2(path, target)

    def forget(self, user):
        """
        Let the next login of a user be the first one ever.
        """
        for pattern in self.remembered:
            for path in self.maildir(user).glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


class Ours(Server):
    """
    ``twistd extretr run`` over Maildirs.
    """

    name = "extretr"
    remembered = ("extretr",)

    def __init__(self, users, options=(), beside=None):
        """
        Args:
            users: names, with the password "secret".
            options: more options of ``extretr run``.
            beside: another one of ours, whose Maildirs this one serves too.
        """
        self._users = users
        self._options = options
        self._beside = beside

    def start(self):
        mail = None if self._beside is None else f"maildir:{self._beside.mail}/%u"
        options = ["--max-connections=0", "--max-per-address=0", *self._options]
        self._server = RunningServer(
            mail=mail,
            users={user.encode(): b"secret" for user in self._users},
            options=options,
        )
        try:
            if self._beside is None:
                self.mail = self._server.folder / "mail"
            else:
                self.mail = self._beside.mail
            self._started()
        except BaseException:
            self._server.stop()
            raise

    def _started(self):
        self.port = self._server.port
        if any(option.startswith("--listen-tls") for option in self._options):
            log = self._server.wait_for_log(f"{_TLS}: listening")
            found = re.search(rf"{_TLS}: listening on \S+ port (\d+)", log)
            self.tls_port = int(found[1])

    def stop(self):
        self._server.stop()

    def maildir(self, user):
        return self.mail / user

    def processes(self):
        return tree(self._server.pid)

    def forget(self, user):
        # What a process holds in memory has to go as well.
        self._server.kill()
        super().forget(user)
        self._server.start()
        self._started()
        # What Python imports at a first login is no part of the maildrop's cost.
        with Client(self.port, b"nobody") as client:
            client.line_of(b"STAT")


def with_tls(folder):
    """
    Give the options for TLS, and the file with the certificate.
    """
    pem = folder / "certificate.pem"
    if not pem.exists():
        made = for_loopback()
        pem.write_bytes(made.certificate + made.key)
    return [f"--certificate={pem}", f"--listen-tls={_TLS}"], pem


class Program(Server):
    """
    A module of the benchmarks in a Python of its own, that prints its ports.
    """

    has_index = False

    def __init__(self, name, module, *arguments):
        self.name = name
        self._command = [sys.executable, "-m", module, *map(str, arguments)]

    def start(self):
        # Stock complains at length of each client that hangs up.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        self.port = self._told_port()

    def _told_port(self):
        line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            raise RuntimeError(f"{self.name}: {self._complaints.read().decode()}")
        return int(line)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._complaints.close()

    def processes(self):
        return tree(self._process.pid)


class Stock(Program):
    """
    Stock Twisted, over the Maildirs of ours.
    """

    def __init__(self, ours, pem):
        super().__init__("stock", "tests.benchmarks.stock", ours.mail, pem)

    def start(self):
        super().start()
        self.tls_port = self._told_port()

    def deliver(self, user, files):
        """
        Do nothing: ours has it.
        """


class QuickPopa3d(Popa3d):
    """
    popa3d with a look at the user's name alone; its hashes would be its time.
    """

    def configure(self):
        self.write(
            "etc/pam.d/popa3d",
            "auth required pam_permit.so\naccount required pam_permit.so\n",
        )


class Installed(Server):
    """
    A server of Debian.
    """

    def __init__(self, peer, users, remembered=(), tls=False):
        self.name = peer.name
        self.remembered = remembered
        self.has_index = bool(remembered)
        self._make = lambda: peer(dict.fromkeys(users, "secret"), tls=tls)

    def start(self):
        self._peer = self._make()
        self.port, self.tls_port = self._peer.port, self._peer.tls_port

    def stop(self):
        self._peer.stop()

    def maildir(self, user):
        return self._peer.maildir(user)

    def processes(self):
        return tree(self._peer.pid)

    def deliver(self, user, files):
        if isinstance(self._peer, Popa3d):
            for path in files:
                self._peer.deliver(user, path.read_bytes())
        else:
            super().deliver(user, files)


#: How the servers of Debian are made, by name.
PEERS = {
    "dovecot": lambda users: Installed(Dovecot, users, ("dovecot*",), tls=True),
    "popa3d": lambda users: Installed(QuickPopa3d, users),
    "courier": lambda users: Installed(Courier, users, ("courierpop3d*",)),
    "mailutils": lambda users: Installed(Mailutils, users, (".mu*", ".mh*")),
}
