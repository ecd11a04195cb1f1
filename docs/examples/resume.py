"""
Fetches a message into a file, and goes on where an earlier run has stopped.

usage: python resume.py HOST PORT USER PASSWORD FILE
"""

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from extretr import ResumingPOP3Client


async def main(reactor, host, port, user, password, name):
    path = Path(name)
    endpoint = HostnameEndpoint(reactor, host, int(port))
    client = await endpoint.connect(Factory.forProtocol(ResumingPOP3Client))
    client.hostname = host
    # The example's server is on this machine.
    client.allowInsecureLogin = host == "127.0.0.1"
    await client.login(user.encode(), password.encode())
    # What is offered may change by the login.
    offered = await client.capabilities()
    held = path.stat().st_size if path.exists() else 0
    if held and b"EXT-RETR" not in offered:
        path.unlink()
        held = 0
    with path.open("ab") as file:
        octets = await client.retrieveOctets(0, file.write, offset=held)
    print(f"{held} octets were there, {octets} have come")
    await client.quit()


if __name__ == "__main__":
    react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
