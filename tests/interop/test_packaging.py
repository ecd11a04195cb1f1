"""
The package as users install it: a wheel, and an editable checkout.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import ROOT, copy_of_checkout, suite_of
from tests.interop.running import RunningServer

test_suite = suite_of(__name__)

IMPORT_ALL = """
import importlib, pathlib, sys, extretr
root = pathlib.Path(extretr.__file__).parent
assert not root.is_relative_to(sys.argv[1]), root
for path in sorted(root.rglob("*.py")):
    parts = path.relative_to(root.parent).with_suffix("").parts
    if parts[-1] == "metrics":
        continue  # its library is an extra
    importlib.import_module(".".join(parts).removesuffix(".__init__"))
"""

#: A backend of the package keyring.
RING = """
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        return {("127.0.0.1", "alice"): "secret"}.get((service, username))

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError
"""


class PackagingTests(SynchronousTestCase):
    """
    Built, installed and found.
    """

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="extretr-packaging-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = copy_of_checkout(self.folder)

    def run_in(self, *command, status=0, **more):
        """
        Run a command outside any checkout, and give what it prints.
        """
        env = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        }
        run = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env={**env, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        return run.stdout

    def venv(self, name):
        self.run_in(sys.executable, "-m", "venv", self.folder / name)
        return self.folder / name / "bin"

    def files(self, *names):
        """
        Give the files below folders of the source, by their paths in it.
        """
        return {
            path.relative_to(self.source).as_posix()
            for name in names
            for path in (self.source / name).rglob("*")
            if path.is_file()
        }

    def wheel_of(self, source, pip):
        """
        Build a wheel, look into it, and give it.
        """
        expected = self.files("extretr", "twisted")
        self.run_in(*pip, "wheel", "--no-deps", "-w", self.folder, source)
        (wheel,) = self.folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        dist_info = {name for name in names if ".dist-info/" in name}
        self.assertEqual(names - dist_info, expected)
        self.assertTrue(any(name.endswith("licenses/LICENSE") for name in dist_info))
        self.assertFalse([name for name in names if name.startswith("twisted/__init")])
        return wheel

    def test_wheel(self):
        """
        The wheel holds the package and the plugin, and nothing that hurts Twisted; it
        installs into a clean environment, where every module imports and twistd
        lists it.
        """
        scripts = self.venv("clean")
        pip = (scripts / "python", "-m", "pip", "-q")
        wheel = self.wheel_of(self.source, pip)
        self.run_in(*pip, "install", wheel)
        self.run_in(*pip, "check")
        self.run_in(scripts / "python", "-c", IMPORT_ALL, ROOT)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))
        options = self.run_in(scripts / "twistd", "extretr", "run", "--help")
        self.assertIn("--listen", options)
        self.assertIn("password", self.run_in(scripts / "extretr", "--help"))

    def test_sdist(self):
        """
        The source distribution holds the tests and the docs too, and builds the same
        wheel.
        """
        scripts = self.venv("sdist")
        pip = (scripts / "python", "-m", "pip", "-q")
        expected = self.files("extretr", "twisted", "tests", "docs")
        expected |= {"LICENSE", "README.rst", "MANIFEST.in", "pyproject.toml"}
        expected |= {"setup.cfg", "PKG-INFO"}
        self.run_in(*pip, "install", "build")
        build = (scripts / "python", "-m", "build", "--sdist", "-o", self.folder)
        self.run_in(*build, self.source)
        (sdist,) = self.folder.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = {
                member.name.partition("/")[2]
                for member in archive.getmembers()
                if member.isfile()
            }
        egg_info = {name for name in names if name.startswith("extretr.egg-info/")}
        self.assertEqual(names - egg_info, expected)
        shutil.rmtree(self.source / "extretr.egg-info", ignore_errors=True)
        self.wheel_of(sdist, pip)

    def test_install(self):
        """
        ``pip install .`` makes twistd list it.
        """
        scripts = self.venv("plain")
        self.run_in(scripts / "python", "-m", "pip", "-q", "install", self.source)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))

    def test_keyring(self):
        """
        With the extra *keyring* the password is that of the user's keyring, under the
        server's name and the user's; one that does not work is said.
        """
        scripts = self.venv("keyring")
        pip = (scripts / "python", "-m", "pip", "-q")
        self.run_in(*pip, "install", f"{self.source}[keyring]")
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = self.run_in(scripts / "python", "-c", purelib).strip()
        Path(site, "ring_of_tests.py").write_text(RING, "utf-8")
        with RunningServer() as server:
            server.deliver(b"alice", b"1", b"Subject: one\n\none\n")
            fetch = (
                *(scripts / "extretr", "fetch", "--json"),
                *("--state", self.folder / "state", "--to", self.folder / "mail"),
                f"pop3://alice@127.0.0.1:{server.port}",
            )
            keyring = "keyring.backends.fail.Keyring"
            said = self.run_in(*fetch, status=77, PYTHON_KEYRING_BACKEND=keyring)
            self.assertIn("the keyring could not be asked (NoKeyringError)", said)
            keyring = "ring_of_tests.Keyring"
            self.run_in(*fetch, PYTHON_KEYRING_BACKEND=keyring)
        (mail,) = (self.folder / "mail" / "new").iterdir()
        self.assertEqual(mail.read_bytes(), b"Subject: one\n\none\n")

    def test_editable(self):
        """
        ``pip install -e .`` makes twistd list it too.
        """
        scripts = self.venv("editable")
        pip = (scripts / "python", "-m", "pip", "-q")
        self.run_in(*pip, "install", "-e", self.source)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))
