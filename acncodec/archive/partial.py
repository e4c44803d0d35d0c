"""Temporary names of output being written, and removal of stale files that killed runs left under such names.

A writer holds a lock on its temporary file, which the system releases with the process. An unlocked file is stale.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

# Characters of the target's name used in the temporary one: all of it plus affixes could exceed NAME_MAX.
STEM = 40
TRIES = 16  # if another run removes the file as stale before it is locked
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# O_EXCL: never opens a file of somebody else. The kernel applies the umask to the mode.
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o666


def create_file(target: Path) -> tuple[Path, int, int]:
    """A new locked file beside `target`: its path, a descriptor for writing, and a second one of its lock, for `release`.

    The file stays locked until both are closed. Raises OSError.
    """
    path, descriptor = _create(target, target.parent, lambda path: os.open(path, CREATE_FLAGS, FILE_MODE))
    return path, descriptor, os.dup(descriptor)


def create_directory(target: Path, within: Path, mode: int) -> tuple[Path, int]:
    """As `create_file`, a directory in `within`, `target` or its parent; the descriptor only holds the lock."""

    def make(path: Path) -> int:
        path.mkdir(mode)
        return os.open(path, OPEN_FLAGS)

    return _create(target, within, make)


def _create(target: Path, within: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """A new path for `target` in `within`, and the descriptor from `make`, locked."""
    for _ in range(TRIES):
        path = _name(target, within)
        descriptor = make(path)
        if _lock(path, descriptor):
            return path, descriptor
        release(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def release(lock: int) -> None:
    """Close the descriptor of a lock; errors are ignored, as no data depends on it."""
    with contextlib.suppress(OSError):
        os.close(lock)


def remove_left_over(target: Path) -> None:
    """Remove what dead runs left for `target`, beside it and in it; what cannot be removed stays."""
    pattern = re.compile(re.escape(f".{target.name[:STEM]}.") + r"[0-9a-f]{16}\.partial")
    for folder in (target.parent, target):
        with contextlib.suppress(OSError):
            for path in [folder / entry.name for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]:
                _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, OPEN_FLAGS)
        try:
            info = os.fstat(descriptor)
            if info.st_uid != os.geteuid():
                return
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError while its writer lives
            if stat.S_ISDIR(info.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            elif stat.S_ISREG(info.st_mode):
                path.unlink()
        finally:
            release(descriptor)


def _lock(path: Path, descriptor: int) -> bool:
    """Lock what was just created; False if another run has removed it as stale."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system, so nobody removes anything
        return True
    try:
        return path.lstat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _name(target: Path, within: Path) -> Path:
    return within / f".{target.name[:STEM]}.{secrets.token_hex(8)}.partial"
