"""The outer layout of an archive: a table of tagged sections, then their payloads, every byte under a checksum.

    magic       8 bytes
    version     1 byte
    features    varint, a set of bits, all of which a reader must support
    count       varint, then for each section: tag (4 bytes), length (varint, in bytes)
    crc32       4 bytes, of everything above
    payloads    for each section: its bytes, then their crc32 (4 bytes)

All integers are little-endian. The file ends with the last checksum. Tags may repeat. Only the table is read at first, so
each section can be read, or be damaged, independently of the others.
"""

import itertools
import os
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from acncodec.archive.fields import MAX_VARINT_BYTES, FieldReader, FieldWriter
from acncodec.archive.limits import MAX_SECTION_BYTES, MAX_SECTIONS
from acncodec.errors import DamagedError, InputError, UnsupportedError

# Like PNG's: not text, and corrupted by a transfer that strips the 8th bit or rewrites line ends.
MAGIC = b"\x8bACN\r\n\x1a\n"
VERSION = 2
FEATURE_MODELS = 1  # the archive carries models
FEATURE_PARTS = 2  # the archive is the manifest of many parts
FEATURE_COPIES = 4  # a model of the archive looks for copy candidates
FEATURE_DERIVED = 8  # forms may be without palettes that follow from the samples
FEATURE_STACKS = 16  # blocks may have several stacks
KNOWN_FEATURES = FEATURE_MODELS | FEATURE_PARTS | FEATURE_COPIES | FEATURE_DERIVED | FEATURE_STACKS
TAG_BYTES = 4
CRC_BYTES = 4
PIECE_BYTES = 1 << 26  # of a payload, read at a time
MAX_FIXED_BYTES = len(MAGIC) + 1 + 2 * MAX_VARINT_BYTES  # before the table: magic, version, features, count
MAX_ENTRY_BYTES = TAG_BYTES + MAX_VARINT_BYTES  # of the table, for each section


class Container:
    """The sections of an open archive whose table is valid; payloads are read and checked on demand.

    `features` are FEATURE_*. `tags[i]` and `sizes[i]` (payload, in bytes) describe section i, in the order of the file.
    `size` is the file's length in bytes and `missing` the number of bytes missing at its end. `overhead` counts the bytes
    outside of payloads: "header" (magic, version, features, table) and "checksums"; all `sizes` and all of `overhead` add
    up to `size` + `missing`. The file must stay open.
    """

    def __init__(
        self, file: BinaryIO, size: int, table: Sequence[tuple[str, int]], header_bytes: int, features: int
    ) -> None:
        """`table` lists (tag, payload's size); `header_bytes` is the size of the header up to its checksum."""
        self.features = features
        self.tags = [tag for tag, _ in table]
        self.sizes = [length for _, length in table]
        self.overhead = {"header": header_bytes, "checksums": CRC_BYTES * (1 + len(table))}
        self.size = size
        stored = (length + CRC_BYTES for length in self.sizes)
        *self._starts, end = itertools.accumulate(stored, initial=header_bytes + CRC_BYTES)
        self.missing = max(0, end - size)
        self._file = file
        self._lock = threading.Lock()

    def read(self, index: int) -> bytes:
        """The payload of section `index`, checked. Raises as `pieces`."""
        return b"".join(self.pieces(index))

    def pieces(self, index: int) -> Iterator[bytes]:
        """The payload of section `index` in pieces of up to PIECE_BYTES, the last of them only if the checksum is right.

        Any number of threads may read at once. Raises DamagedError, which names the section, if it is damaged, lies beyond
        a truncated end or cannot be read from the disk.
        """
        start, length = self._starts[index], self.sizes[index]
        name = f"The archive's section {index + 1} ({self.tags[index]})"
        # Checked first: a read allocates as much as the table says.
        if start + length + CRC_BYTES > self.size:
            raise DamagedError(f"{name} is incomplete: the archive is truncated.")
        end, found = start + length, 0
        while True:
            try:
                with self._lock:
                    self._file.seek(start)
                    piece = self._file.read(min(PIECE_BYTES, end - start))
                    start += len(piece)
                    checksum = self._file.read(CRC_BYTES) if start == end else b""
            except OSError as error:
                # Like any damage, a read error of the disk affects only this section.
                raise DamagedError(f"{name} cannot be read: {error.strerror or error}.") from error
            found = zlib.crc32(piece, found)
            if checksum and checksum != found.to_bytes(CRC_BYTES, "little"):
                raise DamagedError(f"{name} is damaged: its checksum is wrong.")
            if start < end and not piece:  # the file was truncated after it was opened
                raise DamagedError(f"{name} is incomplete: the archive is truncated.")
            if piece:
                yield piece
            if start == end:
                return


def write_container(sections: Sequence[tuple[str, bytes]], features: int = 0) -> list[bytes]:
    """The archive of `sections` (tag, payload) as chunks to be written one after the other; `features` are FEATURE_*.

    Raises ValueError for a tag that is not 4 ASCII letters or digits, and for too many sections.
    """
    if len(sections) > MAX_SECTIONS:
        raise ValueError(f"an archive has at most {MAX_SECTIONS} sections, not {len(sections)}")
    head = FieldWriter()
    head.fixed(MAGIC)
    head.u8(VERSION)
    head.varint(features)
    head.varint(len(sections))
    for tag, payload in sections:
        if not _is_tag(tag):
            raise ValueError(f"not a valid section tag: {tag!r}")
        head.fixed(tag.encode())
        head.varint(len(payload))
    chunks = [head.to_bytes(), _crc(head.to_bytes())]
    for _, payload in sections:
        chunks += [payload, _crc(payload)]
    return chunks


def read_container(file: BinaryIO, tolerant: bool = False) -> Container:
    """Read and check the table of the archive in `file`, which is seekable and is buffered or in memory.

    `tolerant` accepts an archive with a missing end, as long as its table is complete; then reading a missing section
    raises. Raises UnsupportedError for a version or feature of a later program, InputError if the file cannot be read, and
    DamagedError for everything else that `write_container` would not have written. Required tags are checked by the caller.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(min(MAX_FIXED_BYTES, size))
        features, count, fixed_bytes = _read_fixed(head)
        file.seek(fixed_bytes)
        rest = file.read(min(count * MAX_ENTRY_BYTES + CRC_BYTES, size - fixed_bytes))
    except OSError as error:
        raise InputError(f"The archive cannot be read: {error.strerror or error}.") from error
    reader = FieldReader(rest, "The archive's header")
    # Interned, so that repeated tags share memory.
    table = [
        (sys.intern(reader.fixed(TAG_BYTES).decode("latin-1")), reader.varint(MAX_SECTION_BYTES)) for _ in range(count)
    ]
    header_bytes = fixed_bytes + reader.position
    checked = zlib.crc32(memoryview(rest)[: reader.position], zlib.crc32(head[:fixed_bytes]))
    if reader.fixed(CRC_BYTES) != checked.to_bytes(CRC_BYTES, "little"):
        raise DamagedError("The archive's header is damaged: its checksum is wrong.")
    _check_features(features)
    if not all(_is_tag(tag) for tag, _ in table):
        raise DamagedError("The archive's header is damaged: its section tags are not valid.")
    container = Container(file, size, table, header_bytes, features)
    if container.missing and not tolerant:
        raise DamagedError(f"The archive is truncated: {container.missing} bytes are missing at its end.")
    excess = size - sum(container.sizes) - sum(container.overhead.values())
    if excess > 0:
        raise DamagedError(f"The archive has {excess} bytes too many at its end.")
    return container


def _read_fixed(head: bytes) -> tuple[int, int, int]:
    """The fields before the table: features, number of sections, and the size of these fields in bytes."""
    if head[: len(MAGIC)] != MAGIC:
        raise DamagedError("This is not an acncodec archive, or its first bytes are damaged.")
    reader = FieldReader(head, "The archive's header")
    reader.fixed(len(MAGIC))
    version = reader.u8()
    # Checked before the checksum, which another version may store elsewhere.
    if version != VERSION:
        raise UnsupportedError(f"The archive has format version {version}; this program reads version {VERSION}.")
    features = reader.varint()
    return features, reader.varint(MAX_SECTIONS), reader.position


def _check_features(features: int) -> None:
    unknown = features & ~KNOWN_FEATURES
    if unknown:
        bits = ", ".join(str(bit) for bit in range(unknown.bit_length()) if unknown >> bit & 1)
        raise UnsupportedError(f"The archive needs features that this program does not know (bits {bits}).")


def _is_tag(tag: str) -> bool:
    return len(tag) == TAG_BYTES and tag.isascii() and tag.isalnum()


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")
