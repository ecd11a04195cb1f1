"""
What failed logins cost an address: a delay before the next one, which grows.

The same wrong password of the same user counts once, so a mail program that goes on
with an old one keeps nobody else behind the same address waiting.  A login that
succeeds takes back the failures of its own user alone: who has one good password
cannot use it to go on guessing others.
"""

from collections import OrderedDict

#: Seconds that a login has to wait after one failure, two, three, and more.
DELAYS = (2.0, 4.0, 8.0, 15.0)

#: Failures of an address that are remembered.
MOST_FAILURES = 16

#: Addresses that are remembered: those that failed last.
MOST_ADDRESSES = 20_000

#: Seconds without a failure after which an address is forgiven.
FORGIVEN_AFTER = 900.0


class _Failures:
    """
    The failed logins of one address.
    """

    __slots__ = ("last", "made")

    def __init__(self) -> None:
        #: What was tried, and the user it was tried for.
        self.made: OrderedDict[bytes, bytes] = OrderedDict()
        self.last = 0.0


class Penalties:
    """
    The delays of all addresses.
    """

    def __init__(self, delays: tuple[float, ...] = DELAYS) -> None:
        """
        Args:
            delays: seconds after one failure, two, and so on; empty for no delay.
        """
        self._delays = delays
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._addresses)

    def delay(self, address: str, now: float) -> float:
        """
        Give the seconds that a login from *address* has to wait before it is checked.
        """
        found = self._addresses.get(address)
        if found is None or not self._delays:
            return 0.0
        if now - found.last >= FORGIVEN_AFTER:
            del self._addresses[address]
            return 0.0
        return self._delays[min(len(found.made), len(self._delays)) - 1]

    def failed(self, address: str, user: bytes, tried: bytes, now: float) -> None:
        """
        Take note of a failed login.

        Args:
            address: where it came from.
            user: whose login it was.
            tried: stands for user and password, and never is them.
            now: the time in seconds.
        """
        found = self._addresses.get(address)
        if found is None or now - found.last >= FORGIVEN_AFTER:
            # Workers do not ask about an address that is forgiven.
            found = self._addresses[address] = _Failures()
        self._addresses.move_to_end(address)
        found.last = now
        found.made[tried] = user
        found.made.move_to_end(tried)
        if len(found.made) > MOST_FAILURES:
            found.made.popitem(last=False)
        if len(self._addresses) > MOST_ADDRESSES:
            self._addresses.popitem(last=False)

    def succeeded(self, address: str, user: bytes) -> None:
        """
        Take note of a login: its user's failures are forgiven.
        """
        found = self._addresses.get(address)
        if found is None:
            return
        for tried in [tried for tried, by in found.made.items() if by == user]:
            del found.made[tried]
        if not found.made:
            del self._addresses[address]
