"""
What happens in a fetch, as values: for those who show it.

Each is named by its class, in lower case, in ``--json``, with the fields that it has
here.  Sizes, offsets and what is held are in canonical octets.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    Something that happened to an account.
    """

    account: str

    def fields(self) -> dict[str, Any]:
        """
        Give the event as values that JSON has, its name under "event".
        """
        values = {
            name: value.decode("ascii", "backslashreplace")
            if isinstance(value, bytes)
            else value
            for name, value in vars(self).items()
        }
        return {"event": type(self).__name__.lower(), **values}


@dataclass(frozen=True, kw_only=True)
class Connected(Event):
    """
    Logged in.
    """

    host: str
    #: Whether TLS is used.
    secure: bool
    #: Whether the server offers to resume.
    resuming: bool


@dataclass(frozen=True, kw_only=True)
class Listed(Event):
    """
    The maildrop has been looked through.
    """

    #: Messages in it, and those of them to be fetched; the octets of these, but for
    #: those whose header alone is.
    messages: int
    new: int
    octets: int
    #: Octets of these that are held already.
    held: int
    #: Messages that are to be deleted on the server.
    deletable: int


@dataclass(frozen=True, kw_only=True)
class Wanted(Event):
    """
    What would be done with a message: said by a dry run.
    """

    unique_id: bytes
    number: int
    size: int
    held: int
    #: "fetch", "header" (fetch that alone) or "delete".
    action: str


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """
    The download of a message has begun, or goes on.
    """

    unique_id: bytes
    number: int
    size: int
    #: Octets that were held before.
    resumed_at: int


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """
    More of a message is held.
    """

    unique_id: bytes
    size: int
    held: int


@dataclass(frozen=True, kw_only=True)
class BeganAgain(Event):
    """
    What was held of a message is of no use, and was thrown away.
    """

    unique_id: bytes
    why: str


@dataclass(frozen=True, kw_only=True)
class Delivered(Event):
    """
    A message is where it belongs.
    """

    unique_id: bytes
    #: Octets of it, and those that an earlier connection had brought.
    size: int
    resumed_at: int
    #: Whether it is all of the message, or its header.
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Skipped(Event):
    """
    A message is left on the server, for now.
    """

    unique_id: bytes
    why: str


@dataclass(frozen=True, kw_only=True)
class Cut(Event):
    """
    The connection did not last; after some seconds there will be another.
    """

    why: str
    wait: float


@dataclass(frozen=True, kw_only=True)
class Deleted(Event):
    """
    Messages were deleted on the server.
    """

    messages: int


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """
    Something is not as it should be.
    """

    text: str


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """
    The account could not be fetched, or not to the end.
    """

    why: str
    #: What the command exits with, by sysexits.h.
    status: int


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """
    The account is done with, for this run.
    """

    #: Messages delivered, their octets, and those of them that were not sent twice.
    delivered: int
    octets: int
    saved: int
    connections: int
