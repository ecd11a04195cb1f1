"""
A client for test_takeover: says what it is given to say, reads, and stays.

It needs nothing but Python, and it never closes its connection by itself.  Where the
first thing to say is STLS, all that follows is said inside TLS.
"""

import socket
import ssl
import sys


def main(host, port, *lines):
    connection = socket.create_connection((host, int(port)))
    if lines[0].strip() == "STLS":
        connection.sendall(b"STLS\r\n")
        while not connection.recv(65536).endswith(b"TLS now\r\n"):
            pass
        connection = ssl._create_unverified_context().wrap_socket(connection)
        lines = lines[1:]
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
