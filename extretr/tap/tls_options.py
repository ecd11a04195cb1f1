"""
TLS: the options of ``twistd extretr run`` for it.
"""

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage

from extretr.server.service import one_line
from extretr.tap.one_line import OneLineOptions


class TLSOptions(OneLineOptions):
    """
    ``--certificate`` and what goes with it.
    """

    optParameters = [
        [
            "certificate",
            None,
            None,
            "A PEM file: the server's certificate, then its chain.  With it there is"
            " STLS on every plain listener, and --listen-tls.  Taken up anew when it"
            " has changed.",
        ],
        [
            "key",
            None,
            None,
            "A PEM file with the private key. [default: in the certificate's]",
        ],
        [
            "client-ca",
            None,
            None,
            "A PEM file with authorities: clients may show a certificate of one.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen-tls"] = []

    def opt_listen_tls(self, description: str) -> None:
        r"""
        Listen with TLS on a Twisted endpoint (as tcp:995:interface=\:\:), repeatable.
        """
        self["listen-tls"].append(description)

    def postOptions(self) -> None:
        """
        Check what was given.

        Raises:
            UsageError: with one line that says what to do.
        """
        super().postOptions()
        for option in ("key", "client-ca", "listen-tls"):
            if self[option] and not self["certificate"]:
                raise usage.UsageError(f"--{option} needs --certificate PEM")
        if self["listen-tls"] and not self["mail"]:
            raise usage.UsageError("--listen-tls needs --mail KIND:PATH")


def tls_of(run: Any, reactor: Any) -> Any:
    """
    Give the server's side of TLS (`ServerTLS`), None without a certificate.

    The files are read at once: twistd gives up its privileges later.

    Raises:
        SystemExit: with one line, where they cannot be used.
    """
    tls = read_tls(run, reactor)
    if tls is not None and tls.invalidity is not None:
        # There may be clients that do not care, and none would be served otherwise.
        Logger("extretr").error("{why}", why=tls.invalidity)
        one_line(f"warning: {tls.invalidity}")
    return tls


def read_tls(run: Any, reactor: Any) -> Any:
    """
    Give the same, and say nothing of a certificate that has expired.

    Raises:
        SystemExit: with one line, where the files cannot be used.
    """
    if not run["certificate"]:
        return None
    # It takes memory that a server without TLS need not have.
    from extretr.server.certificates import CertificateError
    from extretr.server.tls import ServerTLS

    try:
        return ServerTLS(reactor, run["certificate"], run["key"], run["client-ca"])
    except CertificateError as error:
        raise SystemExit(f"extretr: {error}") from None


def secured(tls: Any, factory: IProtocolFactory) -> TLSMemoryBIOFactory:
    """
    Give a factory whose connections begin with TLS, on whatever they are made.
    """
    wrapped = TLSMemoryBIOFactory(tls, False, factory)
    wrapped.noisy = False
    return wrapped
