"""Manifests of archives of many parts in the second reader (`reader.py`): section 15."""

import hashlib
from pathlib import Path

from reader import DROP, FOLDERS, KEEP
from reader_coders import Fields, check, sections

MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
MASK = (1 << 64) - 1


class Manifest:
    """The parts in a directory; `parts` are (name, size, sha256, files, images, pictures, sections)."""

    def __init__(self, folder: Path) -> None:
        (tag, body), *index = sections((folder / "manifest.acn").read_bytes())
        check(tag == "MANI" and all(tag == "NIDX" for tag, _ in index), "this is no manifest")
        fields = Fields(body)
        self.names = fields.byte()
        check(self.names in (DROP, KEEP, FOLDERS), "names are kept in an unknown way")
        self.models = [(fields.blob().decode(), fields.take(32)) for _ in range(fields.varint())]
        self.parts = [
            (fields.blob().decode(), fields.varint(), fields.take(32), *fields.varints(4)) for _ in range(fields.varint())
        ]
        self.mark, self.named = fields.blob().decode(), fields.varint()
        fields.end()
        self.buckets = [bucket for _, bucket in index]
        check(len(index) == (-(-self.named // 4096) if len(self.parts) > 1 else 0), "there are other buckets")
        for name, size, sha256, *_ in self.parts:
            data = (folder / name).read_bytes()
            check(len(data) == size and hashlib.sha256(data).digest() == sha256, "a part is another one")

    def prefix(self, number: int) -> str:
        return f"{number:0{len(str(len(self.parts) - 1))}}{self.mark}"

    def part_of(self, name: bytes) -> int:
        """The part that holds a name, if any does."""
        digest = hashlib.sha256(name).digest()
        h0, h1 = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
        fields = Fields(self.buckets[(h0 >> 32) * len(self.buckets) >> 32])
        keys, seed = fields.varint(), fields.byte()
        row = int.from_bytes(fields.rest(), "little")
        third, bits = -(-((5 * keys + 64) // 4) // 3), max(1, (len(self.parts) - 1).bit_length())
        found = 0
        for i in range(3):
            u = ((h1 ^ MIX[i] * (2 * seed + 1)) & MASK) * MIX[i] & MASK
            u ^= u >> 32
            u = u * MIX[2 - i] & MASK
            u ^= u >> 29
            found ^= row >> (i * third + u % third) * bits & (1 << bits) - 1
        return found
