"""Reading a source once: its files and their distinct contents (equal files are stored once)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acncodec.archive.spool import Spool
from acncodec.errors import InputError
from acncodec.images.picture import Picture, exact, layout, read_picture, write_picture
from acncodec.images.source import Source


@dataclass(frozen=True, eq=False)
class Content:
    """One distinct content: the picture that a file holds, or None for a file to be kept as it is.

    `entry` is the first file with this content, `size` the number of its bytes and `sha256` their hash. `place` is
    where the spool holds a file that is no picture.
    """

    entry: int
    size: int
    sha256: bytes
    picture: Picture | None
    place: int


@dataclass
class Collection:
    """A source's regular files: `names` sorted by bytes, `contents` by first appearance.

    `content_of[i]` is the content of file i and `sizes[i]` its bytes. `skipped` lists what is no regular file, `unreadable`
    what could not be read, both with reasons; `empty` the empty directories. `spool` holds the files that are no pictures
    as they were read: what is stored is what was fingerprinted, whatever becomes of the source meanwhile.
    """

    source: Source
    spool: Spool
    names: list[bytes]
    contents: list[Content]
    content_of: list[int]
    sizes: list[int]
    empty: list[bytes]
    skipped: list[tuple[bytes, str]]
    unreadable: list[tuple[bytes, str]]

    @property
    def source_bytes(self) -> int:
        return sum(self.sizes)

    def read(self, content: Content) -> bytes:
        """A file with this content. Raises OutputError if it cannot be read from the spool."""
        if content.picture is None:
            return self.spool.read(content.place, content.size)
        try:
            data = self.source.read(self.names[content.entry])
        except InputError:
            data = b""
        if hashlib.sha256(data).digest() == content.sha256:
            return data
        return write_picture(content.picture.form, content.picture.samples)  # the file has changed since


def collect(source: Source, target: Path, exact_files: bool, advance: Callable[[int], None]) -> Collection:
    """Read all of a source; `advance` is called with 1 for every file. Raises InputError, OutputError.

    With `exact_files` only images whose file comes back byte for byte are taken apart. An archive that is to be overwritten
    at `target`, within the directory, is left out and reported as skipped.
    """
    listing = source.listing()
    found = Collection(
        source, Spool(target), [], [], [], [], listing.empty, list(listing.skipped), list(listing.unreadable)
    )
    known: dict[bytes, int] = {}
    for name in listing.files:
        advance(1)
        if source.holds(name, target):
            found.skipped.append((name, "the archive to be written"))
            continue
        try:
            data = source.read(name)
        except InputError as error:
            found.unreadable.append((name, str(error)))
            continue
        picture = taken_apart(data, exact_files)
        key = _fingerprint(data, picture)
        if key not in known:
            known[key] = len(found.contents)
            place = found.spool.add(data) if picture is None else 0
            digest = key if picture is None else hashlib.sha256(data).digest()
            found.contents.append(Content(len(found.names), len(data), digest, picture, place))
        found.content_of.append(known[key])
        found.names.append(name)
        found.sizes.append(len(data))
    return found


def taken_apart(data: bytes, exact_files: bool) -> Picture | None:
    """The picture that a file holds; None for a file to be kept as it is."""
    picture = read_picture(data)
    return None if picture is not None and exact_files and not exact(picture.form) else picture


def _fingerprint(data: bytes, picture: Picture | None) -> bytes:
    """Equal for files that may come back as one: all bytes the same, or form and pixels of pictures."""
    if picture is None:
        return hashlib.sha256(data).digest()
    digest = hashlib.sha256(repr((picture.samples.shape, len(picture.form), layout(picture.form))).encode())
    digest.update(picture.form)
    digest.update(picture.samples.data)
    return b"picture" + digest.digest()
