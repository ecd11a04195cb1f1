"""
The bound: a server that answers each RETR with a ready file, by sendfile.

usage: python -m tests.benchmarks.blaster FILE

The file is what goes over the wire, from the ``+OK`` to the last dot.  One client at a
time; the port is printed.
"""

import os
import socket
import sys


def serve(connection, file):
    """
    Answer one client, until it is gone.
    """
    size = os.fstat(file.fileno()).st_size
    connection.sendall(b"+OK ready\r\n")
    rest = b""
    while octets := connection.recv(4096):
        *commands, rest = (rest + octets).split(b"\r\n")
        for command in commands:
            if not command.startswith(b"RETR"):
                connection.sendall(b"+OK\r\n")
                if command == b"QUIT":
                    return
                continue
            sent = 0
            while sent < size:
                sent += os.sendfile(
                    connection.fileno(), file.fileno(), sent, size - sent
                )


def main():
    """
    Serve until killed.
    """
    with open(sys.argv[1], "rb") as file, socket.create_server(("127.0.0.1", 0)) as one:
        print(one.getsockname()[1], flush=True)
        while True:
            connection, _ = one.accept()
            with connection:
                try:
                    serve(connection, file)
                except OSError:
                    # The client has what it wanted.
                    pass


if __name__ == "__main__":
    main()
