"""
Folders on the disk.
"""

import os
from pathlib import Path


def sync_folder(path: bytes | Path) -> None:
    """
    Make what was made, renamed or removed in a folder last.

    Raises:
        OSError: where that cannot be; FileNotFoundError where there is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
