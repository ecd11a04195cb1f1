"""
A server with an STLS as it is written who thinks of nothing, for test_injection.

It needs the path of a PEM file, and prints the port that it listens on.
"""

import sys

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import ServerFactory
from twisted.mail import pop3

from extretr.server.tls import ServerTLS


class NaivePOP3(pop3.POP3):
    """
    Stock's POP3, whose line receiver goes on with what it has when TLS begins.
    """

    AUTH_CMDS = [*pop3.POP3.AUTH_CMDS, b"STLS"]

    def do_STLS(self):
        self.successResponse(b"begin")
        self.transport.startTLS(self.factory.tls)


def main(path):
    factory = ServerFactory.forProtocol(NaivePOP3)
    factory.tls = ServerTLS(reactor, path)
    endpoint = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    listening = endpoint.listen(factory)
    listening.addCallback(lambda port: print(port.getHost().port, flush=True))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
