"""
`extretr.coroutines`: like Deferred.fromCoroutine.
"""

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from extretr.coroutines import awaited, started


class StartedTests(SynchronousTestCase):
    """
    Whether it has to wait or not, a coroutine comes to the same end.
    """

    def setUp(self):
        self.done = []

    async def add(self, *numbers):
        total = 0
        try:
            for number in numbers:
                total += await number
        finally:
            self.done.append(total)
        return total

    def test_atOnce(self):
        """
        One that has nothing to wait for has run.
        """
        self.assertEqual(self.successResultOf(started(self.add())), 0)
        result = started(self.add(succeed(1), succeed(2)))
        self.assertEqual(self.successResultOf(result), 3)

    def test_raisesAtOnce(self):
        """
        What it raises is the failure.
        """
        result = started(self.add(succeed(1), fail(ZeroDivisionError())))
        self.failureResultOf(result, ZeroDivisionError)
        self.assertEqual(self.done, [1])

    def test_later(self):
        """
        One that waits goes on with what it gets, as often as it waits.
        """
        first, second = Deferred(), Deferred()
        result = started(self.add(succeed(1), first, succeed(2), second))
        self.assertNoResult(result)
        first.callback(10)
        self.assertNoResult(result)
        second.callback(20)
        self.assertEqual(self.successResultOf(result), 33)

    def test_failsLater(self):
        """
        What it waits for may fail, and that be caught.
        """

        async def caught(waiting):
            try:
                await waiting
            except ZeroDivisionError:
                return await succeed("caught")

        for run, ending in ((self.add, None), (caught, "caught")):
            waiting = Deferred()
            result = started(run(waiting))
            waiting.errback(ZeroDivisionError())
            if ending is None:
                self.failureResultOf(result, ZeroDivisionError)
            else:
                self.assertEqual(self.successResultOf(result), ending)

    def test_cancelled(self):
        """
        To cancel it is to cancel what it waits for.
        """
        cancelled = []
        first, second = Deferred(), Deferred(cancelled.append)
        result = started(self.add(first, second))
        first.callback(1)
        result.cancel()
        self.assertEqual(cancelled, [second])
        self.failureResultOf(result, CancelledError)
        self.assertEqual(self.done, [1])


class AwaitedTests(SynchronousTestCase):
    """
    What a function gives is waited for, if need be.
    """

    def test_plain(self):
        """
        A result is given as it is, what is raised is raised.
        """
        self.assertEqual(self.successResultOf(started(awaited(divmod, 7, 2))), (3, 1))
        self.failureResultOf(started(awaited(divmod, 7, 0)), ZeroDivisionError)

    def test_deferred(self):
        """
        A Deferred is waited for, and cancelled with who waits.
        """
        waiting = Deferred()
        result = started(awaited(lambda: waiting))
        self.assertNoResult(result)
        waiting.callback(1)
        self.assertEqual(self.successResultOf(result), 1)
        self.failureResultOf(started(awaited(fail, KeyError())), KeyError)
        result = started(awaited(Deferred))
        result.cancel()
        self.failureResultOf(result, CancelledError)

    def test_coroutine(self):
        """
        A coroutine is run.
        """

        async def later(deferred):
            return await deferred

        self.assertEqual(self.successResultOf(started(awaited(later, succeed(1)))), 1)
        waiting = Deferred()
        result = started(awaited(later, waiting))
        self.assertNoResult(result)
        waiting.callback(2)
        self.assertEqual(self.successResultOf(result), 2)
