"""
Many clients at once, which cost little: asyncio, and no more of POP3 than is needed.
"""

import asyncio
import random
import resource
import ssl

#: Connections that are being made at once.
AT_ONCE = 100

PASSWORD = b"secret"


def allow_descriptors(count: int) -> None:
    """
    Let this process, and those that it starts, have so many files open.

    Raises:
        SystemExit: where that is not allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"ulimit -n is {hard}, which is not {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


class Crowd:
    """
    Clients of one server.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._context = context
        self._gate = asyncio.Semaphore(AT_ONCE)
        #: What happened how often.
        self.sessions = self.cuts = self.refused = self.octets = 0

    async def log_in(self, user: bytes) -> "Client":
        """
        Connect and log in.

        Raises:
            ConnectionError: where the server refuses.
        """
        async with self._gate:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._context, limit=1 << 16
            )
            client = Client(reader, writer)
            try:
                await client.line()
                await client.ask(b"USER " + user)
                await client.ask(b"PASS " + PASSWORD)
            except BaseException:
                client.cut()
                raise
            return client

    async def come_and_go(self, user: bytes, dice: random.Random, end: float) -> None:
        """
        Have sessions of a user until *end*; half of them are cut somewhere.
        """
        now = asyncio.get_running_loop().time
        while now() < end:
            try:
                client = await self.log_in(user)
            except ConnectionError:
                # The lock of a session that was cut just now may not be free yet.
                self.refused += 1
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                continue
            self.sessions += 1
            try:
                await self._session(client, dice, cut=dice.random() < 0.5)
            except ConnectionError:
                self.refused += 1
                client.cut()

    async def _session(self, client: "Client", dice: random.Random, cut: bool) -> None:
        await client.ask(b"STAT")
        # Sessions shall overlap: most of the time they do nothing.
        await asyncio.sleep(dice.uniform(0, 20))
        for number in (1, 2):
            offset = dice.choice([0, 0, dice.randrange(100_000)]) if number == 2 else 0
            most = dice.randrange(150_000) if cut else 1 << 60
            self.octets += await client.body(b"RETR %d %d" % (number, offset), most)
            if cut and dice.random() < 0.5:
                break
        if cut:
            self.cuts += 1
            client.cut(reset=dice.random() < 0.5)
            return
        await client.ask(b"DELE 1")
        await client.ask(b"RSET")
        await client.ask(b"QUIT")
        client.cut(reset=False)


class Client:
    """
    One connection.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def line(self) -> bytes:
        """
        Give the next line.

        Raises:
            ConnectionError: where it is a refusal, or none comes.
        """
        line = await self._reader.readline()
        if not line.startswith(b"+OK"):
            raise ConnectionError(line)
        return line

    async def ask(self, command: bytes) -> bytes:
        """
        Send a command and give the first line of the answer.
        """
        self._writer.write(command + b"\r\n")
        return await self.line()

    async def body(self, command: bytes, most: int) -> int:
        """
        Ask for a message, read so many octets of it at most, and give their number.
        """
        await self.ask(command)
        count, tail = 0, b"\r\n"
        while not tail.endswith(b"\r\n.\r\n") and count < most:
            octets = await self._reader.read(65536)
            if not octets:
                raise ConnectionError("closed")
            count += len(octets)
            tail = (tail + octets)[-5:]
        return count

    def cut(self, reset: bool = True) -> None:
        """
        Hang up, with a reset or in good order.
        """
        if reset:
            self._writer.transport.abort()
        else:
            self._writer.close()
