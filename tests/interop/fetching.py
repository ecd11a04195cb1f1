"""
A real ``extretr fetch`` in a process of its own, and what it has delivered.
"""

import json
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from extretr.stores.mbox import MboxStore
from extretr.stores.paths import PathTemplate
from tests import models
from tests.interop.running import environment

#: Runs the command as the installed script does.
START = "import sys; from extretr.cli import main; sys.exit(main())"

#: Seconds for which a fetch may take.
PATIENCE = 120


class Fetcher:
    """
    ``extretr fetch`` with a home of its own.
    """

    def __init__(self, folder, url, to, *options):
        self.home = Path(folder).resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(exist_ok=True)
        self.to = to
        self.arguments = [
            *("fetch", url, "--to", to, "--passwordeval", "echo secret"),
            *options,
        ]

    def start(self, *options, command=START, **more):
        """
        Start it, and give the process.
        """
        return subprocess.Popen(
            [sys.executable, "-c", command, *self.arguments, *options],
            cwd=self.home,
            env=environment(
                HOME=str(self.home), XDG_STATE_HOME=str(self.home / "state"), **more
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *options, status=0, **more):
        """
        Run it to its end, and give what it printed.
        """
        process = self.start(*options, **more)
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        if process.returncode != status:
            raise AssertionError(
                f"status {process.returncode}: {output.decode()}{errors.decode()}"
            )
        return output

    def events(self, *options, **more):
        """
        Run it to its end, and give what happened.
        """
        lines = self.run("--json", *options, **more).splitlines()
        return [json.loads(line) for line in lines]

    @property
    def state(self):
        """
        The folder of the one account.
        """
        (folder,) = (self.home / "state" / "extretr" / "fetch").iterdir()
        return folder


def in_maildir(path):
    """
    Give the messages of a Maildir in canonical form, in any order.
    """
    files = [*(path / "new").iterdir(), *(path / "cur").iterdir()]
    return sorted(models.canonical(file.read_bytes()) for file in files)


def in_mbox(path, state):
    """
    Give the messages of an mboxrd mailbox in canonical form, as our server sees them.
    """

    def at_once(steps):
        for _ in steps:
            pass
        return succeed(None)

    if not path.exists():
        return []
    store = MboxStore(
        PathTemplate(bytes(path)),
        Clock(),
        at_once,
        PathTemplate(bytes(state)),
        quoting=True,
    )
    maildrops = []
    store.openMaildrop(b"user", None).addCallback(maildrops.append)
    (maildrop,) = maildrops
    found = []
    for index in range(maildrop.countMessages()):
        opened = maildrop.openMessage(index).openAt(0)
        octets = b""
        while more := opened.file.read(65536):
            octets += more
        opened.file.close()
        found.append(models.canonical(octets))
    maildrop.close()
    return sorted(found)
