"""
Brakes and limits: the options of ``twistd extretr run`` for them.
"""

from typing import Any

from extretr.server.limits import Brakes, Limits
from extretr.server.penalties import DELAYS
from extretr.tap.numbers import count_of, seconds_of
from extretr.tap.one_line import OneLineOptions

#: The most that a limit can be set to.
MOST = 10**9

#: What is not worth an option each.
FIXED = {
    "mostFailures": 5,
    "mostBadCommands": 20,
    "mostOctetsOfStrangers": 128 * 1024,
    "commandBurst": 500,
}


class LimitOptions(OneLineOptions):
    """
    The limits of a server, each of which may be 0: any number.
    """

    optParameters = [
        ["max-connections", None, "5000", "Connections at once, in all."],
        [
            "max-per-address",
            None,
            "100",
            "Connections at once from an address: an IPv4 one, or a /64 of IPv6.",
        ],
        ["max-per-user", None, "10", "Logins and sessions of a user at once."],
        [
            "max-logins-per-address",
            None,
            "20",
            "Logins of an address that may wait, or be checked, at once.",
        ],
        [
            "penalty",
            None,
            ",".join(f"{delay:g}" for delay in DELAYS),
            "Seconds that a login waits after one failure of its address, two, and so"
            " on; the same wrong password counts once.",
        ],
        [
            "login-timeout",
            None,
            "60",
            "Seconds from the connection to a login, however busy the client is.",
        ],
        [
            "idle-timeout",
            None,
            "600",
            "Seconds without a command after which a session is ended; RFC 1939 wants"
            " 600 at least.",
        ],
        [
            "stall-timeout",
            None,
            "300",
            "Seconds without any acknowledgement after which a transfer is cut; one"
            " that is slow is never cut.",
        ],
        [
            "command-rate",
            None,
            "50",
            "Commands a second in a session, not counting those for one message.",
        ],
        [
            "login-delay",
            None,
            "0",
            "Seconds from one login of a user to the next (LOGIN-DELAY).  Who was cut"
            " off may come back at once.",
        ],
    ]

    optFlags = [
        ["limit-local", None, "Limit peers on this host too, as behind a proxy."],
        [
            "expire-never",
            None,
            "Announce EXPIRE NEVER: here is nobody else who removes mail.",
        ],
    ]

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        for option in (
            "max-connections",
            "max-per-address",
            "max-per-user",
            "max-logins-per-address",
            "command-rate",
            "login-delay",
        ):
            self[option] = count_of(f"--{option}", self[option], 0, MOST)
        for option in ("login-timeout", "idle-timeout", "stall-timeout"):
            self[option] = seconds_of(f"--{option}", self[option])
        self["penalty"] = tuple(
            seconds_of("--penalty", delay)
            for delay in self["penalty"].split(",")
            if delay
        )


def limits_of(run: Any) -> Limits:
    """
    Give the limits that the options *run* have.
    """
    return Limits(
        connections=run["max-connections"],
        per_address=run["max-per-address"],
        per_user=run["max-per-user"],
        logins_per_address=run["max-logins-per-address"],
        login_delay=run["login-delay"],
        delays=run["penalty"],
    )


def brakes_of(run: Any, reactor: Any) -> Brakes:
    """
    Give the brakes of a process that serves alone, as the options *run* have them.
    """
    return Brakes(limits_of(run), reactor.seconds)


def session_limits(run: Any, brakes: Any) -> dict[str, Any]:
    """
    Give the attributes of sessions that the options *run* have.
    """
    return {
        **FIXED,
        "brakes": brakes,
        "limitsLocal": bool(run["limit-local"]),
        "timeOut": run["idle-timeout"] or None,
        "stallTimeOut": run["stall-timeout"] or None,
        "loginTimeOut": run["login-timeout"] or None,
        "commandRate": run["command-rate"],
        "loginDelay": run["login-delay"],
        "expire": b"NEVER" if run["expire-never"] else None,
    }
