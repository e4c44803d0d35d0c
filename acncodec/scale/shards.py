"""Sources too large for one process: cut into independently readable shards of local files, or of others through fsspec."""

import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from acncodec.archive.remote import SCHEME
from acncodec.errors import DamagedError, InputError
from acncodec.images.escapes import escape
from acncodec.images.scan import ChangingError, Listing, list_directory, read_unchanged, safe_path

SHARD_FILES = 4096  # per shard of a directory or a list
TAR, LIST = ".tar", ".txt"
# Errors of one file, which is left out; all others may be transient, and may concern every file.
UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ChangingError)
OWN = "the archive to be written"
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")

# A shard: {"root": URL or path, "names": [...]} of files, or {"tar": URL or path, "folder": name}. Names are text with
# surrogates for bytes that are not UTF-8, for storage as JSON.
Shard = dict[str, Any]
File = tuple[bytes, bytes | str]  # a name, and the file's bytes or the reason why there are none


def absolute(source: str) -> str:
    """A source in a form that is valid in every process, whatever its working directory."""
    return source if SCHEME in source else str(Path(source).absolute())


def shards(source: str, target: Path, notes: Listing) -> Iterator[Shard]:
    """The shards of a source, in a fixed order; the directory `target`, where the archive goes, is excluded.

    A source is a directory; a list (*.txt) of paths relative to its own directory, one per line; or WebDataset tar files
    (*.tar, with * or {000..099}), each of which becomes a folder. URLs (s3://, https://) are read by fsspec. Skipped and
    unreadable files and empty directories are added to `notes` on the way. Raises InputError.
    """
    if source.endswith(TAR):
        yield from _tars(source)
    elif source.endswith(LIST):
        root, _, _ = source.rpartition("/")
        yield from _cut(root or ("/" if source.startswith("/") else "."), _listed(source))
    elif SCHEME in source:
        yield from _cut(source.rstrip("/"), _remote(source, target, notes))
    else:
        yield from _cut(source, _walk(Path(source), target, notes))


def read_shard(shard: Shard) -> Iterator[File]:
    """Every file of a shard, in order, or the reason why it cannot be read.

    Raises InputError if a tar file cannot be read, or for an error that may be transient.
    """
    if "tar" in shard:
        yield from _members(shard)
        return
    root, read = shard["root"], _reader(shard["root"])
    for name in shard["names"]:
        raw = os.fsencode(name)
        try:
            yield raw, read(name)
        except UNREADABLE as error:
            yield raw, f"cannot be read: {error.strerror or error}"
        except OSError as error:  # possibly transient: the task fails and can be resumed
            raise InputError(f"'{root}/{escape(raw)}' cannot be read: {error.strerror or error}") from error


def _cut(root: str, names: Iterable[str]) -> Iterator[Shard]:
    names = iter(names)
    while part := list(islice(names, SHARD_FILES)):
        yield {"root": root, "names": part}


def _walk(root: Path, target: Path, notes: Listing) -> Iterator[str]:
    """The files below a directory, one directory in memory at a time."""
    if not os.path.isdir(root):  # noqa: PTH112  # never raises
        raise InputError(f"There is no directory '{root}'; give a directory, a list (.txt) or tar files.")
    pending = [b""]
    while pending:
        folder = pending.pop()
        found = Listing()
        try:
            if target.exists() and target.samefile(root / os.fsdecode(folder)):
                notes.skipped.append((folder, OWN))
                continue
            below = list_directory(root, folder + b"/" if folder else b"", found)
        except OSError as error:
            if not folder:
                raise InputError(f"the directory '{root}' cannot be read: {error.strerror}") from error
            notes.unreadable.append((folder, f"cannot be read: {error.strerror}"))
            continue
        notes.skipped += found.skipped
        notes.unreadable += found.unreadable
        if folder and not found.files and not below:
            notes.empty.append(folder)
        yield from (os.fsdecode(name) for name in sorted(found.files))
        pending += sorted(below, reverse=True)


def _listed(source: str) -> Iterator[str]:
    root, _, name = source.rpartition("/")
    try:
        data = _reader(root)(name)
    except OSError as error:
        raise InputError(f"the list '{source}' cannot be read: {error}") from error
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    yield from (_safe(os.fsdecode(line)) for line in lines if line)


def _remote(source: str, target: Path, notes: Listing) -> Iterator[str]:
    try:
        system, root = fsspec.core.url_to_fs(source)
        found = sorted(system.find(root))
    except Exception as error:  # a file system of fsspec may raise anything
        raise InputError(f"'{source}' cannot be listed: {error}") from error
    if not found:
        raise InputError(f"there are no files below '{source}'")
    inside = None
    if isinstance(system, LocalFileSystem) and (place := target.resolve()).is_relative_to(Path(root).resolve()):
        inside = place.relative_to(Path(root).resolve()).as_posix()
        notes.skipped.append((os.fsencode(inside), OWN))
    for path in found:
        name = _safe(path.removeprefix(root).lstrip("/"))
        if inside is None or not name.startswith(f"{inside}/"):
            yield name


def _tars(source: str) -> Iterator[Shard]:
    names = [source]
    while braces := BRACES.search(names[0]):
        first, last = braces.groups()
        numbers = [f"{i:0{len(first)}}" for i in range(int(first), int(last) + 1)]
        names = [BRACES.sub(number, name, count=1) for name in names for number in numbers]
        if not names:
            raise InputError(f"'{source}' names no tar file")
    for name in names:
        found = _globbed(name) if "*" in name else [name]
        for each in found:
            yield {"tar": each, "folder": each.rpartition("/")[2].removesuffix(TAR)}


def _globbed(pattern: str) -> list[str]:
    try:
        system, path = fsspec.core.url_to_fs(pattern)
        found = sorted(system.glob(path))
    except Exception as error:  # as above
        raise InputError(f"'{pattern}' cannot be listed: {error}") from error
    if not found:
        raise InputError(f"'{pattern}' names no tar file")
    return [system.unstrip_protocol(each) if SCHEME in pattern else each for each in found]


class _Member(tarfile.TarInfo):
    """A tar member that raises for an invalid header, which tarfile itself takes for the end of the file."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zero blocks at the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _members(shard: Shard) -> Iterator[File]:
    try:
        with (
            fsspec.open(shard["tar"], "rb") as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar,
        ):
            for member in tar:
                if member.isdir():
                    continue
                name = os.fsencode(_safe(f"{shard['folder']}/{member.name.removeprefix('./')}"))
                if not member.isfile():
                    yield name, "a link or special file in a tar file"
                    continue
                opened = tar.extractfile(member)
                yield name, opened.read() if opened else "cannot be read"
    except InputError:
        raise
    except Exception as error:  # tarfile, a decompressor or a file system of fsspec may raise anything
        raise InputError(f"the tar file '{shard['tar']}' cannot be read: {error}") from error


def _safe(name: str) -> str:
    """Returns the name if it stays below the directory that it belongs to; else raises InputError."""
    try:
        safe_path(os.fsencode(name))
    except DamagedError as error:
        raise InputError(f"{json.dumps(name)} is not a relative path below the source; nothing was compressed") from error
    return name


def _reader(root: str) -> Callable[[str], bytes]:
    """A function that reads a file by its name below a directory or URL; it raises OSError."""
    if SCHEME not in root:
        return lambda name: read_unchanged(Path(root) / name)

    def read(name: str) -> bytes:
        try:
            system, path = fsspec.core.url_to_fs(root)
            return bytes(system.cat_file(f"{path}/{name}"))
        except OSError:
            raise
        except Exception as error:  # a file system of fsspec may raise anything
            raise OSError(str(error)) from error

    return read
