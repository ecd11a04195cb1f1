"""
The passwords of one run, each asked for when it is first needed.
"""

import getpass
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from extretr.cli.interruptions import Interrupted, interruptible

if TYPE_CHECKING:
    from extretr.client.account import Account


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except Interrupted:
        # The prompt is not left in front of what is said next.
        print(file=sys.stderr)
        raise


class Secrets:
    """
    The passwords of this run, each asked for when it is first needed.
    """

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def of(self, account: "Account") -> Callable[[], bytes]:
        """
        Give what gives the password of an account.
        """

        def give() -> bytes:
            from extretr.client.fetch import Stopped
            from extretr.client.secrets import password_for

            if account.name in self._known:
                return self._known[account.name]
            try:
                with interruptible():
                    secret = password_for(
                        account.host,
                        account.user,
                        account.passwordeval,
                        netrc_path=account.netrc,
                        ask=_ask if sys.stdin.isatty() else None,
                    )
            except Interrupted:
                raise Stopped from None
            # A token may be of use for an hour, and no longer.
            if account.auth not in ("oauthbearer", "xoauth2"):
                self._known[account.name] = secret
            return secret

        return give

    def forget(self, name: str) -> None:
        """
        Ask again for a password that was no good.
        """
        self._known.pop(name, None)
