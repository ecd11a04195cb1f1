"""
What the rooms of this package promise to one another.

Each method may return its value, or a Deferred of it wherever that is said.
"""

from typing import Any

from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import Attribute, Interface


class IStoredFile(Interface):
    """
    The stored form of one message, open for reading.
    """

    def read(count: int) -> bytes:
        """
        Give at most *count* octets, none only at the end.
        """

    def seek(position: int) -> object:
        """
        Go to an octet of the stored form.
        """

    def close() -> None:
        """
        Let go of what is open.
        """


class IWholeFile(IStoredFile):
    """
    The stored form of one message that is all of a file, octet for octet.

    The kernel may be asked to send it.  Not for files that merely have a descriptor:
    that of a compressed one leads to other octets.
    """

    descriptor: int = Attribute("The descriptor that it is open at.")


class ISeekableMessage(Interface):
    """
    A message that can be sent from any offset.
    """

    size: int = Attribute("Octets of the canonical form.")

    def openAt(offset: int) -> Any:
        """
        Give an `extretr.message.Opened` at *offset* (canonical octets).

        The caller closes its file.

        Raises:
            OffsetOverrun, SplitLineEnd: where the offset cannot be sent from.
            MessageChanged: where it is no longer what was listed.
        """


class ISeekableMailbox(IMailboxPOP3):
    """
    A mailbox whose messages can be sent from any offset.

    The sizes that listMessages gives, or a Deferred of them, are those of the
    canonical form; 0 stands for a deleted message too, so ask isDeleted.
    """

    def openMessage(index: int) -> Any:
        """
        Give the `ISeekableMessage`, or a Deferred of it.

        Raises:
            NoSuchMessage: where there is none of that index, or it is deleted.
            MessageChanged: where it is no longer what was listed.
        """

    def countMessages() -> Any:
        """
        Give the number of messages, deleted ones included, or a Deferred of it.

        UIDL needs no sizes, and to measure a whole maildrop for it takes long.
        """

    def isDeleted(index: int) -> bool:
        """
        Tell whether the message is marked as deleted, or gone from the store.
        """


class IListableMailbox(ISeekableMailbox):
    """
    A seekable mailbox that can be listed piece by piece; to be one is not required.

    STAT, LIST and UIDL of many messages ask it some thousands of times less often.
    What is said of messages holds as long as no other method is called, and
    countMessages gives no Deferred.
    """

    def measureAll() -> Any:
        """
        Have all sizes measured, as listMessages does, or give a Deferred that does.

        To be called before total and sizes.
        """

    def hidden() -> Any:
        """
        Give the indexes, a set, of messages that are deleted or gone: see isDeleted.
        """

    def total() -> int:
        """
        Give the sum of the canonical sizes of all messages but the hidden ones.
        """

    def sizes(begin: int, end: int) -> Any:
        """
        Give the canonical sizes, a sequence, of messages from one index to another.

        There are messages of these indexes; what is said of hidden ones means nothing.
        """

    def uniqueIds(begin: int, end: int) -> Any:
        """
        Give the unique-ids, a sequence of bytes, in the same way.

        It needs no sizes.
        """


class IMaildrop(ISeekableMailbox):
    """
    One user's messages, numbered for one session, under the session lock.

    sync removes what is marked, or returns a Deferred that does, and raises
    LockLost (having removed nothing) or NotAllDeleted.
    """

    def close() -> Any:
        """
        End the session: release the lock, remember what was measured.

        Where much has to be remembered it gives a Deferred, and does it in steps.
        """


class ISession(Interface):
    """
    The session for which a maildrop is opened; cred's *mind*.
    """

    def lastSign() -> float:
        """
        Give the seconds since the peer last gave a sign of life.

        A sign of life is an octet from the peer, or an acknowledgement of ours.
        """

    def challenge() -> None:
        """
        Provoke a sign of life soon, if the peer still has one to give.
        """

    def evict() -> None:
        """
        End the session at once: a later login has taken the maildrop over.
        """

    def tookOver() -> None:
        """
        Take note that the maildrop was taken over from another session.
        """


class IStore(Interface):
    """
    Where maildrops rest.
    """

    def openMaildrop(user: bytes, session: ISession) -> Any:
        """
        Take the session lock and give the user's `IMaildrop`, or a Deferred of it.

        Raises:
            InUse: where another session that shows signs of life holds it.
            StoreUnavailable: where the store cannot be reached.
            UnsafeUser: where the name cannot be part of a path.
        """


class IBrakes(Interface):
    """
    What holds strangers and crowds back: all that is counted of addresses and users.

    Every method may return a Deferred.  An address is what `extretr.server.peers` makes
    of a peer's; it is empty for peers that are not limited.
    """

    def connect(address: str) -> Any:
        """
        Count a connection; give the name of the limit that refuses it, else "".
        """

    def disconnect(address: str) -> Any:
        """
        Take back a connection that was not refused.
        """

    def begin(address: str) -> Any:
        """
        Count a login that begins; give the seconds that it has to wait.

        They are below zero where too many wait already: then it is not counted.
        """

    def end(address: str) -> Any:
        """
        Take back a login that was counted.
        """

    def failed(address: str, user: bytes, tried: bytes) -> Any:
        """
        Take note of a failed login; *tried* stands for user and password.
        """

    def succeeded(address: str, user: bytes) -> Any:
        """
        Take note of a login that is right.
        """

    def enter(user: bytes) -> Any:
        """
        Count a session of a user; give the name of the limit that refuses it, else "".
        """

    def leave(user: bytes) -> Any:
        """
        Take back a session that was not refused.
        """

    def quitted(user: bytes, seconds: float) -> Any:
        """
        Take note that a session that logged in so many seconds ago was ended by QUIT.

        The next login of the user has to wait for the login delay.  One whose link was
        cut may come back at once, and go on.
        """
