"""
TLS without a network: a transport that does what TCP's does, and a client of OpenSSL.
"""

from OpenSSL import SSL, crypto
from twisted.internet import abstract, tcp
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock


class MemoryConnection(tcp.Server):
    """
    A TCP connection whose socket is a string; all else of it is Twisted's own.
    """

    def __init__(self, protocol, host="192.0.2.7"):
        abstract.FileDescriptor.__init__(self, MemoryReactorClock())
        self.protocol = protocol
        self.connected = 1
        self.peer = IPv4Address("TCP", host, 4711)
        #: What the socket was given.
        self.sent = b""
        self.aborted = False

    def writeSomeData(self, data):
        self.sent += data
        return len(data)

    def flush(self):
        """
        Do what a reactor does while there is anything to write; give all that is sent.
        """
        while self.dataBuffer or self._tempDataLen:
            self.doWrite()
        sent, self.sent = self.sent, b""
        return sent

    def receive(self, octets):
        """
        Take octets from the network, unless nothing is read any more.
        """
        if not self.aborted and not self.disconnecting:
            self.protocol.dataReceived(octets)

    def abortConnection(self):
        self.aborted = True
        self.connected = 0

    def getPeer(self):
        return self.peer

    def getHandle(self):
        return None

    def setTcpNoDelay(self, enabled):
        pass


def client_context(certificate=None):
    """
    Give a client's context, which has a certificate to show where one is given.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if certificate is not None:
        pem = crypto.FILETYPE_PEM
        context.use_certificate(crypto.load_certificate(pem, certificate.certificate))
        context.use_privatekey(crypto.load_privatekey(pem, certificate.key))
    return context


class TLSClient:
    """
    The client's side of TLS over a `MemoryConnection`.
    """

    def __init__(self, transport, context=None):
        self.transport = transport
        self.tls = SSL.Connection(context or client_context(), None)
        self.tls.set_connect_state()
        #: The octets of the server since TLS began, as they were on the wire.
        self.wire = b""

    def exchange(self):
        """
        Carry octets to and fro until there are none; give what was said inside.
        """
        said = b""
        while True:
            said += self._step()
            ours = self._pending()
            theirs = self.transport.flush()
            if not ours and not theirs:
                return said
            self.wire += theirs
            if theirs:
                self.tls.bio_write(theirs)
            if ours:
                self.transport.receive(ours)

    def _step(self):
        said = b""
        try:
            self.tls.do_handshake()
            while True:
                said += self.tls.recv(65536)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return said

    def _pending(self):
        try:
            return self.tls.bio_read(65536)
        except SSL.WantReadError:
            return b""

    def say(self, octets):
        """
        Say something to the server, and give what it answers.
        """
        self.tls.send(octets)
        return self.exchange()


def records(octets):
    """
    Split what was on the wire into TLS records: type and length (RFC 8446, 5.1).

    Raises:
        AssertionError: where it is anything else.
    """
    found = []
    while octets:
        kind, version, length = octets[0], octets[1:3], int.from_bytes(octets[3:5])
        assert 20 <= kind <= 23, octets[:20]
        assert version in (b"\3\1", b"\3\3"), octets[:20]
        assert len(octets) >= 5 + length, "half a record"
        found.append((kind, length))
        octets = octets[5 + length :]
    return found
