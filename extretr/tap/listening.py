"""
The listeners of ``twistd extretr run``, in the process that accepts on them or not.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.endpoints import serverFromString

from extretr.server.proxied import ProxiedFactory
from extretr.server.service import Listener
from extretr.server.sockets import AcceptingReactor
from extretr.tap.sample import DEFAULT_LISTEN
from extretr.tap.tls_options import secured

#: Connections that may wait until they are taken.  Twisted's 50 are full at once when
#: many come, and who finds no room then tries again only after a second.
BACKLOG = 1024


def plain_endpoints(run: Any) -> list[str]:
    """
    Give the endpoints that are listened on without TLS.
    """
    plain: list[str] = run["listen"]
    return plain if plain or run["listen-tls"] else [DEFAULT_LISTEN]


def listeners(
    run: Any, factory: Any, tls: Any, reactor: Any, ports: Any = None
) -> Iterator[Listener]:
    """
    Give a service for each endpoint that the options *run* name.

    Args:
        run: the options.
        factory: makes the sessions.
        tls: the server's side of TLS.
        reactor: tells the time, and listens.
        ports: what listens in the place of the reactor.

    Raises:
        SystemExit: with one line, where an endpoint is none.
    """
    where = reactor if ports is None else ports
    for description in plain_endpoints(run):
        yield _listener("--listen", description, factory, reactor, where)
    for description in run["listen-tls"]:
        within = factory if tls is None else secured(tls, factory)
        yield _listener("--listen-tls", description, within, reactor, where)


def _listener(
    option: str, description: str, factory: Any, reactor: Any, ports: Any
) -> Listener:
    inner = description.removeprefix("haproxy:")
    if inner != description:
        if inner.startswith(("ssl:", "tls:")):
            # A proxy speaks for its client first, before any TLS.
            raise SystemExit(
                f"extretr: {option} {description}: use --certificate and"
                " --listen-tls haproxy:tcp:..."
            )
        factory = ProxiedFactory(reactor, factory)
    # The supervisor has told it.
    told = not isinstance(ports, AcceptingReactor)
    endpoint = _endpoint(option, description, inner, ports)
    return Listener(description, endpoint, factory, told)


def _endpoint(option: str, description: str, inner: str, ports: Any) -> Any:
    if inner.startswith("systemd:") and isinstance(ports, AcceptingReactor):
        # systemd passed it to the process that has passed it on.
        return ports
    if inner.startswith(("tcp:", "ssl:")) and ":backlog=" not in inner:
        inner += f":backlog={BACKLOG}"
    return parse_endpoint(option, inner, ports, description)


def parse_endpoint(
    option: str, inner: str, reactor: Any, description: str | None = None
) -> Any:
    """
    Give an endpoint as Twisted parses it.

    Args:
        option: that names it.
        inner: what is parsed.
        reactor: listens.
        description: what was given, where it is not just that.

    Raises:
        SystemExit: with one line, where it is none.
    """
    try:
        return serverFromString(reactor, inner)
    except Exception as error:
        raise SystemExit(
            f"extretr: {option} {description or inner}: {_why_not(inner, error)}"
        ) from None


def _why_not(description: str, error: Exception) -> str:
    """
    Tell in one line what a parser of endpoints says in errors of its own.
    """
    if description.startswith("systemd:") and isinstance(error, LookupError):
        return "systemd passed no such socket"
    return " ".join(str(error).split()) or type(error).__name__
