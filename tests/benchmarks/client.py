"""
A client that costs little: it reads responses and finds their ends.
"""

import socket
import time

END = b"\r\n.\r\n"


class Client:
    """
    A session, logged in.
    """

    def __init__(self, port, quickack=True):
        self._quickack = quickack
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.recv(1000)
        for command in (b"USER alice", b"PASS secret"):
            self.line_of(command)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._socket.fileno() >= 0:
            self._socket.sendall(b"QUIT\r\n")
            while self._socket.recv(65536):
                pass
            self._socket.close()

    def line_of(self, command):
        """
        Send a command, and give its one-line answer.
        """
        self._socket.sendall(command + b"\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._socket.recv(1000)
        assert line.startswith(b"+OK"), line
        return line

    def retrieve(self, command, watch=None):
        """
        Send a command, read its multi-line response, and give its octets.
        """
        self._socket.sendall(command + b"\r\n")
        octets, tail = 0, b""
        while tail != END:
            count = self._receive()
            octets += count
            tail = (tail + bytes(self._view[max(0, count - 5) : count]))[-5:]
            if watch is not None:
                watch(octets)
        return octets

    def pipeline(self, commands, count):
        """
        Send many commands at once, and read that many multi-line responses.
        """
        self._socket.sendall(commands)
        seen, carry = 0, b""
        while seen < count:
            received = self._receive()
            octets = carry + bytes(self._view[:received])
            seen += octets.count(END)
            carry = octets[-4:]

    def first_octet(self, command):
        """
        Give the seconds until the first octet of the body, and hang up.
        """
        begun = time.perf_counter()
        self._socket.sendall(command + b"\r\n")
        head = b""
        while len(head.partition(b"\r\n")[2]) == 0:
            head += self._socket.recv(100)
        took = time.perf_counter() - begun
        # What is left would take long, and is of no interest.
        self._socket.close()
        return took

    def _receive(self):
        if self._quickack:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise ConnectionError("closed")
        return count
