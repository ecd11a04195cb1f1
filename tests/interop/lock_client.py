"""
A client for test_takeover: says what it is given to say, reads, and stays.

It needs nothing but Python, and it never closes its connection by itself.
"""

import socket
import sys


def main(host, port, *lines):
    connection = socket.create_connection((host, int(port)))
    for line in lines:
        connection.sendall(line.encode() + b"\n")
    total = 0
    while octets := connection.recv(65536):
        total += len(octets)
        if total == len(octets):
            print(octets.split(b"\n")[0].decode(), flush=True)
        if total - len(octets) < 10_000_000 <= total:
            print("much", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
