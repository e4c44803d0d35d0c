"""Mapping of file names to contents: the sections NAME, ORDR, PLAC, FLDR and EMPT, encoded and decoded.

Contents are numbered: coded pictures block by block, then stored items section by section. Within a block they are
numbered by name where names are kept, else in coded order. Named entries (all of them, or only files kept as they are)
come back under their own names; numbered ones, pictures whose names were dropped, get a number, in their folder if these
are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from acncodec.archive.classes import METHOD_FILE
from acncodec.archive.fields import MAX_VARINT_BYTES, FieldReader, FieldWriter
from acncodec.archive.header import NAMES_FOLDERS, NAMES_KEEP, Header
from acncodec.archive.limits import MAX_NAME_BYTES
from acncodec.archive.store import pack_blob, unpack_blob
from acncodec.coding.order import pack_order, unpack_order
from acncodec.errors import DamagedError
from acncodec.images.names import pack_names, unpack_names
from acncodec.images.scan import MAX_PATH, safe_path

WHAT = "The archive's list of files"
METHODS = 4
DUPLICATE = METHODS  # follows the METHOD_*: marks a named entry whose content occurred before
ROOT = b"."  # the name of the root folder


@dataclass(frozen=True)
class Entry:
    """A file that comes back: its relative path, and the number of its content."""

    name: bytes
    content: int


@dataclass
class Directory:
    """Names, duplicates and folders of an archive's files, as stored in its sections.

    `named` lists names, sorted by bytes; `named_methods` int64 [named] the method of each one's new content, or DUPLICATE;
    `duplicates` the contents of named duplicates, in order; `numbered` (content, folder) of duplicates without a name;
    `stored_folders` the folder of each stored picture. Folders are indices into `folders`; `empty` are empty directories.
    """

    named: list[bytes]
    named_methods: np.ndarray
    duplicates: list[int]
    numbered: list[tuple[int, int]]
    stored_folders: list[int]
    folders: list[bytes]
    empty: list[bytes]


def folder_of(name: bytes) -> bytes:
    """The path of the folder that holds a file."""
    return name.rpartition(b"/")[0] or ROOT


def pack_directory(directory: Directory) -> list[tuple[str, bytes]]:
    """The sections as (tag, bytes), without empty ones."""
    counts = np.bincount(directory.named_methods, minlength=METHODS + 1).tolist()
    order = FieldWriter()
    for count in counts:
        order.varint(count)
    order.fixed(pack_order([(directory.named_methods, counts)] if directory.named else [], []))
    places = FieldWriter()
    places.varint(len(directory.duplicates))
    for value in (*directory.duplicates, *(v for pair in directory.numbered for v in pair), *directory.stored_folders):
        places.varint(value)
    sections = [
        ("NAME", pack_names(directory.named)),
        ("ORDR", order.to_bytes() if directory.named else b""),
        ("PLAC", pack_blob(places.to_bytes()) if len(places.to_bytes()) > 1 else b""),
        ("FLDR", pack_names(directory.folders)),
        ("EMPT", pack_names(directory.empty)),
    ]
    return [(tag, data) for tag, data in sections if data]


def unpack_directory(header: Header, sections: dict[str, bytes]) -> Directory:
    """Undo `pack_directory`, given the sections by tag. Raises DamagedError."""
    counts, order = [0] * (METHODS + 1), b""
    if "ORDR" in sections:
        reader = FieldReader(sections["ORDR"], WHAT)
        counts = [reader.varint(header.entries) for _ in counts]
        order = sections["ORDR"][reader.position :]
    named = sum(counts)
    keep = header.names == NAMES_KEEP
    if named > header.entries or (keep and named < header.entries) or len(order) % 4:
        raise DamagedError(f"{WHAT} does not fit its header; the archive is damaged")
    sequences, _ = unpack_order(order, [counts] if named else [], [])
    pictures = sum(header.stores) - counts[METHOD_FILE]  # that are stored
    duplicates, numbered, stored_folders = _places(header, sections.get("PLAC"), counts[DUPLICATE], pictures)
    return Directory(
        named=_names(sections.get("NAME", b""), named),
        named_methods=sequences[0] if named else np.zeros(0, dtype=np.int64),
        duplicates=duplicates,
        numbered=numbered,
        stored_folders=stored_folders,
        folders=_names(sections.get("FLDR", b""), header.folders, ROOT),
        empty=_names(sections.get("EMPT", b""), header.empty),
    )


def _places(
    header: Header, data: bytes | None, named: int, pictures: int
) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    total = sum(header.blocks) + sum(header.stores)
    folders = max(0, pictures) if header.names == NAMES_FOLDERS else 0
    values = header.duplicates * 2 + folders + 1
    reader = FieldReader(unpack_blob(data, MAX_VARINT_BYTES * values, WHAT) if data else b"\0", WHAT)
    if reader.varint(header.duplicates) != named:
        raise DamagedError(f"{WHAT} names another number of duplicates than there are; the archive is damaged")
    duplicates = [reader.varint(total - 1) for _ in range(named)]
    numbered = [
        (reader.varint(total - 1), reader.varint(max(0, header.folders - 1))) for _ in range(header.duplicates - named)
    ]
    stored = [reader.varint(max(0, header.folders - 1)) for _ in range(folders)]
    reader.end()
    return duplicates, numbered, stored


def _names(data: bytes, count: int, also: bytes = b"") -> list[bytes]:
    """Decode names; each must be a safe relative path, or `also`. Raises DamagedError."""
    names = unpack_names(data, count, min(MAX_NAME_BYTES, MAX_PATH * count))
    for name in names:
        if not also or name != also:
            safe_path(name)
    return names


def list_directory(
    names: list[bytes], content_of: list[int], methods: list[int], numbers: list[int], folders: list[bytes], mode: int
) -> tuple[list[bytes], np.ndarray, list[int], list[tuple[int, int]]]:
    """Named entries, their methods, and both lists of duplicates, for a `Directory`.

    `names` are those of all files; `content_of[i]` is the content of file i, `methods` and `numbers` each content's method
    and number in the archive; `folders` are all folders, if kept; `mode` is NAMES_*.
    """
    index = {folder: i for i, folder in enumerate(folders)}
    named, named_methods, duplicates, numbered = [], [], [], []
    seen: set[int] = set()
    for name, content in zip(names, content_of, strict=True):
        new = content not in seen
        seen.add(content)
        if mode == NAMES_KEEP or methods[content] == METHOD_FILE:
            named.append(name)
            named_methods.append(methods[content] if new else DUPLICATE)
            if not new:
                duplicates.append(numbers[content])
        elif not new:
            numbered.append((numbers[content], index.get(folder_of(name), 0)))
    return named, np.array(named_methods, dtype=np.int64), duplicates, sorted(numbered)


def entries(
    header: Header,
    directory: Directory,
    methods: list[int],
    suffixes: list[str],
    picture_folders: list[int],
    prefix: bytes = b"",
) -> list[Entry]:
    """Every file, sorted by name, given each content's method.

    Where names were dropped, files are numbered after `prefix`, with each content's suffix and, where folders are kept, the
    folder of each picture. Raises DamagedError if anything is inconsistent.
    """
    found = list(_named_entries(directory, methods))
    if header.names != NAMES_KEEP:
        taken = [entry.name for entry in found]
        found += _numbered_entries(directory, methods, suffixes, picture_folders, taken, prefix)
    if len(found) != header.entries:
        raise _unfitting()
    return sorted(found, key=lambda entry: entry.name)


def _named_entries(directory: Directory, methods: list[int]) -> Iterator[Entry]:
    by_method = [iter([i for i, m in enumerate(methods) if m == method]) for method in range(METHODS)]
    duplicates = iter(directory.duplicates)
    for name, method in zip(directory.named, directory.named_methods.tolist(), strict=True):
        content = next(duplicates if method == DUPLICATE else by_method[method], None)
        if content is None:
            raise _unfitting()
        yield Entry(name, content)


def _numbered_entries(
    directory: Directory,
    methods: list[int],
    suffixes: list[str],
    picture_folders: list[int],
    named: list[bytes],
    prefix: bytes,
) -> Iterator[Entry]:
    """Pictures whose names were dropped: numbered in archive order, names that are taken skipped."""
    pictures = [i for i, method in enumerate(methods) if method != METHOD_FILE]
    folders = picture_folders if directory.folders else [0] * len(pictures)
    if len(folders) != len(pictures) or any(methods[content] == METHOD_FILE for content, _ in directory.numbered):
        raise _unfitting()
    places = [*zip(pictures, folders, strict=True), *directory.numbered]
    paths = [b"" if path == ROOT else path + b"/" for path in directory.folders or [ROOT]]
    taken = {start for name in [*named, *(path + b"x" for path in paths)] for start in _starts(name)}
    sizes = np.bincount([folder for _, folder in places], minlength=len(paths)).tolist()
    numbers = [0] * len(paths)
    for content, folder in places:
        digits = len(str(max(0, sizes[folder] - 1)))
        while True:
            name = b"%s%s%0*d%s" % (paths[folder], prefix, digits, numbers[folder], suffixes[content].encode())
            numbers[folder] += 1
            if name not in taken:
                break
        yield Entry(name, content)


def _starts(name: bytes) -> Iterator[bytes]:
    """A path and all directories that lead to it."""
    while name:
        yield name
        name = name.rpartition(b"/")[0]


def _unfitting() -> DamagedError:
    return DamagedError(f"{WHAT} does not fit its contents; the archive is damaged")
