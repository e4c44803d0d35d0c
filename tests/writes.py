"""Helpers of the tests of atomic output: what a folder holds, system calls and contents that fail, a directory to write."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from acncodec.archive.atomic import DirectoryWriter


def tree(root: Path) -> dict[str, bytes]:
    """All files below `root`, hidden ones too, by relative path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def failing(number: int) -> Callable[..., None]:
    """A system call that refuses with this error."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


no_space = failing(errno.ENOSPC)


def raising(error: type[BaseException]) -> Iterator[bytes]:
    """Chunks that break off."""
    yield b"half"
    raise error


def fill(target: Path, names: list[bytes], overwrite: bool, then: Callable[[DirectoryWriter], object] = bool) -> None:
    """Write files of content b"new", then do something with the writer before the directory is finished."""
    with DirectoryWriter(target, overwrite) as writer:
        for name in names:
            writer.add(name, [b"new"])
        then(writer)
