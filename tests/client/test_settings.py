"""
The settings of an account, and their values.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from extretr.client import authentication
from extretr.client.account import Account
from extretr.client.settings import AUTH, SETTINGS
from extretr.client.values import BadValue


class ValueTests(SynchronousTestCase):
    """
    Values of settings.
    """

    def read(self, key, value):
        [setting] = [each for each in SETTINGS if each.key == key]
        return setting.read(value, Path("/base"))

    def test_good(self):
        """
        Each setting takes what its help says.
        """
        for key, value, parsed in [
            ("auth", "scram-sha-256", "scram-sha-256"),
            ("passwordeval", "pass mail", "pass mail"),
            ("passwordeval", " ", None),
            ("filter", "", None),
            ("netrc", "secrets", Path("/base/secrets")),
            ("netrc", "", None),
            ("ca_file", "/etc/ca.pem", Path("/etc/ca.pem")),
            ("plaintext", True, True),
            ("resume", False, False),
            ("delete_after", "never", None),
            ("delete_after", "delivery", 0.0),
            ("delete_after", "30d", 30.0),
            ("delete_after", "12h", 0.5),
            ("delete_after", "36 m", 0.025),
            ("delete_after", "86400s", 1.0),
            ("max_size", "none", None),
            ("max_size", 500000, 500000),
            ("max_size", "500000", 500000),
            ("max_size", "10k", 10240),
            ("max_size", "10 M", 10 * 1024**2),
            ("max_size", "1.5G", 3 * 1024**3 // 2),
            ("oversize", "headers", "headers"),
            ("line_ends", "crlf", "crlf"),
            ("timeout", 60, 60.0),
            ("timeout", 0.5, 0.5),
            ("timeout", "90", 90.0),
            ("timeout", "1.5m", 90.0),
            ("timeout", "24h", 86400.0),
            ("attempts", 0, 0),
            ("attempts", "12", 12),
            ("partial_days", 7, 7),
        ]:
            read = self.read(key, value)
            self.assertEqual((read, type(read)), (parsed, type(parsed)), key)

    def test_bad(self):
        """
        Each setting refuses anything else, and the text says what it takes.
        """
        for key, value, text in [
            ("to", 1, "must be a text in quotes, not a whole number"),
            ("auth", "palin", "did you mean plain?"),
            ("auth", "SCRAM-SHA-256", "did you mean scram-sha-256?"),
            ("auth", "x", "must be one of auto, "),
            ("auth", ["plain"], "not a list"),
            ("passwordeval", {"a": 1}, "not a table"),
            ("passwordeval", "a\0", "NUL"),
            ("netrc", "a\0", "must be a path"),
            ("plaintext", "true", "must be true or false, not a text in quotes"),
            ("plaintext", 1, "must be true or false"),
            ("resume", "no", "must be true or false"),
            ("delete_after", 30, '"never", "delivery"'),
            ("delete_after", True, "not true or false"),
            ("delete_after", "30", "30d"),
            ("delete_after", "30 days", "30d"),
            ("delete_after", "-1d", "30d"),
            ("delete_after", "1d12h", "30d"),
            ("delete_after", "\u0663d", "30d"),
            ("max_size", 0, "not 0"),
            ("max_size", "0.0001k", "not 0"),
            ("max_size", -1, "octets"),
            ("max_size", 1.5, "not a number"),
            ("max_size", True, "not true or false"),
            ("max_size", "10MB", "10M"),
            ("max_size", "9" * 5000, "octets"),
            ("max_size", 16**5000, "too large"),
            ("oversize", "Skip", "did you mean skip?"),
            ("line_ends", "\n", "must be one of lf, crlf"),
            ("timeout", 0, "not 0"),
            ("timeout", -1, "not 0"),
            ("timeout", float("inf"), "seconds"),
            ("timeout", float("nan"), "seconds"),
            ("timeout", 1e300, "seconds"),
            ("timeout", "2d", "at most a day"),
            ("timeout", "\u0663", "seconds"),
            ("timeout", "", "seconds"),
            ("attempts", -1, "whole number, 0 or more"),
            ("attempts", 1.0, "must be a whole number"),
            ("attempts", "ten", "whole number"),
            ("partial_days", "30d", "whole number"),
        ]:
            error = self.assertRaises(BadValue, self.read, key, value)
            self.assertIn(text, str(error), (key, value))

    def test_fields(self):
        """
        Each setting is a field of an account, and the help says the same default.
        """
        fields = Account.__dataclass_fields__
        for setting in SETTINGS:
            self.assertIn(setting.key, fields)
            default = fields[setting.key].default
            if isinstance(default, (str, int, float)) and not isinstance(default, bool):
                shown = (
                    f"(default: {default:g})" if default != str(default) else default
                )
                self.assertIn(str(shown), setting.help)

    def test_methods(self):
        """
        The ways to log in are those that the client knows.
        """
        self.assertEqual(AUTH, authentication.METHODS)
