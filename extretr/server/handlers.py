"""
How many arguments a command takes: asked before it runs.

A TypeError that comes out of a handler may come from anywhere inside it, so it
cannot tell.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=256)
def _fits(function: Callable[..., Any], count: int) -> bool:
    """
    Tell whether *function* takes *count* positional arguments.
    """
    least, most = 0, 0.0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        ):
            most += 1
            least += parameter.default is parameter.empty
    return least <= count <= most


def takes(handler: Callable[..., Any], count: int) -> bool:
    """
    Tell whether a bound method, or a function, takes *count* arguments.
    """
    function = getattr(handler, "__func__", None)
    if function is None:
        return _fits(handler, count)
    return _fits(function, count + 1)
