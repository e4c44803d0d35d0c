"""Atomic output: written to a hidden temporary sibling first, then renamed into place."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from acncodec.archive.partial import CREATE_FLAGS, FILE_MODE, create_directory, create_file, release, remove_left_over
from acncodec.errors import DamagedError, OutputError

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY_MODE = 0o777
MAX_DEPTH = 255  # directories within the target; the library function that removes them is recursive
# Harmless errors of fsync on a directory: not readable, or not supported.
UNSYNCABLE = (errno.EACCES, errno.EINVAL, errno.ENOTSUP)


def write_atomically(
    path: Path, chunks: Iterable[bytes], overwrite: bool, inspect: Callable[[Path], None] | None = None
) -> int:
    """Write a file of all `chunks` in order and return its length in bytes.

    `inspect` may read the complete file on the disk before it is moved into place. Whatever fails, including an interrupt
    or loss of power, `path` is either unchanged or complete. Raises OutputError if `path` exists and `overwrite` is not
    set, if it is not a regular file, or if the system refuses; exceptions of `chunks` and `inspect` propagate.
    """
    refuse_occupied(path, overwrite)
    written = 0
    with _reported(path):
        temp, descriptor, lock = create_file(path)
    try:
        try:
            for chunk in chunks:
                with _reported(path):
                    _write_all(descriptor, chunk)
                written += len(chunk)
            with _reported(path):
                os.fsync(descriptor)
        except BaseException:
            # Keep the original error.
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise
        with _reported(path):
            os.close(descriptor)  # some file systems report a full disk only here
        if inspect:
            inspect(temp)
        with _reported(path):
            _publish(temp, path, overwrite)
    finally:
        _remove(temp)
        release(lock)
    with _reported(path):
        _sync_directory(path.parent)
    return written


class DirectoryWriter:
    """Context manager that fills a directory: files go to a hidden sibling, and on success to `target`.

    A missing or empty target is replaced by one rename. One that holds something needs `overwrite` and receives file by
    file, each atomically; so does an empty one that cannot be replaced by a rename: a mount point, the working directory,
    one in a directory without write permission (then the hidden directory lies in the target). All conflicts that can be
    detected beforehand are refused before the first file. On an exception before that the target is unchanged. Single files
    are not fsynced: the archive that they come from still exists.

    Names are never altered: if the file system maps two of them to one, OutputError says so. Raises OutputError, at once
    for an unusable target.
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
                if not os.access(self._target, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._overwrite = overwrite
        # Names of everything created so far, and whether each is a directory; parents come first.
        self._made: dict[bytes, bool] = {b"": True}

    def __enter__(self) -> "DirectoryWriter":
        remove_left_over(self._target)
        with _reported(self._target):
            self._temp, self._lock = _make_temp(self._target)
        return self

    def add(self, name: bytes, pieces: Iterable[bytes]) -> None:
        """Write one file under its POSIX path relative to the target, creating its parent directories.

        Exceptions of `pieces` propagate. Raises DamagedError for a path that leaves the target or conflicts with one added
        before, OutputError if the system refuses or maps the name to an existing one.
        """
        _refuse_unsafe(name)
        if name in self._made:
            raise _excluded(name)
        self._make_directories(name.rpartition(b"/")[0])
        with _reported(self._target / os.fsdecode(name)):
            try:
                descriptor = os.open(self._temp / os.fsdecode(name), CREATE_FLAGS, FILE_MODE)
            except FileExistsError as error:
                raise self._merged(name) from error
        try:
            for piece in pieces:
                with _reported(self._target / os.fsdecode(name)):
                    _write_all(descriptor, piece)
        finally:
            with _reported(self._target / os.fsdecode(name)):
                os.close(descriptor)
        self._made[name] = False

    def add_directory(self, name: bytes) -> None:
        """Create a directory and its parents; an existing directory stays. Raises as `add`."""
        _refuse_unsafe(name)
        self._make_directories(name)

    def _make_directories(self, name: bytes) -> None:
        if self._made.get(name):
            return
        parts = name.split(b"/")
        for end in range(1, len(parts) + 1):
            directory = b"/".join(parts[:end])
            if directory not in self._made:
                with _reported(self._target / os.fsdecode(directory)):
                    try:
                        (self._temp / os.fsdecode(directory)).mkdir()
                    except FileExistsError as error:
                        raise self._merged(directory) from error
                self._made[directory] = True
            elif not self._made[directory]:
                raise _excluded(name)

    def _merged(self, name: bytes) -> OutputError:
        """The error for a name that exists although it was not added: the file system maps another one to it."""
        found = _identity((self._temp / os.fsdecode(name)).lstat())
        parent = name.rpartition(b"/")[0]
        for other in self._made:
            if other.rpartition(b"/")[0] == parent and _identity((self._temp / os.fsdecode(other)).lstat()) == found:
                return _same_name(self._target, other, name)
        return OutputError(f"Cannot write {_shown(self._target / os.fsdecode(name))}: {os.strerror(errno.EEXIST)}.")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                with _reported(self._target):
                    self._finish()
        finally:
            shutil.rmtree(self._temp, ignore_errors=True)
            release(self._lock)

    def _finish(self) -> None:
        mode = _mode(self._target)
        if self._temp.parent == self._target or (mode is not None and self._target.samefile(os.curdir)):
            occupied = any(path != self._temp for path in self._target.iterdir())
        else:
            if mode is not None and stat.S_ISDIR(mode):
                self._temp.chmod(stat.S_IMODE(mode))  # a private directory stays private
            try:
                self._temp.rename(self._target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                occupied = True
            else:
                _sync_directory(self._target.parent)
                return
        # Also reached if the target was filled since the check at the start.
        if occupied and not self._overwrite:
            raise OutputError(f"{_shown(self._target)} is no longer empty; give -f to write into it.")
        _merge(self._temp, self._target, self._made, self._overwrite)


def _make_temp(target: Path) -> tuple[Path, int]:
    """Create an empty hidden directory; returns it and the descriptor of its lock.

    It lies beside the target, or in it if nothing can be renamed from there to the target.
    """
    there = _mode(target)
    mode = DIRECTORY_MODE if there is None else there & DIRECTORY_MODE | stat.S_IRWXU
    try:
        temp, lock = create_directory(target, target.parent, mode)
        if there is None or _same_mount(temp, target):
            return temp, lock
        temp.rmdir()
        release(lock)
    except OSError:
        if there is None:
            raise
    return create_directory(target, target, DIRECTORY_MODE)


def _same_mount(empty: Path, other: Path) -> bool:
    """Whether files can be renamed from the directory `empty` to the directory `other`."""
    if empty.stat().st_dev != other.stat().st_dev:
        return False
    try:
        # Two mounts may share one device. The kernel checks the mounts before it looks for the file, which does not exist.
        (empty / "none").rename(other / "none")
    except OSError as error:
        return error.errno != errno.EXDEV
    return True


def _merge(temp: Path, target: Path, made: dict[bytes, bool], overwrite: bool) -> None:
    """Move the contents of `temp` into the target, replacing what is not a directory there if `overwrite` is set."""
    _refuse_conflicts(target, made)
    files: dict[bytes, list[bytes]] = {}  # by directory, including empty ones
    for name, is_directory in made.items():
        files.setdefault(name if is_directory else name.rpartition(b"/")[0], []).extend([] if is_directory else [name])
    added: list[bytes] = []
    try:
        # All directories before the first file: a failure up to here leaves no trace.
        _merge_directories(target, list(files), added)
        for directory, names in files.items():
            _merge_files(temp, target, directory, names, overwrite)
    except BaseException:
        for name in reversed(added):
            parent, _, leaf = name.rpartition(b"/")
            # One that holds a file by now stays.
            with contextlib.suppress(OSError), _opened(target, parent) as descriptor:
                os.rmdir(leaf, dir_fd=descriptor)
        raise


def _refuse_conflicts(target: Path, made: dict[bytes, bool]) -> None:
    for name, is_directory in made.items():
        path = target / os.fsdecode(name)
        mode = _mode(path)
        # A link among the parents would lead the files out of the target.
        if mode is not None and is_directory and not stat.S_ISDIR(mode):
            raise OutputError(f"{_shown(path)} is in the way: it is a file or a link, and a directory is needed there.")
        if mode is not None and not is_directory and stat.S_ISDIR(mode):
            raise OutputError(f"{_shown(path)} is in the way: it is a directory, and a file is to be written there.")


def _merge_directories(target: Path, names: list[bytes], added: list[bytes]) -> None:
    """Create missing directories in the target, parents first; appends their names to `added`."""
    seen: dict[tuple[int, int], bytes] = {}
    for name in names:
        parent, _, leaf = name.rpartition(b"/")
        if leaf:
            with _opened(target, parent) as descriptor, contextlib.suppress(FileExistsError):
                os.mkdir(leaf, dir_fd=descriptor)
                added.append(name)
        with _opened(target, name) as descriptor:
            # The target may map to one name what the temporary directory keeps apart.
            other = seen.setdefault(_identity(os.fstat(descriptor)), name)
        if other != name:
            raise _same_name(target, other, name)


def _merge_files(temp: Path, target: Path, directory: bytes, names: list[bytes], overwrite: bool) -> None:
    placed: dict[tuple[int, int], bytes] = {}
    with _opened(target, directory) as descriptor:
        for name in names:
            source = temp / os.fsdecode(name)
            with contextlib.suppress(FileNotFoundError):
                there = os.stat(source.name, dir_fd=descriptor, follow_symlinks=False)
                if (other := placed.get(_identity(there))) is not None:
                    raise _same_name(target, other, name)
            placed[_identity(source.lstat())] = name
            _publish(source, target / os.fsdecode(name), overwrite, descriptor)


@contextlib.contextmanager
def _opened(root: Path, name: bytes) -> Iterator[int]:
    """Descriptor of the directory `name` below `root` (itself if empty); links are not followed."""
    descriptor = os.open(root, DIRECTORY_FLAGS)
    try:
        for part in filter(None, name.split(b"/")):
            above, descriptor = descriptor, os.open(part, DIRECTORY_FLAGS, dir_fd=descriptor)
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn OSError into an OutputError that names the output, not the temporary path."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"Cannot write {_shown(path)}: {error.strerror or error}.") from error


def _refuse_unsafe(name: bytes) -> None:
    parts = name.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts) or len(parts) > MAX_DEPTH + 1:
        raise DamagedError(f"The archive names a file that cannot be written safely: {name!r}.")


def _excluded(name: bytes) -> DamagedError:
    return DamagedError(f"The archive names two files that exclude each other: {name!r}.")


def _same_name(target: Path, first: bytes, second: bytes) -> OutputError:
    both = " and ".join(_shown(Path(os.fsdecode(name))) for name in (first, second))
    return OutputError(
        f"The file system of {_shown(target)} takes {both} for the same name; extract one of them with 'acncodec extract'."
    )


def _shown(path: Path) -> str:
    # Names come from archives: they must not send control sequences to the terminal.
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _mode(path: Path) -> int | None:
    """Type and permission bits of `path` itself, links not followed; None if it does not exist."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def refuse_occupied(path: Path, overwrite: bool) -> None:
    """Raise OutputError if `path` exists and may not be overwritten, or if its directory is missing."""
    with _reported(path):
        mode = _mode(path)
        if mode is None:
            path.parent.stat()  # raises if it is missing
            return
    # Renaming over /dev/null or a link to it would replace the device for everybody.
    if not stat.S_ISREG(mode):
        raise OutputError(f"{_shown(path)} exists already and is not a regular file.")
    if not overwrite:
        raise OutputError(f"{_shown(path)} exists already; give -f to overwrite it.")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _publish(temp: Path, path: Path, overwrite: bool, directory: int | None = None) -> None:
    """Move the file `temp` to `path`; `directory` is its open parent directory, if links must not be followed."""
    place = path if directory is None else path.name
    if not overwrite:
        try:
            # Unlike a rename, a link never replaces a file created since the first check.
            os.link(temp, place, dst_dir_fd=directory)
            return
        except OSError:
            # It exists by now, or this file system has no hard links; then a short race remains.
            refuse_occupied(path, overwrite)
    os.replace(temp, place, dst_dir_fd=directory)


def _remove(temp: Path) -> None:
    # Already renamed on success; on failure the original error must not be hidden.
    with contextlib.suppress(OSError):
        temp.unlink()


def _sync_directory(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCABLE:
            raise
