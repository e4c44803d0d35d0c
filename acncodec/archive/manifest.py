"""The manifest of an archive of many parts: section MANI, and a section NIDX for each bucket of names.

MANI lists the parts, each an archive by itself:

    flags       1 byte: names (2 bits)
    models      count (varint), then for each: name (text), sha256 (32 bytes)
    parts       count (varint), then for each: name (text), size in bytes (varint), sha256 (32 bytes), files (varint),
                images (varint), pictures (varint), sections (varint)
    mark        text, between a part's number and an image's own in numbered names
    named       varint: files that are found by name

NIDX maps a name to the part that holds it: the bucket selected by the name's hash is a row of slots (retrieval.py), packed
with as many bits per slot as the highest part number needs.

    keys        varint
    seed        1 byte
    slots       the rest, low bits first
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.header import NAMES_DROP, NAMES_FOLDERS, NAMES_KEEP, SHA256_BYTES, ModelReference, read_models
from acncodec.archive.limits import MAX_ENTRIES, MAX_PARTS, MAX_SECTION_BYTES, MAX_SECTIONS
from acncodec.archive.retrieval import MAX_SEED, THIRDS, slots, solve, third_of
from acncodec.errors import DamagedError, InputError

WHAT = "The archive's manifest"
BUCKET_KEYS = 4096  # average number of names in a bucket
MAX_PART_NAME_BYTES = 255
MAX_MARK_BYTES = 4096  # the length of the longest possible name


@dataclass(frozen=True)
class Part:
    """A part: its file's name, size in bytes and sha256, and its contents.

    `files` are restored, `images` are modelled, `pictures` are shown by `acncodec.open`; `sections` are the blocks and
    stores that can be decoded independently.
    """

    name: str
    size: int
    sha256: bytes
    files: int
    images: int
    pictures: int
    sections: int


@dataclass(frozen=True)
class Manifest:
    """All parts in order; `names` as in each part's header; `models` that any part needs; `named` as in MANI."""

    names: int
    models: list[ModelReference]
    parts: list[Part]
    mark: str
    named: int

    def prefix(self, number: int) -> bytes:
        """Prefix of the numbered names of a part, which no other part uses."""
        return f"{number:0{len(str(max(0, len(self.parts) - 1)))}}{self.mark}".encode()

    @property
    def buckets(self) -> int:
        return -(-self.named // BUCKET_KEYS) if len(self.parts) > 1 else 0


def encode(manifest: Manifest) -> bytes:
    """The bytes of MANI."""
    out = FieldWriter()
    out.u8(manifest.names)
    out.varint(len(manifest.models))
    for model in manifest.models:
        out.text(model.name)
        out.fixed(model.sha256)
    out.varint(len(manifest.parts))
    for part in manifest.parts:
        out.text(part.name)
        out.varint(part.size)
        out.fixed(part.sha256)
        for value in (part.files, part.images, part.pictures, part.sections):
            out.varint(value)
    out.text(manifest.mark)
    out.varint(manifest.named)
    return out.to_bytes()


def decode(data: bytes) -> Manifest:
    """Read MANI. Raises DamagedError."""
    reader = FieldReader(data, WHAT)
    names = reader.u8()
    if names not in (NAMES_DROP, NAMES_KEEP, NAMES_FOLDERS):
        raise DamagedError(f"{WHAT} is damaged: names is {names}.")
    models = read_models(reader, MAX_PARTS)
    parts = [_part(reader) for _ in range(reader.varint(MAX_PARTS))]
    mark = reader.text(MAX_MARK_BYTES)
    named = reader.varint(sum(part.files for part in parts))
    reader.end()
    if len({part.name for part in parts}) < len(parts) or not all(model.name.isprintable() for model in models):
        raise DamagedError(f"{WHAT} is damaged: a name is not valid or occurs twice.")
    if not mark or set(mark) != {"-"}:
        raise DamagedError(f"{WHAT} is damaged: its mark is not valid.")
    return Manifest(names, models, parts, mark, named)


def _part(reader: FieldReader) -> Part:
    name = reader.text(MAX_PART_NAME_BYTES)
    # Must be a plain file name in the manifest's directory, on any system.
    if not name.isprintable() or name in ("", ".", "..") or set(name) & set("/\\:"):
        raise DamagedError(f"{WHAT} is damaged: a part has an unsafe name.")
    size, sha256 = reader.varint(MAX_SECTION_BYTES), reader.fixed(SHA256_BYTES)
    files, images, pictures = (reader.varint(MAX_ENTRIES) for _ in range(3))
    return Part(name, size, sha256, files, images, pictures, reader.varint(MAX_SECTIONS))


def hashes(names: Sequence[bytes]) -> np.ndarray:
    """Hashes of names: uint64 [N, 2], the first half of their sha256, little-endian; [:, 0] selects the bucket."""
    data = b"".join(hashlib.sha256(name).digest()[:16] for name in names)
    return np.frombuffer(data, "<u8").reshape(-1, 2).astype(np.uint64)


def bucket_of(found: np.ndarray, buckets: int) -> np.ndarray:
    """The bucket of each of these hashes uint64 [N, 2]: int64 [N], monotonic in the hash."""
    return ((found[:, 0] >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.int64)


def first_hash(bucket: int, buckets: int) -> np.uint64:
    """The least [:, 0] of hashes in this bucket or a later one."""
    return np.uint64(min(-(-(bucket << 32) // buckets) << 32, 2**64 - 1))


def encode_bucket(found: np.ndarray, parts: Sequence[int], count: int) -> bytes:
    """NIDX of the names with these hashes, uint64 [N, 2], each in one of `count` parts.

    Raises InputError for equal names.
    """
    try:
        seed, row = solve(found[:, 1], parts)
    except ValueError as error:
        raise InputError("two files of the source have the same name; rename one and start over with --force") from error
    out = FieldWriter()
    out.varint(len(found))
    out.u8(seed)
    bits = _bits(count)
    spread = (np.array(row, dtype=np.uint32)[:, None] >> np.arange(bits, dtype=np.uint32) & 1).astype(np.uint8)
    out.fixed(np.packbits(spread, bitorder="little").tobytes())
    return out.to_bytes()


def part_of(bucket: bytes, found: np.ndarray, count: int) -> int:
    """The part, of `count`, that holds the name with this hash, uint64 [2]; any one if none does. Raises DamagedError."""
    reader = FieldReader(bucket, WHAT)
    keys, seed = reader.varint(MAX_ENTRIES), reader.u8()
    third, bits = third_of(keys), _bits(count)
    packed = reader.fixed(-(-THIRDS * third * bits // 8))
    reader.end()
    if seed > MAX_SEED:
        raise DamagedError(f"{WHAT} is damaged: a seed is out of range.")
    value = 0
    for slot in slots(found[None, 1], seed, third)[0].tolist():
        start = slot * bits
        chunk = int.from_bytes(packed[start // 8 : (start + bits + 7) // 8], "little")
        value ^= chunk >> start % 8 & (1 << bits) - 1
    return min(value, count - 1)  # an unknown name yields an arbitrary value


def _bits(count: int) -> int:
    return max(1, (count - 1).bit_length())
