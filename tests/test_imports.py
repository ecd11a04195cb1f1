"""
What importing the package does, and does not do.
"""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import extretr

ROOT = Path(__file__).resolve().parents[1]

PUBLIC = {
    "ExtendedMailService",
    "ExtendedPOP3",
    "ExtendedPOP3Factory",
    "ExtendedRETRMixin",
    "ExtendedVirtualPOP3",
    "ISeekableMailbox",
    "ResumingPOP3Client",
    "SeekableMailbox",
}


def modules_of(folder):
    """
    Give the dotted names of the modules in a folder of the package.
    """
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / folder).glob("*.py"))
    ]


class ReactorTests(SynchronousTestCase):
    """
    Which reactor is used is the application's choice.
    """

    def loaded(self, names):
        code = f"import sys, {', '.join(names)}\n"
        code += "sys.exit('twisted.internet.reactor' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
        return bool(run.returncode)

    def test_none(self):
        """
        Neither the package, nor a store, nor the command installs a reactor.
        """
        names = ["extretr", *modules_of("extretr/stores"), *modules_of("extretr/cli")]
        self.assertFalse(self.loaded(names))

    def test_the_test(self):
        """
        The probe sees a reactor where there is one.
        """
        self.assertTrue(self.loaded(["extretr", "twisted.mail.pop3"]))


class PublicNameTests(SynchronousTestCase):
    """
    The public names are there, and listed.
    """

    def test_names(self):
        """
        Each name can be had from the package itself.
        """
        for name in PUBLIC:
            self.assertTrue(getattr(extretr, name).__doc__, name)
        self.assertEqual(set(extretr.__all__), PUBLIC)
        self.assertLessEqual(PUBLIC, set(dir(extretr)))

    def test_unknown(self):
        """
        Any other name is an AttributeError.
        """
        self.assertRaises(AttributeError, getattr, extretr, "MaildirMailbox")
