"""
`extretr.waiting`: one timer for all who wait for the same time.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.waiting import Timers


class WaitingTests(SynchronousTestCase):
    """
    Each is woken in its time, and nothing is left when nobody waits.
    """

    def setUp(self):
        self.clock = Clock()
        self.woken = []
        self.timers = Timers(self.wake, 10)

    def wake(self, who):
        self.woken.append((who, self.clock.seconds()))

    def wait(self, who, period=60):
        self.timers.of(self.clock, period).add(who)

    def nothingIsLeft(self):
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.timers.waitsAnybody(self.clock))

    def test_eachInTime(self):
        """
        Each waits its time to the moment, whatever others do; one timer is set.
        """
        for number in range(5):
            self.wait(number)
            self.clock.advance(0.001)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([0.001] * 70000)
        self.assertEqual([who for who, _ in self.woken], [0, 1, 2, 3, 4])
        for who, when in self.woken:
            self.assertLess(abs(when - 60 - who / 1000), 0.0015)
        self.nothingIsLeft()

    def test_anew(self):
        """
        Who begins to wait anew waits the whole time from then on.
        """
        self.wait("first")
        self.wait("second")
        self.clock.advance(59)
        self.wait("first")
        self.clock.advance(59)
        self.assertEqual(self.woken, [("second", 118)])
        self.clock.advance(1)
        self.assertEqual(self.woken[1:], [("first", 119)])
        self.nothingIsLeft()

    def test_periods(self):
        """
        Who waits for another time, or by another clock, waits with others.
        """
        other = Clock()
        self.wait("long", 600)
        self.wait("short", 60)
        self.timers.of(other, 60).add("elsewhere")
        self.clock.advance(60)
        self.assertEqual(self.woken, [("short", 60)])
        self.clock.advance(540)
        self.assertEqual(self.woken[1:], [("long", 600)])
        self.nothingIsLeft()
        self.assertTrue(self.timers.waitsAnybody(other))

    def test_noMore(self):
        """
        Who waits no more is not woken; the last one takes the timer along.
        """
        self.wait("first")
        self.wait("second")
        waiting = self.timers.of(self.clock, 60)
        waiting.remove("first")
        waiting.remove("first")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        waiting.remove("second")
        self.nothingIsLeft()
        self.clock.advance(60)
        self.assertEqual(self.woken, [])

    def test_whileWoken(self):
        """
        Whoever is woken may begin to wait anew, and end the waiting of another.
        """

        def wake(who):
            self.wake(who)
            if len(self.woken) == 1:
                self.wait("first")
                self.timers.of(self.clock, 60).remove("second")

        self.timers.wake = wake
        self.wait("first")
        self.wait("second")
        self.clock.advance(60)
        self.clock.advance(60)
        self.assertEqual(self.woken, [("first", 60), ("first", 120)])
        self.nothingIsLeft()

    def test_failure(self):
        """
        One that fails keeps none of the others waiting.
        """
        self.timers.wake = lambda who: self.wake(1 / who)
        self.wait(0)
        self.wait(1)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 60)
        self.clock.advance(0)
        self.assertEqual(self.woken, [(1.0, 60)])
        self.nothingIsLeft()

    def test_many(self):
        """
        Of thousands whose time has come some are woken a turn, in their order.
        """
        for who in range(2005):
            self.wait(who)
        self.timers.pause = 0.001
        turns = 1
        self.clock.advance(60)
        while self.clock.getDelayedCalls():
            self.assertEqual(len(self.woken), 10 * turns)
            turns += 1
            self.clock.advance(0.001)
        self.assertEqual(turns, 201)
        self.assertEqual([who for who, _ in self.woken], list(range(2005)))
        self.nothingIsLeft()
