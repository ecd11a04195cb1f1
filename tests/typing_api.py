"""
The public names as a user's type checker sees them: checked by mypy, never run.
"""

from collections.abc import Callable

from twisted.mail import pop3

from extretr import (
    ExtendedMailService,
    ExtendedPOP3,
    ExtendedPOP3Factory,
    ExtendedRETRMixin,
    ExtendedVirtualPOP3,
    ISeekableMailbox,
    ResumingPOP3Client,
    SeekableMailbox,
)


class Mine(ExtendedRETRMixin, pop3.POP3):
    """
    Somebody's own server class.
    """

    requireTLS = True


def use(mailbox: pop3.Mailbox, service: ExtendedMailService) -> list[object]:
    """
    Use each name once.
    """
    seekable: SeekableMailbox = SeekableMailbox(mailbox)
    adapted = ISeekableMailbox(seekable)
    deleted: bool = seekable.isDeleted(0)
    capabilities: Callable[[], list[bytes]] = ExtendedPOP3().listCapabilities
    factory: ExtendedPOP3Factory = service.getPOP3Factory()
    client: pop3.AdvancedPOP3Client = ResumingPOP3Client()
    return [
        client,
        adapted,
        deleted,
        capabilities,
        factory,
        ExtendedVirtualPOP3(),
        Mine(),
    ]
