"""Listing of a directory: its files and empty directories by raw relative path, and what is left out and why."""

import errno
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acncodec.errors import DamagedError, InputError
from acncodec.images.escapes import escape

MAX_PATH = 4096
READ_TRIES = 3  # for a file that changes while it is read
EXAMPLES = 3  # of colliding names to report
MAX_DEPTH = 255  # nested directories; library functions that make and remove them are recursive


class ChangingError(OSError):
    """A file was modified each time that it was read."""


@dataclass
class Listing:
    """What lies below a directory: POSIX relative paths as raw bytes without a trailing '/', sorted by bytes.

    `files`: regular files. `empty`: directories that no listed file or directory implies, because they hold nothing, or
    nothing listed. `skipped`: links and special files, left out on purpose, as (path, reason). `unreadable`: what could not
    be read or named, as (path, reason).
    """

    files: list[bytes] = field(default_factory=list)
    empty: list[bytes] = field(default_factory=list)
    skipped: list[tuple[bytes, str]] = field(default_factory=list)
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)


def scan(root: Path) -> Listing:
    """List everything below `root`, hidden or not; `root` itself may be a symbolic link, nothing below it is followed.

    Raises InputError if `root` is not a directory or cannot be read. An unreadable file is noticed only when it is opened:
    then `read_file` raises.
    """
    shown = f"'{escape(os.fsencode(root))}'"
    try:
        exists, is_directory = root.exists(), root.is_dir()
    except OSError as error:
        raise InputError(f"The directory {shown} cannot be read: {_reason(error)}.") from error
    if not exists:
        raise InputError(f"There is no directory {shown}; give the path of an existing one.")
    if not is_directory:
        raise InputError(f"{shown} is not a directory; give the directory that holds the images.")
    listing = Listing()
    try:
        pending = list_directory(root, b"", listing)
    except OSError as error:
        raise InputError(f"The directory {shown} cannot be read: {_reason(error)}.") from error
    read = []
    while pending:  # a list instead of recursion, so that depth is not limited here
        name = pending.pop()
        try:
            pending += list_directory(root, name + b"/", listing)
            read.append(name)
        except OSError as error:
            listing.unreadable.append((name, f"cannot be read: {_reason(error)}"))
    implied = {name.rpartition(b"/")[0] for names in (listing.files, read) for name in names}
    listing.empty = [name for name in read if name not in implied]
    for found in (listing.files, listing.empty, listing.skipped, listing.unreadable):
        found.sort()
    return listing


def list_directory(root: Path, prefix: bytes, listing: Listing) -> list[bytes]:
    """Add the entries of the directory `prefix` (empty or ending in '/') to `listing`; returns its subdirectories."""
    # Bytes in, bytes out: names that are not UTF-8 come through unchanged.
    with os.scandir(os.fsencode(root) + b"/" + prefix) as opened:
        entries = list(opened)  # all at first, so that a directory is either listed completely or unreadable
    directories: list[bytes] = []
    for entry in entries:
        name = prefix + entry.name
        try:
            # On some file systems the type of an entry takes a system call, which may fail.
            if entry.is_symlink():
                listing.skipped.append((name, "symbolic link"))
            elif (is_directory := entry.is_dir(follow_symlinks=False)) or entry.is_file(follow_symlinks=False):
                if len(name) > MAX_PATH:
                    listing.unreadable.append((name, f"its path is longer than {MAX_PATH} bytes"))
                elif is_directory and name.count(b"/") >= MAX_DEPTH:
                    listing.unreadable.append((name, f"it is nested more than {MAX_DEPTH} directories deep"))
                else:
                    (directories if is_directory else listing.files).append(name)
            else:
                listing.skipped.append((name, "special file"))
        except OSError as error:
            listing.unreadable.append((name, f"cannot be read: {_reason(error)}"))
    return directories


def read_file(root: Path, name: bytes) -> bytes:
    """The bytes of the file `name`, a path as `scan` lists it, below `root`; InputError if it cannot be read."""
    try:
        return read_unchanged(root / os.fsdecode(name))
    except OSError as error:
        raise InputError(f"The file '{escape(name)}' cannot be read: {_reason(error)}.") from error


def read_unchanged(path: Path) -> bytes:
    """A file's bytes; if it was modified meanwhile, it is read again, a few times. Raises ChangingError, other OSError."""
    for _ in range(READ_TRIES):
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return data
    raise ChangingError(errno.EBUSY, "it keeps changing while it is read")


def safe_path(name: bytes) -> None:
    """Raise DamagedError unless `name` is a relative path that stays below the directory it is joined to."""
    # An absolute path has an empty first component, an empty name has nothing else.
    parts_bad = any(part in (b"", b".", b"..") for part in name.split(b"/"))
    # On Windows '\' is a separator too and 'C:' a drive; elsewhere both are ordinary characters.
    foreign = os.name == "nt" and any(character in name for character in (b"\\", b":"))
    deep = name.count(b"/") > MAX_DEPTH
    if parts_bad or foreign or deep or b"\0" in name or len(name) > MAX_PATH:
        raise DamagedError(f"The archive holds the unsafe file name '{escape(name[:100])}'.")


@dataclass(frozen=True)
class Collisions:
    """Number of places (files or directories) that are the same as an earlier one to some file systems.

    `examples` are the first EXAMPLES of them: pairs, the earlier one first, directories with a trailing '/'.
    """

    count: int
    examples: list[tuple[bytes, bytes]]


def collisions(names: Sequence[bytes]) -> Collisions:
    """The places of `names`, these and their directories, that cannot coexist with an earlier one on every file system.

    These are a file and a path through it (`a`, `a/b`) on every system, and names of which two components at the same
    position differ only by case or by Unicode normalisation (`a`, `A`; also `A/x`, `a/y`, whose directories would be
    merged) on systems that ignore these, such as macOS and Windows. Time is linear in the bytes of all names.
    """
    first: dict[str, bytes] = {}  # folded place -> the first place that has it
    seen: set[bytes] = set()
    found = []
    for name in names:
        new = [name]
        while (cut := new[-1].rfind(b"/", 0, -1)) >= 0 and (directory := name[: cut + 1]) not in seen:
            new.append(directory)
        for place in reversed(new):
            if place in seen:
                continue
            seen.add(place)
            known = first.setdefault(folded(place.removesuffix(b"/")), place)
            if known != place:
                found.append((known, place))
    return Collisions(len(found), found[:EXAMPLES])


def folded(name: bytes) -> str:
    """`name` as seen by file systems that ignore case and normalisation; the number of '/' stays the same."""
    if name.isascii():
        return name.lower().decode("ascii")
    # Unicode's canonical caseless match. Bytes that are not UTF-8 stay unchanged.
    text = unicodedata.normalize("NFD", name.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFC", text.casefold())


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
