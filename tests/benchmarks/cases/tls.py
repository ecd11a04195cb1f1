"""
Under TLS: a large message, and small ones in lock step.
"""

from tests.benchmarks.cases import large, small


def run(bench):
    """
    Compare all that offer it.
    """
    servers = [server for server in bench.servers() if server.tls_port]
    files = large.message(bench, "large", b"\n")
    bench.give("large", files, servers)
    bench.compare(
        f"RETR of {bench.sizes.large} MiB, LF, under TLS",
        "MB/s",
        {
            server.name: large.rate(
                lambda server=server: server.tls_port, b"large", tls=True
            )
            for server in bench.checked("large", files, servers, tls=True)
        },
        goals={"dovecot": 1.6},
        label="large, TLS",
    )
    files = small.messages(bench)
    bench.give("small", files, servers)
    servers = bench.checked("small", files, servers, tls=True)
    for title, how in (
        ("4 KiB messages, lock step, under TLS, one core", {}),
        (
            "4 KiB messages, lock step, under TLS, ACKs delayed",
            {"quickack": False, "pinned": False, "count": bench.sizes.delayed},
        ),
    ):
        bench.compare(
            title,
            "/s",
            {
                server.name: small.rate(
                    server, **{"count": bench.sizes.small, "tls": True, **how}
                )
                for server in servers
            },
            goals={"dovecot": 1.0},
        )
