"""
The plugin by which ``twistd`` finds ``extretr``.

Keep the variable's name: a plugin cache older than a renamed one hides it.
"""

from twisted.application.service import ServiceMaker

extretr = ServiceMaker(
    "extretr",
    "extretr.tap",
    "A POP3 server whose downloads can be resumed (RETR msg offset).",
    "extretr",
)
