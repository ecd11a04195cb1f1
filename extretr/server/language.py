"""
UTF8 and LANG (RFC 6856), over a store whose messages are octets.

A message is sent in the same octets with UTF8 and without: a stand-in for clients
that do not ask for UTF8 would have other octets, and a download that was begun in one
session could not go on in another.  So such a client gets the message as it is, or,
where `LanguageMixin.strictUTF8` holds the server to the RFC, none.
"""

import re
from codecs import getincrementaldecoder
from typing import Any

from extretr.errors import NeedsUTF8
from extretr.message import Opened
from extretr.server.braking import BrakesMixin
from extretr.syntax import printable, success

#: The languages of the texts in replies: there is one, under its own name and under
#: that of what anybody may understand (RFC 2277, section 4.5).
LANGUAGES = {b"en": b"English", b"i-default": b"Default language"}

#: Octets of the stored form, at most, in which the end of the header is looked for.
HEADER_LIMIT = 256 * 1024

_RANGE = re.compile(rb"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_END_OF_HEADER = re.compile(rb"(?:\A|\n)\r?\n")
_Decoder = getincrementaldecoder("utf-8")


class LanguageMixin(BrakesMixin):
    """
    How a session is told of UTF-8 and of languages.
    """

    #: Whether messages with UTF-8 in their header are for clients with UTF8 alone.
    strictUTF8 = False

    #: Whether the client has asked for UTF-8 mode.
    utf8Mode = False

    _anyState = BrakesMixin._anyState | {b"UTF8", b"LANG"}

    def listCapabilities(self) -> list[bytes]:
        """
        Give the capabilities, with those of RFC 6856, in both states alike.
        """
        # Not "UTF8 USER": names and passwords are compared as octets.
        return [*super().listCapabilities(), b"UTF8", b"LANG"]

    def do_UTF8(self) -> None:
        """
        Go over to UTF-8 mode (RFC 6856, section 2.1).
        """
        if self.mbox is not None:
            self.failResponse(b"UTF8 comes before the login")
            return
        self.utf8Mode = True
        self.successResponse(b"UTF-8 mode")

    def do_STLS(self) -> None:
        """
        Refuse STLS after UTF8, which no client may do (RFC 6856, section 2.1).
        """
        if self.utf8Mode and self.mbox is None and not self.isUnderTLS():
            self.failResponse(b"STLS comes before UTF8")
            return
        super().do_STLS()

    def do_LANG(self, wanted: bytes | None = None) -> None:
        """
        List the languages, or choose one (RFC 6856, section 3).
        """
        if wanted is None:
            lines = [b"%b %b\r\n" % each for each in LANGUAGES.items()]
            listing = [success(b"language listing follows:"), *lines, b".\r\n"]
            self.transport.write(b"".join(listing))
            return
        tag = _look_up(wanted)
        if tag is None:
            self.failResponse(b"invalid language " + printable(wanted))
        else:
            self.successResponse(tag + b" this text is in English")

    def _openAt(self, message: Any, offset: int) -> Opened:
        """
        Open a message at an offset.

        Raises:
            NeedsUTF8: where this client must not get it.
        """
        opened: Opened = message.openAt(offset)
        if self.strictUTF8 and not self.utf8Mode:
            try:
                if _needs_utf8(opened):
                    raise NeedsUTF8
            except BaseException:
                opened.file.close()
                raise
        return opened


def _look_up(wanted: bytes) -> bytes | None:
    """
    Give the tag that a basic language range means (RFC 4647, section 3.4).
    """
    if not _RANGE.fullmatch(wanted):
        return None
    tag = b"en" if wanted == b"*" else wanted.lower()
    while tag and tag not in LANGUAGES:
        # "en-GB" means "en" where there is nothing nearer to it.
        tag = tag.rpartition(b"-")[0]
    return tag or None


def _needs_utf8(opened: Opened) -> bool:
    """
    Tell whether the header of a message has UTF-8 in it that is no ASCII (RFC 6532).

    Octets that are no UTF-8 either are no better after UTF8.
    """
    place = opened.position.seek
    # Some mailboxes open a message but once.
    opened.file.seek(0)
    begin = opened.file.read(min(place + opened.left, HEADER_LIMIT))
    opened.file.seek(place)
    found = _END_OF_HEADER.search(begin)
    header = begin if found is None else begin[: found.start()]
    if header.isascii():
        return False
    try:
        # At the limit it may be cut off within a character.
        _Decoder().decode(header, final=len(header) < HEADER_LIMIT)
    except UnicodeDecodeError:
        return False
    return True
