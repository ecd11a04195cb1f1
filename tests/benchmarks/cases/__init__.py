"""
What is measured, a module each; every case compares ours with the others in one run.
"""

import sys

from tests.benchmarks.cases import (
    fairness,
    idle,
    large,
    maildrops,
    resume,
    sessions,
    small,
    tls,
)

#: What measures, by the name of the case, in the order of a run.
ALL = {
    "large": large.run,
    "small": small.run,
    "sessions": sessions.run,
    "maildrops": maildrops.run,
    "resume": resume.run,
    "fairness": fairness.run,
    "tls": tls.run,
    "idle": idle.run,
}


def titles():
    """
    Give what each case is about, by its name: the first line of its module.
    """
    return {
        name: sys.modules[run.__module__].__doc__.strip().splitlines()[0]
        for name, run in ALL.items()
    }
