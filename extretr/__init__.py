"""
Resumable mail download for POP3: the Internet-Draft *Extended RETR*, on Twisted.

Server and client are given lazily (PEP 562): they stand on ``twisted.mail.pop3``,
whose import installs the default reactor, and that is the application's choice.
"""

from typing import TYPE_CHECKING, Any

from extretr.interfaces import ISeekableMailbox
from extretr.mailbox import SeekableMailbox

if TYPE_CHECKING:
    from extretr.client.protocol import ResumingPOP3Client
    from extretr.server.factory import ExtendedMailService, ExtendedPOP3Factory
    from extretr.server.protocol import (
        ExtendedPOP3,
        ExtendedRETRMixin,
        ExtendedVirtualPOP3,
    )

__all__ = [
    "ExtendedMailService",
    "ExtendedPOP3",
    "ExtendedPOP3Factory",
    "ExtendedRETRMixin",
    "ExtendedVirtualPOP3",
    "ISeekableMailbox",
    "ResumingPOP3Client",
    "SeekableMailbox",
]

_LAZY = {
    "ExtendedMailService": "extretr.server.factory",
    "ExtendedPOP3": "extretr.server.protocol",
    "ExtendedPOP3Factory": "extretr.server.factory",
    "ExtendedRETRMixin": "extretr.server.protocol",
    "ExtendedVirtualPOP3": "extretr.server.protocol",
    "ResumingPOP3Client": "extretr.client.protocol",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
