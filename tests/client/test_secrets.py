"""
Where passwords come from.
"""

import os
import subprocess
import sys
import types
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from extretr.client.secrets import NoPassword, password_for
from extretr.errors import ExtRetrError

HOST = "mail.example.org"
USER = "alice@example.org"

NETRC = """\
# Others first.
machine ftp.example.org login alice password wrong1
machine mail.example.org
    login bob
    password wrong2
machine Mail.Example.Org login alice@example.org password "hu sh"
machine mail.example.org login carol password wrong3
default login dave password d
"""


def nobody(prompt):
    raise AssertionError("nobody is to be asked")


class Secrets(SynchronousTestCase):
    """
    A home with nothing in it, and a keyring that knows nothing.
    """

    def setUp(self):
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.during(mock.patch.dict(os.environ, {"HOME": str(self.home), "NETRC": ""}))
        self.known = {}
        self.keyring(lambda host, user: self.known.get((host, user)))

    def during(self, patch):
        patch.start()
        self.addCleanup(patch.stop)

    def keyring(self, get_password):
        module = types.ModuleType("keyring")
        module.get_password = get_password
        self.during(mock.patch.dict(sys.modules, {"keyring": module}))

    def get(self, command=None, ask=nobody, user=USER, **more):
        return password_for(HOST, user, command, ask=ask, **more)

    def refused(self, command=None, ask=None, **more):
        """
        Give the text of the refusal.
        """
        error = self.assertRaises(NoPassword, self.get, command, ask, **more)
        self.assertIsInstance(error, ExtRetrError)
        return str(error)

    def write(self, text, name=".netrc", mode=0o600):
        path = self.home / name
        path.write_text(text, "utf-8")
        path.chmod(mode)
        return path


class CommandTests(Secrets):
    """
    A command that prints the password.
    """

    def test_firstLine(self):
        """
        The password is the first line of what it prints, without the line end.
        """
        for command, password in [
            ("echo hush", b"hush"),
            ("printf hush", b"hush"),
            (r"printf 'hush\r\n'", b"hush"),
            (r"printf ' hu sh \nlogin: alice\n'", b" hu sh "),
            (r"printf '\377\n'", b"\xff"),
        ]:
            self.assertEqual(self.get(command), password)

    def test_first(self):
        """
        Where there is a command nothing else is asked.
        """
        self.write(NETRC)
        self.known[HOST, USER] = "wrong"
        self.assertEqual(self.get("echo hush"), b"hush")

    def test_fails(self):
        """
        Where it fails there is no password, and the text shows nothing of it.
        """
        self.write(NETRC)
        for command, why in [
            ("echo hush; exit 3", "failed with status 3"),
            ("echo hush; kill -9 $$", "ended by signal 9"),
            ("echo; echo hush", "is empty"),
            ("true", "is empty"),
            (r"printf 'hush\0\n'", "NUL"),
            (r"printf 'hu\rsh\n'", "line end"),
        ]:
            text = self.refused(command, nobody)
            self.assertIn(why, text)
            self.assertNotIn("hu", text)

    def test_cannotBeRun(self):
        """
        Where there is no shell there is no password.
        """

        def run(command, **more):
            raise OSError(8, "Exec format error", "hush")

        text = self.refused("echo hush", run=run)
        self.assertIn("cannot be run: Exec format error", text)
        self.assertNotIn("hush", text)

    def test_names(self):
        """
        The text says whose password it is.
        """
        self.assertIn(f"{USER} at {HOST}", self.refused("false"))

    def test_standardError(self):
        """
        Only what it prints is taken; complaints go where ours go.
        """
        given = {}

        def run(command, **more):
            given.update(more)
            return subprocess.CompletedProcess(command, 0, b"hush\n")

        self.get("pass mail/work", run=run)
        self.assertEqual(given, {"shell": True, "stdout": subprocess.PIPE})


class NetrcTests(Secrets):
    """
    The netrc file.
    """

    def test_entry(self):
        """
        Host and login must both match; a host may have several logins.
        """
        self.write(NETRC)
        self.assertEqual(self.get(), b"hu sh")
        self.assertEqual(self.get(user="carol"), b"wrong3")
        self.assertEqual(self.get(user="bob"), b"wrong2")
        self.refused(user="alice")
        self.refused(user="")

    def test_default(self):
        """
        The default entry is for its login alone.
        """
        self.write(NETRC)
        self.assertEqual(self.get(user="dave"), b"d")
        self.refused(user="erin")

    def test_withoutPassword(self):
        """
        An entry that holds no password is passed over.
        """
        self.write(f"machine {HOST} login {USER}\nmachine x login y password z\n")
        self.assertEqual(self.get(ask=lambda prompt: "typed"), b"typed")
        self.write(f"machine {HOST} login {USER}\ndefault login {USER} password z\n")
        self.assertEqual(self.get(), b"z")

    def test_notAscii(self):
        """
        A password is given in UTF-8.
        """
        self.write(f"machine {HOST} login {USER} password p\u00e4ss\n")
        self.assertEqual(self.get(), "p\u00e4ss".encode())

    def test_places(self):
        """
        The file is the one given, or $NETRC, or ~/.netrc.
        """
        self.write(f"machine {HOST} login {USER} password home\n")
        other = self.write(f"machine {HOST} login {USER} password variable\n", "other")
        third = self.write(f"machine {HOST} login {USER} password given\n", "third")
        self.assertEqual(self.get(), b"home")
        os.environ["NETRC"] = str(other)
        self.assertEqual(self.get(), b"variable")
        self.assertEqual(self.get(netrc_path=third), b"given")

    def test_othersCanRead(self):
        """
        A password that others can read is refused, and the text says what to do.
        """
        for mode in (0o640, 0o604, 0o620, 0o611):
            path = self.write(NETRC, mode=mode)
            text = self.refused(ask=nobody)
            self.assertIn(f"chmod 600 {path}", text)
            self.assertNotIn("hu sh", text)
            self.assertIn("chmod 600", self.refused(ask=nobody, netrc_path=path))

    def test_othersCanReadNothing(self):
        """
        What a file says of other hosts is no matter.
        """
        self.write("machine ftp.example.org login x password y\n", mode=0o644)
        self.known[HOST, USER] = "hush"
        self.assertEqual(self.get(), b"hush")

    def test_ofAnother(self):
        """
        A password in a file of another user's is refused.
        """
        self.write(NETRC)
        uid = os.geteuid()
        self.patch(os, "geteuid", lambda: uid + 1)
        self.assertIn("belongs to another user", self.refused(ask=nobody))

    def test_lineEnd(self):
        """
        A password of more than one line is refused.
        """
        self.write(f'machine {HOST} login {USER} password "hush\nDELE 1"\n')
        text = self.refused(ask=nobody)
        self.assertIn("line end", text)
        self.assertNotIn("hush", text)

    def test_broken(self):
        """
        Where ~/.netrc is broken the user is asked; where nobody can be, it is told.
        """
        path = self.write(f"machine {HOST} login {USER} password hush squeak\n")
        self.assertEqual(self.get(ask=lambda prompt: "typed"), b"typed")
        text = self.refused()
        self.assertIn(f"{path}, line", text)
        self.assertNotIn("hush", text)
        self.assertNotIn("squeak", text)
        self.assertIn(f"{path}, line", self.refused(ask=nobody, netrc_path=path))

    def test_noText(self):
        """
        A file of octets that are no text is told of.
        """
        path = self.write("")
        path.write_bytes(b"machine \xff\xfe\n")
        self.assertIn(".netrc", self.refused())

    def test_cannotBeRead(self):
        """
        A file that cannot be read is told of where there is no password elsewhere.
        """
        (self.home / ".netrc").mkdir()
        self.assertIn("cannot be read: Is a directory", self.refused())
        self.known[HOST, USER] = "hush"
        self.assertEqual(self.get(), b"hush")

    def test_missing(self):
        """
        A file that was chosen has to be there.
        """
        path = self.home / "nowhere"
        text = self.refused(ask=nobody, netrc_path=path)
        self.assertIn(f"there is no {path}", text)
        self.assertNotIn("there is no", self.refused())

    @settings(deadline=None, derandomize=True)
    @given(st.binary(max_size=80))
    def test_anyFile(self, octets):
        """
        No file does more harm than that there is no password.
        """
        path = self.home / "any"
        path.write_bytes(b"machine mail.example.org login x password " + octets)
        path.chmod(0o600)
        try:
            password = self.get(ask=lambda prompt: "typed", netrc_path=path, user="x")
        except NoPassword:
            return
        self.assertTrue(password)


class KeyringTests(Secrets):
    """
    The keyring library.
    """

    def test_found(self):
        """
        The service is the host, the user name the user's.
        """
        self.known[HOST, USER] = "hush\u00e4"
        self.assertEqual(self.get(), "hush\u00e4".encode())
        self.refused(user="bob")

    def test_afterNetrc(self):
        """
        The netrc file is looked into before.
        """
        self.write(NETRC)
        self.known[HOST, USER] = "wrong"
        self.assertEqual(self.get(), b"hu sh")

    def test_fails(self):
        """
        Where its backend fails the user is asked; where nobody can be, it is told.
        """

        class Locked(Exception):
            pass

        def fail(host, user):
            raise Locked("hush")

        self.keyring(fail)
        self.assertEqual(self.get(ask=lambda prompt: "typed"), b"typed")
        text = self.refused()
        self.assertIn("could not be asked (Locked)", text)
        self.assertNotIn("hush", text)

    def test_notInstalled(self):
        """
        Where there is no such library it is not missed.
        """
        self.during(mock.patch.dict(sys.modules, {"keyring": None}))
        self.assertNotIn("could not", self.refused())

    def test_broken(self):
        """
        Where the library cannot be loaded the user is asked.
        """
        folder = self.home / "broken"
        folder.mkdir()
        (folder / "keyring.py").write_text("raise RuntimeError('no bus')\n")
        self.patch(sys, "path", [str(folder), *sys.path])
        self.during(mock.patch.dict(sys.modules))
        del sys.modules["keyring"]
        self.assertEqual(self.get(ask=lambda prompt: "typed"), b"typed")
        self.assertIn("does not work (RuntimeError)", self.refused())


class AskTests(Secrets):
    """
    Whoever sits at the terminal.
    """

    def test_asked(self):
        """
        The question says whose password it is.
        """
        asked = []

        def ask(prompt):
            asked.append(prompt)
            return "hush\udcff"

        self.assertEqual(self.get(ask=ask), b"hush\xff")
        self.assertEqual(asked, [f"Password for {USER} at {HOST}: "])

    def test_nothing(self):
        """
        An empty answer, or an end of file, is none.
        """

        def ended(prompt):
            raise EOFError

        for ask in (ended, lambda prompt: ""):
            self.assertIn("no password was given", self.refused(ask=ask))

    def test_nobody(self):
        """
        Where nobody can be asked the text says where to put the password.
        """
        text = self.refused()
        self.assertIn(f"no password for {USER} at {HOST}: give --passwordeval", text)
        self.assertIn("~/.netrc", text)
