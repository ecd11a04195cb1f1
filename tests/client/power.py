r"""
A disk that forgets, when the power goes, what it was not told to sync.

    with disk.running(at=7):
        ...                   # Crash is raised in place of the eighth change
    disk.lose_power(seed)     # what is there now is what such a disk may have kept
"""

import os
import random
import shutil
from contextlib import contextmanager

from tests.stores.mboxes import Crash


class Disk:
    """
    What lies below a folder, and what of it would outlast a loss of power.

    Of a file that is what it held when it was last synced; of a name, what it stood
    for when its folder was.  Of all that was done since, any part may be there.
    """

    #: Octets that the disk writes, or does not write, together.
    block = 5

    def __init__(self, root):
        self.root = os.fsencode(os.path.abspath(root))
        # Each file that was made here: its octets when it was synced, and a descriptor.
        self._safe = {}
        self._files = {}
        # What each name stands for: as it is, and as it was when it was last synced.
        self._names = {}
        self._safe_names = {}
        # Changes of names that belong together, in order, as lists of (path, inode).
        self._pending = []
        self._left = 0
        self.crashed = False

    def close(self):
        """
        Let go of the files.
        """
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    # While the power is on

    @contextmanager
    def running(self, at=None):
        """
        Watch what is done; raise `Crash` in place of the *at*-th change and all others.
        """
        self._left = float("inf") if at is None else at
        self.crashed = False
        names = [name for name in dir(self) if name.startswith("do_")]
        before = {name[3:]: getattr(os, name[3:]) for name in names}
        self._os = before
        for name in names:
            setattr(os, name[3:], getattr(self, name))
        try:
            yield
        finally:
            for name, function in before.items():
                setattr(os, name, function)

    def step(self):
        """
        Count a change that is about to be made.
        """
        self._left -= 1
        if self._left < 0:
            self.crashed = True
            raise Crash

    def _path(self, path):
        """
        Give a path that is watched, else None: locks do not outlast their process.
        """
        if isinstance(path, int):
            return None
        path = os.path.abspath(os.fsencode(path))
        within = path.startswith(self.root + b"/") and not path.endswith(b".lock")
        return path if within and not path.endswith(b"/lock") else None

    def _name(self, *changes):
        for path, inode in changes:
            self._names[path] = inode
        self._pending.append(list(changes))

    def do_open(self, path, flags, *arguments, **more):
        watched = self._path(path)
        made = flags & os.O_CREAT and watched and not os.path.lexists(watched)
        if made or (watched and flags & os.O_TRUNC):
            self.step()
        descriptor = self._os["open"](path, flags, *arguments, **more)
        if made:
            inode = os.fstat(descriptor).st_ino
            self._files[inode] = self._os["open"](watched, os.O_RDONLY)
            self._name((watched, inode))
        return descriptor

    def do_mkdir(self, path, *arguments, **more):
        watched = self._path(path)
        if watched and os.path.isdir(os.path.dirname(watched)):
            self.step()
        self._os["mkdir"](path, *arguments, **more)
        if watched:
            self._name((watched, os.stat(watched).st_ino))

    def do_rename(self, source, target, **more):
        watched, before = self._path(target), self._path(source)
        if watched:
            self.step()
        self._os["rename"](source, target, **more)
        if watched:
            self._name((watched, self._names[before]), (before, None))

    do_replace = do_rename

    def do_unlink(self, path, **more):
        watched = self._path(path)
        known = watched in self._names
        if known:
            self.step()
        self._os["unlink"](path, **more)
        if known:
            self._name((watched, None))

    def _changed(name):
        def change(self, file, *arguments):
            on_descriptor = isinstance(file, int)
            status = os.fstat(file) if on_descriptor else os.stat(file)
            if status.st_ino in self._files:
                self.step()
            return self._os[name](file, *arguments)

        return change

    do_write = _changed("write")
    do_pwrite = _changed("pwrite")
    do_ftruncate = _changed("ftruncate")
    do_truncate = _changed("truncate")

    def do_fsync(self, descriptor):
        inode = os.fstat(descriptor).st_ino
        folders = [path for path, one in self._names.items() if one == inode]
        if inode in self._files:
            self.step()
            self._safe[inode] = self._content(inode)
        elif os.stat(self.root).st_ino == inode:
            self.sync_names(self.root)
        elif folders:
            self.sync_names(folders[0])

    do_fdatasync = do_fsync

    def sync_names(self, folder):
        """
        Sync a folder: what was renamed into it may be in its old place as well, and
        what was renamed out of it need not be in its new one.
        """
        self.step()
        for changes in self._pending:
            done = [one for one in changes if os.path.dirname(one[0]) == folder]
            for path, inode in done:
                changes.remove((path, inode))
                self._safe_names[path] = inode

    # When it goes

    def _content(self, inode):
        descriptor = self._files[inode]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def lose_power(self, seed):
        """
        Leave what the disk may have kept; all of that is safe from now on.
        """
        dice = random.Random(seed)
        kept = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        names = dict(self._safe_names)
        for changes in self._pending:
            if dice.random() < kept:
                names.update(changes)
        names = {path: inode for path, inode in names.items() if inode is not None}
        files = {
            inode: self._mixed(inode, dice)
            for inode in sorted(set(names.values()) & set(self._files))
        }
        for path in sorted(self._names, reverse=True):
            if os.path.isdir(path):
                if path not in names:
                    shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
        first = {}
        for path, inode in sorted(names.items()):
            is_lost = not os.path.isdir(os.path.dirname(path))
            if is_lost or inode not in files:
                if is_lost:
                    del names[path]
            elif inode in first:
                os.link(first[inode], path)
            else:
                first[inode] = path
                with open(path, "xb") as file:
                    file.write(files[inode])
        self.close()
        self._safe, self._pending, self._names = {}, [], {}
        for path, inode in names.items():
            now = os.stat(path).st_ino
            self._names[path] = now
            if not os.path.isdir(path) and now not in self._files:
                self._files[now] = os.open(path, os.O_RDONLY)
                self._safe[now] = files[inode]
        self._safe_names = dict(self._names)

    def _mixed(self, inode, dice):
        now = self._content(inode)
        if self.is_sound(inode):
            return now
        safe = self._safe.get(inode, b"")
        bad = dice.choice([0.0, 0.1, 0.5, 1.0])
        size = dice.choice([len(now), len(safe)])
        blocks = []
        for at in range(0, size, self.block):
            octets = safe if dice.random() < bad else now
            block = octets[at : at + self.block]
            blocks.append(block.ljust(self.block, b"\0"))
        return b"".join(blocks)[:size]

    def is_sound(self, inode):
        """
        Tell whether a file is of those that SQLite changes, and mends by itself.
        """
        return any(
            os.path.basename(path) == b"journal"
            for path, one in self._names.items()
            if one == inode
        )
