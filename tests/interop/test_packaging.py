"""
The package as users install it: a wheel, and an editable checkout.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import suite_of
from tests.interop.running import ROOT

test_suite = suite_of(__name__)

#: What a checkout may hold that is not the project's.
_NOT_OURS = shutil.ignore_patterns(
    ".git", "venv*", ".venv*", "build", "dist", "*.egg-info", "_trial_temp*", ".*_cache"
)

IMPORT_ALL = """
import importlib, pathlib, sys, extretr
root = pathlib.Path(extretr.__file__).parent
assert not root.is_relative_to(sys.argv[1]), root
for path in sorted(root.rglob("*.py")):
    parts = path.relative_to(root.parent).with_suffix("").parts
    importlib.import_module(".".join(parts).removesuffix(".__init__"))
"""


class PackagingTests(SynchronousTestCase):
    """
    Built, installed and found.
    """

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="extretr-packaging-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.folder / "source"
        shutil.copytree(ROOT, self.source, ignore=_NOT_OURS)

    def run_in(self, *command):
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
            env=env,
            capture_output=True,
            check=False,
            text=True,
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def venv(self, name):
        self.run_in(sys.executable, "-m", "venv", self.folder / name)
        return self.folder / name / "bin"

    def test_wheel(self):
        """
        The wheel holds the package and the plugin, and nothing that hurts Twisted; it
        installs into a clean environment, where every module imports and twistd
        lists it.
        """
        scripts = self.venv("clean")
        pip = (scripts / "python", "-m", "pip", "-q")
        self.run_in(*pip, "wheel", "--no-deps", "-w", self.folder, self.source)
        (wheel,) = self.folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        ours = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "extretr").rglob("*.py")
        }
        ours |= {"extretr/py.typed", "twisted/plugins/extretr_plugin.py"}
        dist_info = {name for name in names if ".dist-info/" in name}
        self.assertEqual(names - dist_info, ours)
        self.assertTrue(any(name.endswith("licenses/LICENSE") for name in dist_info))
        self.run_in(*pip, "install", wheel)
        self.run_in(*pip, "check")
        self.run_in(scripts / "python", "-c", IMPORT_ALL, ROOT)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))
        options = self.run_in(scripts / "twistd", "extretr", "run", "--help")
        self.assertIn("--listen", options)
        self.assertIn("password", self.run_in(scripts / "extretr", "--help"))

    def test_install(self):
        """
        ``pip install .`` makes twistd list it.
        """
        scripts = self.venv("plain")
        self.run_in(scripts / "python", "-m", "pip", "-q", "install", self.source)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))

    def test_editable(self):
        """
        ``pip install -e .`` makes twistd list it too.
        """
        scripts = self.venv("editable")
        pip = (scripts / "python", "-m", "pip", "-q")
        self.run_in(*pip, "install", "-e", self.source)
        self.assertIn("extretr", self.run_in(scripts / "twistd", "--help"))
