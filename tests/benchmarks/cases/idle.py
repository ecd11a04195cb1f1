"""
Sessions that are logged in and idle, with one message each: what one costs ours.
"""

from tests.stress import soak


def run(bench):
    """
    Weigh ours, in clear and under TLS.
    """
    sizes = bench.sizes
    for tls, limit in ((False, 4), (True, None)):
        weighed = soak.weigh(sizes.idle, tls, sizes.rest)
        for count, octets in weighed.each.items():
            bench.compare(
                f"{count:,} idle sessions{' under TLS' if tls else ''}, each",
                "KiB",
                {"extretr": lambda octets=octets: octets / 1024},
                1,
                less=True,
                limit=limit if count == max(sizes.idle) else None,
                digits=2,
            )
