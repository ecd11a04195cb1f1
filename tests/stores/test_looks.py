"""
`extretr.stores.looks`: one timer for the looks at all locks.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from extretr.stores import looks
from extretr.stores.looks import AT_A_TIME, LOOK, PAUSE, look_later, look_no_more


class Looking:
    """
    Looks, and looks again as long as it has not had enough.
    """

    def __init__(self, clock, enough=1000):
        self._clock = clock
        self._enough = enough
        self.looked = []

    def look(self):
        self.looked.append(self._clock.seconds())
        if len(self.looked) < self._enough:
            look_later(self, self._clock)


class LooksTests(SynchronousTestCase):
    """
    Whoever holds a lock looks at it once a second.
    """

    def setUp(self):
        self.clock = Clock()

    def looking(self, **arguments):
        who = Looking(self.clock, **arguments)
        look_later(who, self.clock)
        return who

    def nothingIsLeft(self):
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(looks._timers.waitsAnybody(self.clock))

    def test_eachInTime(self):
        """
        Each looks a second after it said so, and by one timer.
        """
        first = self.looking(enough=3)
        self.clock.advance(LOOK / 4)
        second = self.looking(enough=2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([LOOK / 8] * 30)
        self.assertEqual(first.looked, [1, 2, 3])
        self.assertEqual(second.looked, [1.25, 2.25])
        self.nothingIsLeft()

    def test_noMore(self):
        """
        Who does not look any more leaves nothing, also where it never looked.
        """
        first, second = self.looking(), self.looking()
        look_no_more(first, self.clock)
        look_no_more(first, self.clock)
        self.clock.advance(LOOK)
        self.assertEqual((first.looked, second.looked), ([], [1]))
        look_no_more(second, self.clock)
        look_no_more(second, self.clock)
        self.nothingIsLeft()

    def test_another(self):
        """
        The look of one may be the end of another whose turn it is too.
        """
        first = self.looking(enough=1)
        second = self.looking()
        look = first.look
        first.look = lambda: (look(), look_no_more(second, self.clock))
        self.clock.advance(LOOK)
        self.assertEqual((first.looked, second.looked), ([1], []))
        self.nothingIsLeft()

    def test_failure(self):
        """
        One that fails keeps none of the others from looking.
        """
        first, second = self.looking(), self.looking(enough=1)
        first.look = lambda: 1 / 0
        self.assertRaises(ZeroDivisionError, self.clock.advance, LOOK)
        self.clock.advance(PAUSE)
        self.assertEqual(len(second.looked), 1)
        self.nothingIsLeft()

    def test_many(self):
        """
        Of very many only some look at a time, and all soon after.
        """
        many = [self.looking(enough=1) for _ in range(2 * AT_A_TIME + 1)]
        done = []
        self.clock.advance(LOOK)
        for _ in range(3):
            done.append(sum(len(who.looked) for who in many))
            self.clock.advance(PAUSE)
        self.assertEqual(done, [AT_A_TIME, 2 * AT_A_TIME, 2 * AT_A_TIME + 1])
        self.nothingIsLeft()
