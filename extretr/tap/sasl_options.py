"""
How users may log in beside name and password: options of ``twistd extretr run``.
"""

from twisted.python import usage

from extretr.server.certificate_users import RULES
from extretr.tap.tls_options import TLSOptions


class SaslOptions(TLSOptions):
    """
    ``--token-check``, ``--certificate-user`` and ``--apop``.
    """

    optParameters = [
        [
            "token-check",
            None,
            None,
            "A command that checks OAuth tokens (OAUTHBEARER, XOAUTH2): it reads two"
            " lines, the user asked for and the token, and prints the user's name."
            " Exit status 0: good; 1: refused; else: try again later.",
        ],
        [
            "certificate-user",
            None,
            None,
            "Let users in by client certificates (EXTERNAL), under the name in the"
            " subject (cn) or the e-mail address in the alternative names (email).",
        ],
    ]

    optFlags = [
        [
            "apop",
            None,
            "Offer APOP to users whose password is in the users file in clear.",
        ],
    ]

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        if self["certificate-user"] not in (None, *RULES):
            raise usage.UsageError(f"--certificate-user is one of {', '.join(RULES)}")
        if self["certificate-user"] and not self["client-ca"]:
            raise usage.UsageError("--certificate-user needs --client-ca PEM")
        if self["token-check"] is not None and not self["token-check"].strip():
            raise usage.UsageError("--token-check is a command")
        if self["apop"] and not self["users"]:
            raise usage.UsageError("--apop needs --users FILE")
