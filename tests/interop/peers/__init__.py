r"""
POP3 servers that others wrote, as Debian has them, each on a free loopback port.

::

    with Dovecot(users={"alice": "secret"}, tls=True) as server:
        server.deliver("alice", b"Subject: hello\n\nhello\n")
        poplib.POP3("127.0.0.1", server.port)

They take root and a Debian machine whose package lists are up to date; the first use
downloads what is needed, some 70 MB in all, and keeps it in the folder that
EXTRETR_PEERS names, ~/.cache/extretr-peers by default.  ``python -m
tests.interop.peers`` does only that.  A server that cannot be had is an
AssertionError.
"""

from tests.interop.peers.base import Peer
from tests.interop.peers.courier import Courier
from tests.interop.peers.dovecot import Dovecot
from tests.interop.peers.mailutils import Mailutils
from tests.interop.peers.popa3d import Popa3d

ALL: tuple[type[Peer], ...] = (Dovecot, Courier, Mailutils, Popa3d)

__all__ = ["ALL", "Courier", "Dovecot", "Mailutils", "Peer", "Popa3d"]
