"""
A large message: base64 with LF line ends, the same with CRLF, and the same again.
"""

from tests.benchmarks import mail
from tests.benchmarks.client import Client
from tests.benchmarks.mail import MIB
from tests.benchmarks.servers import Program


def message(bench, user, end):
    """
    Give the large message, written with these line ends.
    """
    octets = bench.sizes.large * MIB
    return bench.mail(
        user,
        lambda folder: [mail.write_attachment(folder / "message", octets, end)],
    )


def rate(port, user, before=0, tls=False):
    """
    Give a measurement of MB/s of RETR; *before* it, it is sent so often.
    """

    def measure():
        with Client(port(), user, tls) as client:
            for _ in range(before):
                client.retrieve(b"RETR 1")
            octets, seconds = client.retrieve(b"RETR 1")
            return octets / seconds / 1e6

    return measure


def run(bench):
    """
    Compare all.
    """
    _lf(bench)
    _crlf(bench)


def _lf(bench):
    servers = bench.servers()
    files = message(bench, "large", b"\n")
    bench.give("large", files, servers)
    servers = bench.checked("large", files, servers)
    for title, label, before, goals in (
        ("RETR of {} MiB, LF", "large message", 0, {"dovecot": 1.3, "popa3d": 1.15}),
        ("the same, again in the session", "", 1, {"dovecot": 2.5}),
    ):
        bench.compare(
            title.format(bench.sizes.large),
            "MB/s",
            {
                server.name: rate(lambda server=server: server.port, b"large", before)
                for server in servers
            },
            goals=goals,
            label=label,
        )


def _crlf(bench):
    # An mbox with CRLF is nobody's.
    servers = bench.servers(without=("popa3d",))
    files = message(bench, "crlf", b"\r\n")
    bench.give("crlf", files, servers)
    ready = bench.folder / "ready"
    with ready.open("wb") as file:
        file.writelines(mail.wire_form(files[0]))
    blaster = bench.run(Program("sendfile", "tests.benchmarks.blaster", ready))
    servers = bench.checked("crlf", files, [*servers, blaster])
    bench.compare(
        f"RETR of {bench.sizes.large} MiB, CRLF",
        "MB/s",
        {
            server.name: rate(lambda server=server: server.port, b"crlf")
            for server in servers
        },
        goals={"sendfile": 0.9},
    )
