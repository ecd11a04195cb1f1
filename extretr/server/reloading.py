"""
What is read again when the administrator asks for it, as by SIGHUP.
"""

from collections.abc import Callable

from twisted.logger import Logger


class Reloads:
    """
    All that can be read again without a restart.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._all: list[tuple[str, Callable[[], str]]] = []

    def add(self, what: str, reload: Callable[[], str]) -> None:
        """
        Take one more.

        Args:
            what: its name, for the log.
            reload: reads it again and tells in a few words what it found; where it
                raises, the old goes on to be used.
        """
        self._all.append((what, reload))

    def reload(self) -> None:
        """
        Read all again; one that cannot be read does not keep the others from it.
        """
        done = []
        for what, reload in self._all:
            try:
                done.append(f"{what} ({reload()})")
            except Exception as error:
                self._log.error(
                    "{what} cannot be reloaded, it stays as it was: {error}",
                    what=what,
                    error=getattr(error, "strerror", None) or str(error),
                )
        self._log.info("reloaded: {what}", what=", ".join(done) or "nothing")
