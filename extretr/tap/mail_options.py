"""
Where maildrops rest: the options of ``twistd extretr run`` that say it.
"""

import os
import re

from twisted.python import usage

from extretr.stores.lock import MOST_TAKEOVER_AFTER
from extretr.stores.paths import PathTemplate
from extretr.stores.unique_ids import UNIQUE_IDS
from extretr.tap.one_line import OneLineOptions

MAIL_KINDS = ("maildir", "mbox", "mboxrd")


class MailOptions(OneLineOptions):
    """
    ``--mail`` and what goes with it.
    """

    optParameters = [
        [
            "mail",
            "m",
            None,
            "Where maildrops rest: maildir:PATH, mbox:PATH or mboxrd:PATH."
            " %u is the user, %n the part before @, %d the domain.",
        ],
        [
            "state",
            None,
            None,
            "Where the index and the session locks lie (may hold %u, %n, %d)."
            " [default: in the Maildir; for mbox the state folder of the user]",
        ],
        [
            "unique-ids",
            None,
            "name",
            "What UIDL gives for a Maildir: name, or what dovecot or courier gave,"
            " so that nobody who moves here downloads everything again.",
        ],
        [
            "takeover-after",
            None,
            "15",
            "Seconds that a login waits for a sign of life of the session that holds"
            f" the maildrop, before it takes over; at most {MOST_TAKEOVER_AFTER:g}.",
        ],
    ]

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        if self["unique-ids"] not in UNIQUE_IDS:
            raise usage.UsageError(
                f"--unique-ids is one of {', '.join(sorted(UNIQUE_IDS))}"
            )
        self["takeover-after"] = _seconds(self["takeover-after"])
        if self["mail"]:
            self._checkMail()
        elif self["state"] is not None or self["unique-ids"] != "name":
            raise usage.UsageError("--state and --unique-ids need --mail KIND:PATH")

    def _checkMail(self) -> None:
        kind, _, path = self["mail"].partition(":")
        if kind not in MAIL_KINDS or not path:
            raise usage.UsageError(
                f"--mail is KIND:PATH, with KIND one of {', '.join(MAIL_KINDS)}"
            )
        if kind != "maildir" and self["unique-ids"] != "name":
            raise usage.UsageError("--unique-ids is for maildir: only")
        self["kind"] = kind
        self["template"] = _template("--mail", path)
        root = os.fsdecode(self["template"].root)
        if kind != "maildir" and not re.search("%[und]", path):
            # One mbox, whoever logs in.
            root = os.path.dirname(root)
        self["root"] = root
        if not os.path.isdir(root):
            raise usage.UsageError(f"--mail: there is no folder {root}")
        if self["state"] is not None:
            state = os.path.abspath(self["state"])
            if "%" not in state:
                state = os.path.join(state, "%u")
            self["state"] = _template("--state", state)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_TAKEOVER_AFTER:
        raise usage.UsageError(
            f"--takeover-after is a number of seconds, at most {MOST_TAKEOVER_AFTER:g}"
        )
    return seconds


def _template(option: str, path: str) -> PathTemplate:
    try:
        return PathTemplate(os.fsencode(os.path.abspath(path)))
    except ValueError as error:
        raise usage.UsageError(f"{option}: {error}") from None
