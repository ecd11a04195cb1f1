"""
The server against programs that other people wrote: mail clients, Twisted's suite.

What needs more than the virtual environment (Debian's mail clients, a package
index) runs only where the environment has ``EXTRETR_INTEROP`` or ``CI``, so that a
plain ``trial tests`` passes on any machine.  Where it is asked for, nothing is
skipped: a program that is not installed is a failure.

A module of such tests says so in one line::

    test_suite = suite_of(__name__)
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import TestSuite

from twisted.trial.runner import TestLoader

ROOT = Path(__file__).resolve().parents[2]

#: What a checkout may hold that is not the project's.
_NOT_OURS = shutil.ignore_patterns(
    *(".git", ".hypothesis", ".*_cache", "__pycache__", "dropin.cache", "_build"),
    *("venv*", ".venv*", "build", "dist", "*.egg-info", "_trial_temp*"),
)


def is_wanted() -> bool:
    """
    Tell whether tests that need more than the virtual environment shall run.
    """
    return bool(os.environ.get("EXTRETR_INTEROP") or os.environ.get("CI"))


def suite_of(module_name: str) -> Callable[[], TestSuite]:
    """
    Give trial's ``test_suite`` hook for a module: its tests, or none unless wanted.
    """

    def test_suite() -> TestSuite:
        loader = TestLoader()
        suite: TestSuite = loader.suiteFactory()
        if is_wanted():
            for test_class in loader.findTestClasses(sys.modules[module_name]):
                suite.addTest(loader.loadClass(test_class))
        return suite

    return test_suite


def program(name: str) -> str:
    """
    Give the path of a program that a test runs.

    Raises:
        AssertionError: where it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is not installed: see .ci/run")
    return path


def copy_of_checkout(folder: Path) -> Path:
    """
    Copy the project's files to a new folder in *folder*, and give that.
    """
    return Path(shutil.copytree(ROOT, folder / "source", ignore=_NOT_OURS))
