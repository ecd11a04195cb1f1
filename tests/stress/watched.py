"""
A twistd that tells on SIGUSR2 what it holds: timers, objects; for the soak.

It takes the place of the command that it is given: ``... python -c CODE ARGUMENTS``.
"""

import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

#: The environment's name for the file that it is told in.
TOLD = "EXTRETR_WATCHED"


def tell(*_: Any) -> None:
    """
    Write down what is held; the file is renamed into its place, so it is whole.
    """
    from twisted.internet import reactor

    gc.collect()
    calls: Any = reactor
    told = {
        "blocks": sys.getallocatedblocks(),
        "timers": Counter(_name(call.func) for call in calls.getDelayedCalls()),
        "objects": Counter(
            kind.__qualname__
            for kind in map(type, gc.get_objects())
            if str(kind.__module__).startswith(("extretr", "twisted.internet"))
        ),
    }
    path = Path(os.environ[TOLD])
    path.with_suffix(".new").write_text(json.dumps(told))
    path.with_suffix(".new").rename(path)


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def main() -> None:
    """
    Run twistd with the arguments of the command.
    """
    from twisted.scripts.twistd import run

    signal.signal(signal.SIGUSR2, tell)
    place = sys.argv.index("-c")
    sys.argv = ["twistd", *sys.argv[place + 2 :]]
    run()


if __name__ == "__main__":
    main()
