"""
``twistd extretr run --check``: what is wrong with a configuration, before it serves.
"""

import sys
from typing import Any, NoReturn

from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from extretr.tap.monitor_options import checks_of
from extretr.tap.process import WorkerProcess
from extretr.tap.run import serving


@implementer(ILogObserver)
class _Findings:
    """
    Keeps what is logged as a warning or an error.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.warn:
            self.lines.append(formatEvent(event))


def check(run: Any, reactor: Any) -> NoReturn:
    """
    Build all that would serve, and start none of it; print a line for each finding.

    Raises:
        SystemExit: always; with status 1 where there is a finding.
    """
    findings = _Findings()
    globalLogPublisher.addObserver(findings)
    try:
        serving(run, reactor, WorkerProcess(reactor, run["stop-after"]))
    except SystemExit as error:
        findings.lines.append(str(error).removeprefix("extretr: "))
    finally:
        globalLogPublisher.removeObserver(findings)
    findings.lines += [
        f"{name}: cannot be read by this user"
        for name, is_well in checks_of(run).items()
        if not is_well()
    ]
    for line in dict.fromkeys(findings.lines):
        sys.stdout.write(f"extretr: {' '.join(line.split())}\n")
    if not findings.lines:
        sys.stdout.write("extretr: the configuration is good\n")
    sys.stdout.flush()
    raise SystemExit(1 if findings.lines else 0)
