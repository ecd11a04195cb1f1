"""
`extretr.server.peers`: who the peer is.
"""

from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from extretr.server.peers import host_of, is_local


class PeerTests(SynchronousTestCase):
    """
    An address becomes a text, and local or not.
    """

    def test_local(self):
        """
        Loopback addresses and UNIX sockets are on this host.
        """
        for address in (
            IPv4Address("TCP", "127.0.0.1", 1),
            IPv4Address("TCP", "127.9.9.9", 1),
            IPv6Address("TCP", "::1", 1),
            IPv6Address("TCP", "::ffff:127.0.0.1", 1),
            UNIXAddress(b"/run/pop3"),
        ):
            self.assertTrue(is_local(address), address)

    def test_notLocal(self):
        """
        All others are not, nor what is no address at all.
        """
        for address in (
            IPv4Address("TCP", "192.168.1.1", 1),
            IPv6Address("TCP", "2001:db8::1", 1),
            IPv6Address("TCP", "fe80::1%eth0", 1),
            IPv6Address("TCP", "::ffff:10.0.0.1", 1),
            HostnameAddress(b"localhost", 1),
            None,
        ):
            self.assertFalse(is_local(address), address)

    def test_host(self):
        """
        The log names the host; a transport that has no peer any more is no error.
        """
        self.assertEqual(host_of(StringTransport()), "192.168.1.1")
        self.assertEqual(
            host_of(StringTransport(peerAddress=UNIXAddress(b"/x"))), "local socket"
        )
        self.assertEqual(host_of(None), "unknown")
