"""
What is measured, a module each; every case compares ours with the others in one run.
"""

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
