"""
The benchmarks: ours beside other servers in one run, medians and ratios.

usage: python -m tests.benchmarks [CASE ...] [--smoke] [--peers NAMES]
           [--json FILE] [--rst FILE] [--plot FILE.svg]

Each server gets the same mail, and the same client; they are measured in turn.
"""

import argparse
import signal
import sys
from pathlib import Path

from tests.benchmarks import cases, native, tables
from tests.benchmarks.bench import FULL, SMOKE, Bench
from tests.benchmarks.cases import maildrops
from tests.benchmarks.report import Report

#: What can be measured beside ours.
BESIDE = ("dovecot", "popa3d", "courier", "mailutils", "stock")


def _names(text):
    """
    Parse the names of servers.
    """
    if text == "none":
        return ()
    names = BESIDE if text == "all" else text.split(",")
    unknown = set(names) - set(BESIDE)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return tuple(names)


def options(arguments):
    """
    Parse the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure ours beside other servers.",
    )
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        help=f"of {', '.join(cases.ALL)}; all where there is none",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="small mail, to see that it runs; its figures say nothing",
    )
    parser.add_argument(
        "--peers",
        type=_names,
        default=BESIDE,
        metavar="NAMES",
        help=f"beside whom, with commas: {', '.join(BESIDE)}, or none"
        " (default: all; those of Debian need root)",
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument(
        "--million", action="store_true", help="also a maildrop of 1,000,000 messages"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all values")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="tables for the docs")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="the ratios")
    parser.add_argument(
        "--read",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="values of another run, as --json writes them, for the other cases",
    )
    parser.add_argument(
        "--only-read", action="store_true", help="measure nothing; write what is read"
    )
    given = parser.parse_args(arguments)
    unknown = set(given.cases) - set(cases.ALL)
    if unknown:
        parser.error(f"unknown case: {', '.join(sorted(unknown))}")
    return given


def main(arguments):
    """
    Measure, and write what was asked for.
    """
    given = options(arguments)
    # The servers shall end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    sizes = SMOKE if given.smoke else FULL
    if given.rounds:
        sizes = sizes._replace(rounds=given.rounds, long_rounds=given.rounds)
    wanted = [name for name in cases.ALL if name in given.cases or not given.cases]
    if given.only_read:
        wanted = []
    report = Report(judged=not given.smoke)
    for path in given.read:
        report.read_json(path, wanted)
    print(report.headline(), flush=True)
    if native.loops() is None:
        report.note("there is no C compiler: the client is in Python, and slow")
    if not given.only_read:
        with Bench(sizes, given.peers, report) as bench:
            for bench.case in wanted:
                cases.ALL[bench.case](bench)
            if given.million:
                bench.case = "maildrops"
                maildrops.million(bench)
    if given.json:
        report.write_json(given.json)
    if given.rst:
        tables.write(report, given.rst)
    if given.plot:
        # The only one that needs pygal.
        from tests.benchmarks.plot import draw

        draw(report, given.plot)


if __name__ == "__main__":
    main(sys.argv[1:])
