"""Output that appears whole or not at all: into a hidden sibling first, then renamed into place."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from acncodec.errors import DamagedError, OutputError

# O_EXCL: never a file that somebody else put there.  The mode is the kernel's to cut by the umask.
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o666
# Characters of the target's name kept in the temporary one: all of it plus the ends could pass NAME_MAX.
TEMP_STEM = 40


def write_atomically(path: Path, chunks: Iterable[bytes], overwrite: bool) -> int:
    """Write a file of all `chunks` in order and return its length in bytes.

    Whatever goes wrong, an interrupt or the loss of power included, `path` is left as it was or is complete.
    Raises OutputError if `path` exists and `overwrite` is not set, if it is no regular file, or if the system
    refuses; what iterating `chunks` raises comes through as it is.
    """
    refuse_occupied(path, overwrite)
    temp = _temp_name(path)
    written = 0
    try:
        with _reported(path):
            descriptor = os.open(temp, CREATE_FLAGS, FILE_MODE)
        try:
            for chunk in chunks:
                with _reported(path):
                    _write_all(descriptor, chunk)
                written += len(chunk)
            with _reported(path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with _reported(path):
            _publish(temp, path, overwrite)
    finally:
        _remove(temp)
    with _reported(path):
        _sync_directory(path.parent)
    return written


class DirectoryWriter:
    """Context manager that fills a directory: files go to a hidden sibling, and on success to `target`.

    A target that is missing or empty is replaced by one rename.  One that holds something needs `overwrite`
    and gets file by file, each whole; all conflicts that can be seen beforehand are refused before the first.
    On an exception before that the target is untouched.  The single files are not forced to the disk: what
    they were unpacked from is still there.  Raises OutputError, at once for a target that cannot be used.
    """

    def __init__(self, target: Path, overwrite: bool) -> None:
        with _reported(target):
            # The user's own link to a directory is followed; links inside it are not.
            self._target = Path(os.path.realpath(target))
            if self._target.exists():
                if not self._target.is_dir():
                    raise OutputError(f"{_shown(target)} exists already and is not a directory.")
                if not overwrite and any(self._target.iterdir()):
                    raise OutputError(f"{_shown(target)} exists already and is not empty; give -f to write into it.")
        self._overwrite = overwrite
        self._temp = _temp_name(self._target)
        self._names: list[Path] = []

    def __enter__(self) -> "DirectoryWriter":
        with _reported(self._target):
            self._temp.mkdir()
        return self

    def add(self, name: bytes, data: bytes) -> None:
        """Write one file under its POSIX path relative to the target, making the directories above it.

        Raises DamagedError for a path that leaves the target or meets another one that was added, OutputError
        if the system refuses.
        """
        if any(part in (b"", b".", b"..") or b"\0" in part for part in name.split(b"/")):
            raise DamagedError(f"The archive names a file that cannot be written safely: {name!r}.")
        relative = Path(os.fsdecode(name))
        path = self._temp / relative
        with _reported(self._target / relative):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, CREATE_FLAGS, FILE_MODE)
            except (FileExistsError, NotADirectoryError) as error:
                raise DamagedError(f"The archive names two files that exclude each other: {name!r}.") from error
            try:
                _write_all(descriptor, data)
            finally:
                os.close(descriptor)
        self._names.append(relative)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                with _reported(self._target):
                    self._finish()
        finally:
            shutil.rmtree(self._temp, ignore_errors=True)

    def _finish(self) -> None:
        try:
            self._temp.rename(self._target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Also reached when the target was filled since the check at the start.
            if not self._overwrite:
                raise OutputError(f"{_shown(self._target)} is no longer empty; give -f to write into it.") from error
            self._merge()
        else:
            _sync_directory(self._target.parent)

    def _merge(self) -> None:
        """Move all files into the target, replacing files and links of the same name."""
        by_parent: dict[Path, list[str]] = {}
        for name in self._names:
            by_parent.setdefault(name.parent, []).append(name.name)
        for parent, leaves in by_parent.items():
            self._refuse_conflicts(parent, leaves)
        for parent, leaves in by_parent.items():
            descriptor = _open_below(self._target, parent)
            try:
                for leaf in leaves:
                    os.replace(self._temp / parent / leaf, leaf, dst_dir_fd=descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _refuse_conflicts(self, parent: Path, leaves: list[str]) -> None:
        for ancestor in (parent, *parent.parents):
            path = self._target / ancestor
            mode = _mode(path)
            # A link among the parents would lead the files out of the target.
            if mode is not None and not stat.S_ISDIR(mode):
                raise OutputError(f"{_shown(path)} is in the way: it is a file or a link, and a directory is needed there.")
        for leaf in leaves:
            path = self._target / parent / leaf
            mode = _mode(path)
            if mode is not None and stat.S_ISDIR(mode):
                raise OutputError(f"{_shown(path)} is in the way: it is a directory, and a file is to be written there.")


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn the system's refusals into an OutputError that names the output, not a temporary name."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"Cannot write {_shown(path)}: {error.strerror or error}.") from error


def _shown(path: Path) -> str:
    # Archives choose names: none may drive the terminal that the message is printed on.
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _temp_name(path: Path) -> Path:
    return path.parent / f".{path.name[:TEMP_STEM]}.{secrets.token_hex(8)}.partial"


def _mode(path: Path) -> int | None:
    """The type and permission bits of what is at `path` itself, not behind a link; None for nothing."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def refuse_occupied(path: Path, overwrite: bool) -> None:
    """Raise OutputError if `path` exists and may not be overwritten, or if its directory is missing."""
    with _reported(path):
        mode = _mode(path)
        if mode is None:
            path.parent.stat()  # raises if it is missing
            return
    # Renaming over /dev/null or a link to it would take the device away from everybody else.
    if not stat.S_ISREG(mode):
        raise OutputError(f"{_shown(path)} exists already and is not a regular file.")
    if not overwrite:
        raise OutputError(f"{_shown(path)} exists already; give -f to overwrite it.")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _publish(temp: Path, path: Path, overwrite: bool) -> None:
    if not overwrite:
        try:
            # Unlike a rename, a link never takes the place of a file made since the first check.
            path.hardlink_to(temp)
            return
        except OSError:
            # It exists by now, or this file system has no links; then the moment in between stays open.
            refuse_occupied(path, overwrite)
    temp.replace(path)


def _remove(temp: Path) -> None:
    # Renamed away on success; on failure there is an error to report that this must not hide.
    with contextlib.suppress(OSError):
        temp.unlink()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_below(root: Path, relative: Path) -> int:
    """Open a directory below `root`, making what is missing and following no link on the way."""
    descriptor = os.open(root, DIRECTORY_FLAGS)
    for part in relative.parts:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=descriptor)
            below = os.open(part, DIRECTORY_FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor
