"""
The server that needs no option: a sample maildrop, on loopback only.
"""

import sys
from pathlib import Path

from extretr.embedded import HOST, Embedded, data_folder

LOOPBACK = f"interface={HOST}"

DEFAULT_LISTEN = f"tcp:8110:{LOOPBACK}"


def offer_sample(listen: list[str]) -> Embedded:
    """
    Make the embedded default, and tell the terminal how to use it.

    It has a password that a terminal has shown, so it is for loopback only.
    """
    for description in listen:
        if not _is_loopback(description):
            raise SystemExit(
                f"extretr: --listen {description} is not tcp:PORT:interface=127.0.0.1:"
                " give --mail and --users too"
            )
    try:
        embedded = Embedded(Path(data_folder()))
    except OSError as error:
        raise SystemExit(
            f"extretr: cannot make {data_folder()}: {error.strerror}"
        ) from None
    _, port, *_ = listen[0].split(":")
    # The password belongs to a terminal alone.  It is told before the log begins,
    # and where stdout is no terminal (a log file, a journal), that is a log too.
    terminals = [each for each in (sys.stdout, sys.stderr) if each.isatty()]
    stream = terminals[0] if terminals else sys.stdout
    stream.write(embedded.advice(int(port), shown=bool(terminals)))
    stream.flush()
    return embedded


def _is_loopback(description: str) -> bool:
    kind, port, *rest = [*description.split(":"), ""]
    # What to type next names the port: one that is chosen later cannot be named.
    return kind == "tcp" and port.isdigit() and int(port) > 0 and LOOPBACK in rest
