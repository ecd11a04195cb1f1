"""
`extretr.server.turns`: long work in short steps.
"""

from twisted.internet.defer import CancelledError
from twisted.internet.task import Cooperator
from twisted.trial.unittest import SynchronousTestCase

from extretr.server import turns
from extretr.server.turns import Slice, cooperating


class CooperatingTests(SynchronousTestCase):
    """
    Steps run a turn at a time.
    """

    def setUp(self):
        self.turns = []
        self.ran = []
        self.closed = 0
        self.cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=self.schedule,
        )

    def schedule(self, call):
        self.turns.append(call)

        class Call:
            def cancel(_):
                self.turns.remove(call)

        return Call()

    def steps(self, fails=False):
        try:
            for number in range(3):
                self.ran.append(number)
                yield
            if fails:
                raise OSError("no")
        finally:
            self.closed += 1

    def turn(self):
        self.turns.pop(0)()

    def test_toTheEnd(self):
        """
        The Deferred fires when the last step is done, not before.
        """
        done = cooperating(self.cooperator, self.steps())
        while self.turns:
            self.assertNoResult(done)
            self.turn()
        self.successResultOf(done)
        self.assertEqual((self.ran, self.closed), ([0, 1, 2], 1))

    def test_failure(self):
        """
        It fails with what a step raises.
        """
        done = cooperating(self.cooperator, self.steps(fails=True))
        while self.turns:
            self.turn()
        self.failureResultOf(done, OSError)

    def test_cancelled(self):
        """
        Who cancels it stops the steps, and what they have open is closed.
        """
        done = cooperating(self.cooperator, self.steps())
        self.turn()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        while self.turns:
            self.turn()
        self.assertEqual((self.ran, self.closed), ([0], 1))

    def test_slice(self):
        """
        Steps run on in one turn until its time is up, and then in the next one.
        """
        now = [0.0]
        self.patch(turns.time, "perf_counter", lambda: now[0])

        def slow():
            for number in range(10):
                self.ran.append(number)
                now[0] += turns.SLICE * 0.4
                yield

        self.cooperator = Cooperator(Slice, scheduler=self.schedule)
        done = cooperating(self.cooperator, slow())
        ran = []
        while self.turns:
            self.turn()
            ran.append(len(self.ran))
        self.successResultOf(done)
        self.assertEqual(ran[:3], [3, 6, 9])
