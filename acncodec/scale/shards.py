"""Sources too large for one process: cut into shards, each of which can be read by itself, through fsspec or from here."""

import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from acncodec.errors import DamagedError, InputError
from acncodec.images.scan import Listing, list_directory, read_file, safe_path

SHARD_FILES = 4096  # of a shard that is cut from a directory or a list
TAR, LIST = ".tar", ".txt"
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")

# A shard: {"root": URL or path, "names": [...]} of files, or {"tar": URL or path, "folder": name}. Names are text with
# surrogates for bytes that are not UTF-8, as JSON can hold.
Shard = dict[str, Any]
File = tuple[bytes, bytes | str]  # a name, and the file's bytes or why there are none


def absolute(source: str) -> str:
    """A source as every process can find it, wherever it runs."""
    return source if urlsplit(source).scheme else str(Path(source).absolute())


def shards(source: str, target: Path, notes: Listing) -> Iterator[Shard]:
    """The shards of a source, in a fixed order; the directory `target`, where the archive goes, is left out.

    It is a directory; a list (*.txt) of paths in its own directory, one a line; or tar files as WebDataset has them (*.tar,
    with * or {000..099}), of which each becomes a folder. With a scheme in front (s3://, https://) fsspec reads it. What
    is left out, what can't be read and empty directories go into `notes` on the way. Raises InputError.
    """
    if source.endswith(TAR):
        yield from _tars(source)
    elif source.endswith(LIST):
        root, _, _ = source.rpartition("/")
        yield from _cut(root or ("/" if source.startswith("/") else "."), _listed(source))
    elif urlsplit(source).scheme:
        yield from _cut(source.rstrip("/"), _remote(source))
    else:
        yield from _cut(source, _walk(Path(source), target, notes))


def read_shard(shard: Shard) -> Iterator[File]:
    """Every file of a shard, in order, or the reason why it cannot be read. Raises InputError if a tar file cannot."""
    if "tar" in shard:
        yield from _members(shard)
        return
    root, local = shard["root"], not urlsplit(shard["root"]).scheme
    for name in shard["names"]:
        raw = os.fsencode(name)
        try:
            yield raw, read_file(Path(root), raw) if local else _fetch(f"{root}/{name}")
        except InputError as error:
            yield raw, str(error)


def _cut(root: str, names: Iterable[str]) -> Iterator[Shard]:
    names = iter(names)
    while part := list(islice(names, SHARD_FILES)):
        yield {"root": root, "names": part}


def _walk(root: Path, target: Path, notes: Listing) -> Iterator[str]:
    """The files below a directory, directory by directory, so that no more than one is in memory."""
    if not root.is_dir():
        raise InputError(f"There is no directory '{root}'; give a directory, a list (.txt) or tar files.")
    pending = [b""]
    while pending:
        folder = pending.pop()
        if target.exists() and target.samefile(root / os.fsdecode(folder)):
            notes.skipped.append((folder, "the archive to be written"))
            continue
        found = Listing()
        try:
            below = list_directory(root, folder + b"/" if folder else b"", found)
        except OSError as error:
            notes.unreadable.append((folder, f"cannot be read: {error.strerror}"))
            continue
        notes.skipped += found.skipped
        notes.unreadable += found.unreadable
        if folder and not found.files and not below:
            notes.empty.append(folder)
        yield from (os.fsdecode(name) for name in sorted(found.files))
        pending += sorted(below, reverse=True)


def _listed(source: str) -> Iterator[str]:
    for line in _fetch(source).decode(errors="surrogateescape").splitlines():
        if line.strip():
            yield _safe(line.strip())


def _remote(source: str) -> Iterator[str]:
    try:
        system, root = fsspec.core.url_to_fs(source)
        found = sorted(system.find(root))
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"'{source}' cannot be listed: {error}") from error
    if not found:
        raise InputError(f"there are no files below '{source}'")
    yield from (_safe(path.removeprefix(root).lstrip("/")) for path in found)


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
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"'{pattern}' cannot be listed: {error}") from error
    if not found:
        raise InputError(f"'{pattern}' names no tar file")
    return [system.unstrip_protocol(each) if urlsplit(pattern).scheme else each for each in found]


def _members(shard: Shard) -> Iterator[File]:
    try:
        with fsspec.open(shard["tar"], "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                name = os.fsencode(f"{shard['folder']}/{_plain(member.name)}")
                if member.isdir():
                    continue
                if not member.isfile():
                    yield name, "a link or special file in a tar file"
                    continue
                opened = tar.extractfile(member)
                yield name, opened.read() if opened else "cannot be read"
    except (OSError, tarfile.TarError, ValueError, ImportError) as error:
        raise InputError(f"the tar file '{shard['tar']}' cannot be read: {error}") from error


def _plain(name: str) -> str:
    return _safe(name.removeprefix("./"))


def _safe(name: str) -> str:
    """A name that stays below the directory that it belongs to. Raises InputError for any other."""
    try:
        safe_path(os.fsencode(name))
    except DamagedError as error:
        raise InputError(f"{json.dumps(name)} is not a relative path below the source; nothing was compressed") from error
    return name


def _fetch(url: str) -> bytes:
    try:
        with fsspec.open(url, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"'{url}' cannot be read: {error}") from error
