"""What lies in a directory: its regular files by raw relative path, and what is left out and why."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from acncodec.errors import DamagedError, InputError

MAX_PATH = 4096
MAX_DEPTH = 255  # directories within directories; library functions that make and remove them are recursive


@dataclass
class Listing:
    """The regular files below a directory, and the entries that cannot be stored.

    `files`: POSIX relative paths as raw bytes, sorted by bytes. `skipped`: (path, reason), sorted likewise.
    """

    files: list[bytes] = field(default_factory=list)
    skipped: list[tuple[bytes, str]] = field(default_factory=list)


def scan(root: Path) -> Listing:
    """List all files below `root`, hidden ones included; `root` itself may be a symbolic link, nothing below it.

    Directories without files leave no trace. Raises InputError if `root` is not a directory, or if it or a
    directory below it cannot be read.
    """
    shown = _shown(os.fsencode(root))
    try:
        exists, is_directory = root.exists(), root.is_dir()
    except OSError as error:
        raise InputError(f"The directory {shown} cannot be read: {error.strerror}.") from error
    if not exists:
        raise InputError(f"There is no directory {shown}; give the path of an existing one.")
    if not is_directory:
        raise InputError(f"{shown} is not a directory; give the directory that holds the images.")
    listing = Listing()
    pending = [b""]
    while pending:  # a list instead of recursion, so that the depth has no limit of its own
        _scan_one(root, pending.pop(), listing, pending)
    listing.files.sort()
    listing.skipped.sort()
    return listing


def _scan_one(root: Path, prefix: bytes, listing: Listing, pending: list[bytes]) -> None:
    """Add the entries of the directory `prefix` (empty or ending in '/') to `listing`, its directories to `pending`."""
    # Bytes in, bytes out: names that are not UTF-8 come through unchanged.
    directory = os.fsencode(root) + b"/" + prefix
    if prefix.count(b"/") > MAX_DEPTH:
        raise InputError(f"The directory {_shown(directory[:100])}... is nested more than {MAX_DEPTH} deep.")
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_symlink():
                    listing.skipped.append((name, "symbolic link"))
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(name + b"/")
                elif entry.is_file(follow_symlinks=False):
                    listing.files.append(name)
                else:
                    listing.skipped.append((name, "special file"))
    except OSError as error:
        raise InputError(f"The directory {_shown(directory)} cannot be read: {error.strerror}.") from error


def read_file(root: Path, name: bytes) -> bytes:
    """The bytes of the file `name`, a path as `scan` lists it, below `root`; InputError if it cannot be read."""
    try:
        return (root / os.fsdecode(name)).read_bytes()
    except OSError as error:
        raise InputError(f"The file {_shown(name)} cannot be read: {error.strerror}.") from error


def safe_path(name: bytes) -> None:
    """Raise DamagedError unless `name` is a relative path that stays below the directory it is joined to."""
    # An absolute path has an empty first component, an empty name has nothing else.
    parts_bad = any(part in (b"", b".", b"..") for part in name.split(b"/"))
    # On Windows '\' separates too and 'C:' starts from another place; elsewhere both are ordinary characters.
    foreign = os.name == "nt" and any(character in name for character in (b"\\", b":"))
    deep = name.count(b"/") > MAX_DEPTH
    if parts_bad or foreign or deep or b"\0" in name or len(name) > MAX_PATH:
        raise DamagedError(f"The archive holds the unsafe file name {_shown(name[:100])}.")


def _shown(path: bytes) -> str:
    """`path` as text that any terminal can print."""
    text = path.decode("utf-8", "backslashreplace")
    return repr(text) if not text.isprintable() else f"'{text}'"
