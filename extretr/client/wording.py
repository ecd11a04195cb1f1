"""
What goes wrong in a fetch, as a line for people.
"""

import os

from OpenSSL.SSL import Error as TLSFailure
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionDone,
)
from twisted.internet.error import TimeoutError as Silence

from extretr.client.refusals import ServerRefusal


def describe(error: BaseException) -> str:
    """
    Say in a line what an exception means.
    """
    text = " ".join(_text(error).split()).rstrip(".")
    return text or type(error).__name__


def _text(error: BaseException) -> str:
    if isinstance(error, ServerRefusal):
        return f"the server says: {error}"
    if isinstance(error, TLSFailure):
        # OpenSSL's own list: of what, where in it, why.
        reasons = error.args[0] if error.args else []
        return ": ".join(["TLS failed", *(reason[-1] for reason in reasons[:1])])
    if isinstance(error, ConnectionDone):
        return "the server closed the connection"
    if isinstance(error, ConnectionClosed):
        return "the connection was lost"
    if isinstance(error, Silence):
        return "".join(error.args[:1]) or "the server does not answer"
    if isinstance(error, ConnectError) and error.args:
        return f"cannot connect: {error.args[-1]}"
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return error.strerror
        where = os.fsencode(error.filename).decode("utf-8", "backslashreplace")
        return f"{where}: {error.strerror}"
    return str(error)
