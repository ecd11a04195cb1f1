"""
A POP3 server of the plainest kind, with hooks for whatever a server may get wrong.
"""

from twisted.protocols.basic import LineOnlyReceiver

from tests.client.network import canonical


def stuffed(octets):
    """
    Give the body of a response: stuffed, and closed.
    """
    lines = octets.split(b"\r\n")
    return b"\r\n".join(b"." + one if one[:1] == b"." else one for one in lines)


class PlainServer:
    """
    A maildrop for sessions of a class that a test may replace.
    """

    offered = [b"UIDL", b"EXT-RETR", b"RESP-CODES"]

    def __init__(self, messages, session=None):
        self.messages = dict(messages)
        self.commands = []
        self.sessions = 0
        self.session = session or PlainSession

    def build(self, clock):
        self.sessions += 1
        return self.session(self, clock)


class PlainSession(LineOnlyReceiver):
    """
    One session.
    """

    greeting = b"+OK plain"

    def __init__(self, server, clock):
        self.server = server
        self.clock = clock
        self.names = list(server.messages)
        self.deleted = set()

    def connectionMade(self):
        self.sendLine(self.greeting)

    def lineReceived(self, line):
        self.server.commands.append(line)
        command, *words = line.split(b" ")
        answer = getattr(self, "do_" + command.decode())(*words)
        if answer is not None:
            self.transport.write(answer)

    def message(self, word):
        return canonical(self.server.messages[self.names[int(word) - 1]])

    def do_CAPA(self):
        return (
            b"+OK\r\n"
            + b"".join(b"%b\r\n" % one for one in self.server.offered)
            + b".\r\n"
        )

    def do_USER(self, user):
        return b"+OK\r\n"

    def do_PASS(self, password):
        return b"+OK\r\n"

    def numbers(self):
        return [
            number
            for number in range(1, len(self.names) + 1)
            if number - 1 not in self.deleted
        ]

    def size(self, word):
        return len(self.message(word))

    def do_LIST(self, word=None):
        if word is not None:
            return b"+OK %b %d\r\n" % (word, self.size(word))
        lines = [b"%d %d\r\n" % (each, self.size(each)) for each in self.numbers()]
        return b"+OK\r\n" + b"".join(lines) + b".\r\n"

    def do_UIDL(self, word=None):
        if word is not None:
            if int(word) > len(self.names):
                return b"-ERR no such message\r\n"
            return b"+OK %b %b\r\n" % (word, self.names[int(word) - 1])
        lines = [b"%d %b\r\n" % (each, self.names[each - 1]) for each in self.numbers()]
        return b"+OK\r\n" + b"".join(lines) + b".\r\n"

    def do_RETR(self, word, offset=b"0"):
        message = self.message(word)
        rest = message[int(offset) :]
        return b"+OK %d octets\r\n" % len(message) + stuffed(rest) + b".\r\n"

    def do_TOP(self, word, lines):
        header = self.message(word).partition(b"\r\n\r\n")[0]
        return b"+OK\r\n" + stuffed(header + b"\r\n\r\n") + b".\r\n"

    def do_DELE(self, word):
        self.deleted.add(int(word) - 1)
        return b"+OK\r\n"

    def do_NOOP(self):
        return b"+OK\r\n"

    def do_QUIT(self):
        for index in self.deleted:
            self.server.messages.pop(self.names[index], None)
        self.transport.write(b"+OK\r\n")
        self.transport.loseConnection()
