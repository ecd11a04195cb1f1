"""
What a server counts, as sessions tell it; by itself it counts nothing.
"""


class Meter:
    """
    Is told what happens in sessions; a subclass counts it.
    """

    def sessionBegan(self) -> None:
        """
        Take note that a peer has connected.
        """

    def sessionEnded(self, ending: str, cut: bool) -> None:
        """
        Take note that a session is over.

        Args:
            ending: why, in the words of the session's log line.
            cut: whether a response was being sent.
        """

    def loggedIn(self, mechanism: str, outcome: str) -> None:
        """
        Take note of the outcome of a login.

        Args:
            mechanism: "PASS", "APOP" or the name of a SASL mechanism.
            outcome: "accepted", "refused" (wrong password or unknown user), "in use",
                "limited", "unavailable", or "abandoned" by a peer that has hung up.
        """

    def refused(self, limit: str) -> None:
        """
        Take note that a limit was reached, and of which.
        """

    def tookOver(self) -> None:
        """
        Take note that a login has taken a maildrop over from another session.
        """

    def retrieved(self, held: int, firstOctet: float) -> None:
        """
        Take note that a message was begun to be sent.

        Args:
            held: canonical octets that need not be sent again: the offset.
            firstOctet: seconds from the command to the first octet.
        """

    def sent(self, octets: int) -> None:
        """
        Take note of octets that were written since it was last told.
        """
