"""The outer layout of an archive: named sections behind a table, every byte under a checksum.

    magic       8 bytes
    version     1 byte
    features    varint, a set of bits that a reader must know to read on
    count       varint, then for each section: tag (4 bytes), length (varint, in bytes)
    crc32       4 bytes, of everything above
    payloads    for each section: its bytes, then their crc32 (4 bytes)

All integers are little-endian.  The last checksum is the last thing in the file.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from acncodec.archive.wire import Reader, Writer
from acncodec.errors import DamagedError, UnsupportedError

# As PNG's: not text, and broken by a transfer that strips the 8th bit or rewrites line ends.
MAGIC = b"\x8bACN\r\n\x1a\n"
VERSION = 1
KNOWN_FEATURES = 0
TAG_BYTES = 4
CRC_BYTES = 4
MAX_SECTIONS = 16
MAX_SECTION_BYTES = 2**40


@dataclass(frozen=True, slots=True)
class Container:
    """What an archive holds, accounted for to the byte.

    `sections` maps each tag to its payload, in the order of the file.  `overhead` counts the other bytes:
    "header" (magic, version, features, table) and "checksums".  All payload lengths and all of `overhead`
    add up to the length of the file.
    """

    sections: dict[str, bytes]
    overhead: dict[str, int]


def write_container(sections: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """The archive of `sections` (tag, payload) as chunks to be written one after the other.

    Raises ValueError for a tag that is not 4 ASCII letters or digits or comes twice, and for too many sections.
    """
    tags = [tag for tag, _ in sections]
    if len(tags) > MAX_SECTIONS or len(set(tags)) < len(tags) or not all(_is_tag(tag.encode()) for tag in tags):
        raise ValueError(f"not a valid list of section tags: {tags}")
    head = Writer()
    head.fixed(MAGIC)
    head.u8(VERSION)
    head.varint(KNOWN_FEATURES)
    head.varint(len(sections))
    for tag, payload in sections:
        head.fixed(tag.encode())
        head.varint(len(payload))
    chunks = [head.to_bytes(), _crc(head.to_bytes())]
    for _, payload in sections:
        chunks += [payload, _crc(payload)]
    return chunks


def read_container(data: bytes | memoryview) -> Container:
    """Read and check a whole archive.

    Raises UnsupportedError for a version or feature of a later program, DamagedError for everything else that
    `write_container` would not have written.  Which tags must be there is for the caller to say.
    """
    view = memoryview(data)
    if view[: len(MAGIC)] != MAGIC:
        raise DamagedError("This is not an acncodec archive, or its first bytes are damaged.")
    reader = Reader(view, "The archive's header")
    reader.fixed(len(MAGIC))
    version = reader.u8()
    # Before the checksum: another version may keep it elsewhere.
    if version != VERSION:
        raise UnsupportedError(f"The archive has format version {version}; this program reads version {VERSION}.")
    features = reader.varint()
    table = [(reader.fixed(TAG_BYTES), reader.varint(MAX_SECTION_BYTES)) for _ in range(reader.varint(MAX_SECTIONS))]
    header_bytes = reader.position
    if reader.fixed(CRC_BYTES) != _crc(view[:header_bytes]):
        raise DamagedError("The archive's header is damaged: its checksum is wrong.")
    _check_features(features)
    _check_table(table, available=len(view) - reader.position)

    sections = {}
    for raw_tag, length in table:
        payload = reader.fixed(length)
        tag = raw_tag.decode()
        if reader.fixed(CRC_BYTES) != _crc(payload):
            raise DamagedError(f"The archive's section {tag} is damaged: its checksum is wrong.")
        sections[tag] = payload
    return Container(sections, {"header": header_bytes, "checksums": CRC_BYTES * (1 + len(table))})


def _check_features(features: int) -> None:
    unknown = features & ~KNOWN_FEATURES
    if unknown:
        bits = ", ".join(str(bit) for bit in range(unknown.bit_length()) if unknown >> bit & 1)
        raise UnsupportedError(f"The archive needs features that this program does not know (bits {bits}).")


def _check_table(table: list[tuple[bytes, int]], available: int) -> None:
    """Check the tags and that the payloads with their checksums fill the `available` bytes exactly."""
    tags = [tag for tag, _ in table]
    if len(set(tags)) < len(tags) or not all(map(_is_tag, tags)):
        raise DamagedError("The archive's header is damaged: its section tags are not valid.")
    needed = sum(length + CRC_BYTES for _, length in table)
    if needed > available:
        raise DamagedError(f"The archive is truncated: {needed - available} bytes are missing at its end.")
    if needed < available:
        raise DamagedError(f"The archive has {available - needed} bytes too many at its end.")


def _is_tag(tag: bytes) -> bool:
    return len(tag) == TAG_BYTES and tag.isalnum()


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")
