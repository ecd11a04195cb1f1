"""
Twisted's own POP3 tests, with the server and client classes swapped for ours.

``python -m tests.interop.twisted_suite`` runs them and prints a line for each test
that did not pass: its name, and how it ended.
"""

import sys

#: The modules of Twisted's tests that these classes concern.
MODULES = (
    "twisted.mail.test.test_pop3",
    "twisted.mail.test.test_mail",
    "twisted.mail.test.test_pop3client",
)


def main() -> int:
    """
    Swap, run, and report; the exit status tells only whether it ran at all.
    """
    from twisted.mail import pop3, protocols

    from extretr import ExtendedPOP3, ExtendedVirtualPOP3, ResumingPOP3Client

    # Before the test modules are imported: they subclass these.
    pop3.POP3 = ExtendedPOP3
    pop3.AdvancedPOP3Client = ResumingPOP3Client
    protocols.VirtualPOP3 = ExtendedVirtualPOP3
    protocols.POP3Factory.protocol = ExtendedVirtualPOP3

    from twisted.trial.reporter import TestResult
    from twisted.trial.runner import TestLoader, TrialSuite

    result = TestResult()
    loader = TestLoader()
    tests = [loader.loadByName(name) for name in MODULES]
    # Else what a failed test leaves behind is counted against some later one.
    TrialSuite(tests, forceGarbageCollection=True).run(result)
    for outcome, failed in (("fails", result.failures), ("errs", result.errors)):
        for test, _ in failed:
            print(f"{test.id()}\t{outcome}")
    print(f"{result.testsRun} run, {result.successes} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
