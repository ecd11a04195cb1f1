"""
Coroutines that mostly have nothing to wait for, and then cost as much as a call.

`Deferred.fromCoroutine` makes each a context, a means to cancel it and some more: in a
short session that is a tenth of all.
"""

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed


def started(coroutine: "Coroutine[Any, Any, Any]") -> "Deferred[Any]":
    """
    Run a coroutine as far as it goes; the Deferred fires when it is at its end.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        return succeed(end.value)
    except BaseException:
        return fail()
    return Deferred.fromCoroutine(go_on(coroutine, waits_for))


@types.coroutine
def go_on(
    coroutine: "Coroutine[Any, Any, Any]", waits_for: Any
) -> Generator[Any, Any, Any]:
    """
    Run a coroutine from where it waits.
    """
    while True:
        try:
            try:
                found = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(found)
        except StopIteration as end:
            return end.value


async def awaited(function: Callable[..., Any], *arguments: Any) -> Any:
    """
    Give what a function gives, waited for where it is a Deferred.

    It is ``await maybeDeferred(function, *arguments)``, without a Deferred where there
    is nothing to wait for.
    """
    result = function(*arguments)
    if isinstance(result, Deferred):
        return await result
    if isinstance(result, types.CoroutineType):
        return await maybeDeferred(lambda: result)
    return result
