"""
The inner loops of the client, in C where there is a compiler.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("loops.c")

_WHY = {-1: "the connection failed", -2: "a refusal", -3: "that is no response"}


class Failed(Exception):
    """
    A server has not answered as it should.
    """


@cache
def loops():
    """
    Give the compiled loops; None where there is no compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(caches) / "extretr-benchmarks"
    name = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = folder / f"loops-{name}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as draft:
            made = Path(draft) / "loops.so"
            subprocess.run(
                [compiler, "-O2", "-shared", "-fPIC", "-o", made, SOURCE], check=True
            )
            made.rename(path)
    library = ctypes.CDLL(str(path))
    library.response.restype = ctypes.c_longlong
    library.response.argtypes = [
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
        *(ctypes.c_longlong, *[ctypes.POINTER(ctypes.c_double)] * 2),
    ]
    library.sequence.restype = ctypes.c_longlong
    library.sequence.argtypes = [*[ctypes.c_int] * 4, ctypes.POINTER(ctypes.c_double)]
    library.sessions.restype = ctypes.c_int
    library.sessions.argtypes = [*[ctypes.c_int] * 4, ctypes.POINTER(ctypes.c_double)]
    return library


def response(descriptor, command, quickack, target=0):
    """
    Send a command and read its multi-line response; give its octets, and seconds.

    With a *target* it ends, and so do the seconds, when so many octets have come after
    the first line.

    Raises:
        Failed: where it is refused, or cut.
    """
    reached, ended = ctypes.c_double(), ctypes.c_double()
    octets = loops().response(
        descriptor, command, len(command), quickack, target, reached, ended
    )
    _check(octets)
    if not target:
        return octets, ended.value
    if reached.value < 0:
        raise Failed("the response is too short")
    return octets, reached.value


def sequence(descriptor, count, window, quickack):
    """
    Retrieve the first messages, so many commands ahead; give the seconds.

    Raises:
        Failed: where one is refused, or cut.
    """
    ended = ctypes.c_double()
    _check(loops().sequence(descriptor, count, window, quickack, ended))
    return ended.value


def sessions(port, at_once, total, users):
    """
    Have sessions of the users u0, u1, ...: greeting, USER, PASS, STAT, QUIT.

    Give the seconds that all of them took.

    Raises:
        Failed: where one is refused, or cut.
    """
    ended = ctypes.c_double()
    _check(loops().sessions(port, at_once, total, users, ended))
    return ended.value


def _check(result):
    if result < 0:
        raise Failed(_WHY[result])
