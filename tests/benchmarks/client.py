"""
A client that costs little: what it times is in C (loops.c), what it checks in Python.

Without a compiler, and under TLS, Python does all.
"""

import socket
import ssl
import struct
import time

from tests.benchmarks import native
from tests.benchmarks.native import Failed

END = b"\r\n.\r\n"

#: Seconds after which a server that says nothing is given up.
PATIENCE = 120

#: Commands that are sent ahead of their responses, where any are.
WINDOW = 64

#: Seconds that a session before may take to end.
UNLOCKED = 20


def _connected(port, tls):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A descriptor that C reads must block; so the kernel has to keep the time.
    connection.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
    if not tls:
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


def unstuffed(receive):
    """
    Give the octets of a multi-line response as they come, unstuffed, without its ends.

    Raises:
        Failed: where it is a refusal.
    """
    rest, first, lines = b"", True, b""
    while lines[-4:] != b"\n.\r\n":
        octets = rest + receive()
        place = octets.rfind(b"\n") + 1
        # With the end of the line before, all lines are alike.
        lines, rest = b"\n" + octets[:place], octets[place:]
        if first and place:
            line, _, after = lines[1:].partition(b"\n")
            if not line.startswith(b"+OK"):
                raise Failed(line.decode("ascii", "replace").strip())
            lines, first = b"\n" + after, False
        body = lines[:-3] if lines[-4:] == b"\n.\r\n" else lines
        if len(body) > 1:
            yield body.replace(b"\n.", b"\n")[1:]


class Client:
    """
    A session, logged in.
    """

    def __init__(self, port, user=b"alice", tls=False, quickack=True):
        """
        Args:
            port: of 127.0.0.1.
            user: logs in, with the password "secret".
            tls: whether there is TLS from the start.
            quickack: acknowledges at once; otherwise as late as the kernel likes.
        """
        self._quickack = quickack
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)
        self._loops = None if tls else native.loops()
        end = time.perf_counter() + UNLOCKED
        while True:
            self._socket = _connected(port, tls)
            try:
                self._line()
                self.line_of(b"USER " + user)
                #: When PASS was sent.
                self.entered = time.perf_counter()
                self.line_of(b"PASS secret")
                return
            except Failed as error:
                self.hang_up()
                # The session before may have been cut, and be ending still.
                if "use" not in str(error) or time.perf_counter() > end:
                    raise
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendall(b"QUIT\r\n")
            while self._socket.recv(65536):
                pass
        except OSError:
            pass
        self.hang_up()

    def hang_up(self):
        """
        Close the connection without a word.
        """
        self._socket.close()

    def line_of(self, command):
        """
        Send a command, and give its one-line answer.

        Raises:
            Failed: where it is refused.
        """
        self._socket.sendall(command + b"\r\n")
        return self._line()

    def _line(self):
        line = b""
        while not line.endswith(b"\r\n"):
            octets = self._socket.recv(1000)
            if not octets:
                raise Failed("the connection failed")
            line += octets
        if not line.startswith(b"+OK"):
            raise Failed(line.decode("ascii", "replace").strip())
        return line

    def retrieve(self, command, target=0):
        """
        Send a command, read its multi-line response; give its octets, and seconds.

        With a *target* the seconds are those until so many octets have come after the
        first line, and the connection is closed: the rest is of no interest.
        """
        command += b"\r\n"
        if self._loops is not None:
            done = native.response(
                self._socket.fileno(), command, self._quickack, target
            )
        else:
            done = self._retrieve(command, target)
        if target:
            self.hang_up()
        return done

    def _retrieve(self, command, target):
        begun = time.perf_counter()
        self._socket.sendall(command)
        octets, head, tail = 0, 0, b""
        while tail != END and not (head and target and octets - head >= target):
            count = self._receive()
            if not head:
                head = octets + self._buffer.find(b"\n", 0, count) + 1
                if self._buffer[:1] != b"+" and not octets:
                    raise Failed("a refusal")
            octets += count
            tail = (tail + bytes(self._view[max(0, count - 5) : count]))[-5:]
        return octets, time.perf_counter() - begun

    def sequence(self, count, window=1):
        """
        Retrieve the first messages, so many commands ahead; give the seconds.
        """
        if self._loops is not None:
            return native.sequence(self._socket.fileno(), count, window, self._quickack)
        begun = time.perf_counter()
        sent, seen, carry = 0, 0, b""
        while seen < count:
            if sent < count and sent - seen <= window // 2:
                numbers = range(sent + 1, min(count, seen + window) + 1)
                self._socket.sendall(b"".join(b"RETR %d\r\n" % n for n in numbers))
                sent += len(numbers)
            octets = carry + bytes(self._view[: self._receive()])
            seen += octets.count(END)
            carry = octets[-4:]
        return time.perf_counter() - begun

    def blocks(self, command):
        """
        Send a command, and give the octets of its multi-line response, unstuffed.
        """
        self._socket.sendall(command + b"\r\n")
        return unstuffed(lambda: self._view[: self._receive()])

    def _receive(self):
        if self._quickack:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise Failed("the connection failed")
        return count
