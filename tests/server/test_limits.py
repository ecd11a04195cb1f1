"""
`extretr.server.limits` and `extretr.server.penalties`: what is counted and allowed.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from extretr.interfaces import IBrakes
from extretr.server import penalties
from extretr.server.limits import Brakes, Limits
from extretr.server.penalties import DELAYS, FORGIVEN_AFTER, Penalties


class BrakesTestCase(SynchronousTestCase):
    """
    Brakes with a clock of their own.
    """

    def brakes(self, **limits):
        self.clock = Clock()
        return Brakes(Limits(**limits), self.clock.seconds)


class ConnectionTests(BrakesTestCase):
    """
    Connections are counted in all, and by address.
    """

    def test_interface(self):
        """
        Brakes are what sessions ask.
        """
        verifyObject(IBrakes, self.brakes())

    def test_inAll(self):
        """
        There are as many as may be; one that ends makes room.
        """
        brakes = self.brakes(connections=2)
        self.assertEqual(
            [brakes.connect(who) for who in "abc"], ["", "", "connections"]
        )
        brakes.disconnect("a")
        self.assertEqual(brakes.connect("c"), "")
        self.assertEqual(brakes.connect("d"), "connections")

    def test_byAddress(self):
        """
        One address does not use up what is another's.
        """
        brakes = self.brakes(per_address=1)
        self.assertEqual(brakes.connect("a"), "")
        self.assertEqual(brakes.connect("a"), "connections of an address")
        self.assertEqual(brakes.connect("b"), "")
        brakes.disconnect("a")
        self.assertEqual(brakes.connect("a"), "")

    def test_noAddress(self):
        """
        Peers without an address are limited in all only.
        """
        brakes = self.brakes(per_address=1, logins_per_address=1, connections=3)
        self.assertEqual([brakes.connect("") for _ in range(3)], [""] * 3)
        self.assertEqual([brakes.begin("") for _ in range(3)], [0.0] * 3)
        self.assertEqual(brakes.connect(""), "connections")
        brakes.failed("", b"alice", b"1")
        self.assertEqual(brakes.begin(""), 0.0)

    def test_any(self):
        """
        Zero is any number.
        """
        brakes = self.brakes()
        self.assertEqual({brakes.connect("a") for _ in range(1000)}, {""})
        self.assertEqual({brakes.begin("a") for _ in range(1000)}, {0.0})
        self.assertEqual({brakes.enter(b"a") for _ in range(1000)}, {""})

    def test_nothingLeft(self):
        """
        What has ended takes no memory.
        """
        brakes = self.brakes(per_user=1)
        for number in range(100):
            brakes.connect(str(number))
            brakes.begin(str(number))
            brakes.enter(b"%d" % number)
            brakes.end(str(number))
            brakes.leave(b"%d" % number)
            brakes.disconnect(str(number))
        for each in (brakes._connections, brakes._logins, brakes._users):
            self.assertEqual(len(each), 0)


class LoginTests(BrakesTestCase):
    """
    Logins wait, and not too many of them.
    """

    def test_tooMany(self):
        """
        Of one address so many may wait; one that is refused is not counted.
        """
        brakes = self.brakes(logins_per_address=2)
        self.assertEqual([brakes.begin("a") for _ in range(4)], [0.0, 0.0, -1.0, -1.0])
        brakes.end("a")
        self.assertEqual([brakes.begin("a") for _ in range(2)], [0.0, -1.0])
        self.assertEqual(brakes.begin("b"), 0.0)

    def test_turnedAway(self):
        """
        While so many wait, their address gets no more connections either.
        """
        brakes = self.brakes(logins_per_address=1)
        brakes.begin("a")
        self.assertEqual(brakes.connect("a"), "logins of an address")
        self.assertEqual(brakes.connect("b"), "")
        brakes.end("a")
        self.assertEqual(brakes.connect("a"), "")

    def test_delay(self):
        """
        After each failure of an address its next login waits longer, others' do not.
        """
        brakes = self.brakes()
        waits = []
        for guess in (b"1", b"2", b"3", b"4", b"5"):
            waits.append(brakes.begin("a"))
            brakes.failed("a", b"alice", guess)
        self.assertEqual(waits, [0.0, *DELAYS])
        self.assertEqual(brakes.begin("a"), DELAYS[-1])
        self.assertEqual(brakes.begin("b"), 0.0)

    def test_users(self):
        """
        Sessions of a user are counted; one that is refused is not.
        """
        brakes = self.brakes(per_user=1)
        self.assertEqual(brakes.enter(b"alice"), "")
        self.assertEqual(brakes.enter(b"alice"), "sessions of a user")
        self.assertEqual(brakes.enter(b"bob"), "")
        brakes.leave(b"alice")
        self.assertEqual(brakes.enter(b"alice"), "")

    def test_loginDelay(self):
        """
        After QUIT a user's next login has to wait, counted from the last login on.
        """
        brakes = self.brakes(login_delay=60)
        brakes.quitted(b"alice", 20)
        self.assertEqual(brakes.enter(b"alice"), "login delay")
        self.assertEqual(brakes.enter(b"bob"), "")
        self.clock.advance(39.9)
        self.assertEqual(brakes.enter(b"alice"), "login delay")
        self.clock.advance(0.2)
        self.assertEqual(brakes.enter(b"alice"), "")

    def test_cutOff(self):
        """
        Who was cut off may come back at once.
        """
        brakes = self.brakes(login_delay=60)
        brakes.enter(b"alice")
        brakes.leave(b"alice")
        self.assertEqual(brakes.enter(b"alice"), "")


class PenaltyTests(SynchronousTestCase):
    """
    Failures are remembered for a time, and no more of them than is needed.
    """

    def test_sameGuess(self):
        """
        The same wrong password of the same user counts once.
        """
        found = Penalties()
        for now in range(50):
            found.failed("a", b"alice", b"same", now)
        self.assertEqual(found.delay("a", 50), DELAYS[0])

    def test_success(self):
        """
        A success takes back its own user's failures, and nobody else's.
        """
        found = Penalties()
        for guess in (b"1", b"2", b"3"):
            found.failed("a", b"alice", guess, 0)
        found.failed("a", b"mallory", b"typo", 0)
        found.succeeded("a", b"mallory")
        self.assertEqual(found.delay("a", 0), DELAYS[2])
        found.succeeded("a", b"alice")
        self.assertEqual(found.delay("a", 0), 0.0)
        self.assertEqual(len(found), 0)
        found.succeeded("b", b"alice")

    def test_forgiven(self):
        """
        An address without a failure for long is forgiven.
        """
        found = Penalties()
        found.failed("a", b"alice", b"1", 100)
        self.assertEqual(found.delay("a", 100 + FORGIVEN_AFTER - 1), DELAYS[0])
        self.assertEqual(found.delay("a", 100 + FORGIVEN_AFTER), 0.0)
        self.assertEqual(len(found), 0)

    def test_failsAgain(self):
        """
        One that is forgiven begins anew, also where nobody has asked in between.
        """
        found = Penalties()
        for guess in (b"1", b"2", b"3"):
            found.failed("a", b"alice", guess, 100)
        again = 100 + FORGIVEN_AFTER
        found.failed("a", b"alice", b"4", again)
        self.assertEqual(found.delay("a", again), DELAYS[0])
        found.failed("a", b"alice", b"5", again + FORGIVEN_AFTER - 1)
        self.assertEqual(found.delay("a", again + FORGIVEN_AFTER), DELAYS[1])

    def test_noDelays(self):
        """
        Without delays nobody waits.
        """
        found = Penalties(())
        found.failed("a", b"alice", b"1", 0)
        self.assertEqual(found.delay("a", 0), 0.0)

    def test_memory(self):
        """
        A scan from very many addresses, or of very many passwords, takes no more memory
        than is set; those that failed last are remembered.
        """
        self.patch(penalties, "MOST_ADDRESSES", 10)
        found = Penalties()
        for number in range(100):
            found.failed(str(number), b"alice", b"1", 0)
        self.assertEqual(len(found), 10)
        self.assertEqual(found.delay("89", 0), 0.0)
        self.assertEqual(found.delay("90", 0), DELAYS[0])
        for number in range(1000):
            found.failed("a", b"alice", b"%d" % number, 0)
        self.assertEqual(len(found._addresses["a"].made), penalties.MOST_FAILURES)
        self.assertEqual(found.delay("a", 0), DELAYS[-1])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("ab"),
                st.sampled_from([b"alice", b"bob"]),
                st.sampled_from([b"1", b"2", b"3", None]),
            ),
            max_size=40,
        )
    )
    def test_model(self, steps):
        """
        The delay goes by the number of different failures that no success of the same
        user has taken back.
        """
        found, model = Penalties(), {"a": set(), "b": set()}
        for address, user, guess in steps:
            if guess is None:
                found.succeeded(address, user)
                model[address] = {each for each in model[address] if each[0] != user}
            else:
                found.failed(address, user, user + guess, 0)
                model[address].add((user, guess))
            for each, failures in model.items():
                expected = [0.0, *DELAYS][min(len(failures), len(DELAYS))]
                self.assertEqual(found.delay(each, 0), expected)
