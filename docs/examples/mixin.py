"""The mixin over somebody's own POP3 subclass."""

from twisted.mail.pop3 import POP3

from extretr import ExtendedRETRMixin


class TheirPOP3(POP3):
    """A server class that somebody wrote, with a command of its own."""

    def do_XHELLO(self, name=b"world"):
        self.successResponse(b"hello " + name)


class ResumablePOP3(ExtendedRETRMixin, TheirPOP3):
    """The same, resumable."""
