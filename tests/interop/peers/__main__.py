"""
Downloads and unpacks all servers, so that tests that use them need no network.
"""

from tests.interop.peers import ALL


def main() -> None:
    """
    Print where each server's programs are.
    """
    for peer in ALL:
        print(peer.unpacked())


if __name__ == "__main__":
    main()
