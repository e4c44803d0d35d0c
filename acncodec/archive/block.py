"""A BLCK section: pictures that were coded together, decodable with HEAD, FORM and the models alone.

    flags       1 byte: bit 0 tour, bit 1 conditional, bit 2 several stacks, rest 0
    classes     count (varint), then for each: index (first) or index - previous index - 1, pictures (varints)
    lanes       count (varint), then one varint for each group of elements
    seed_words  varint; of several stacks first their number, and for each but the last seed_words and number of words
    digest      16 bytes
    tally       5 varints
    order       blob
    bits        to the section's end, whole words of 4 bytes, those of the first stack first

The encoding is canonical: `decode` accepts nothing else.
"""

from dataclasses import dataclass
from itertools import pairwise

from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.limits import (
    MAX_CLASSES,
    MAX_ENTRIES,
    MAX_GROUPS,
    MAX_LANES,
    MAX_SECTION_BYTES,
    MAX_SEED_WORDS,
    MAX_STACKS,
)
from acncodec.errors import DamagedError

WHAT = "A section BLCK of the archive"
DIGEST_BYTES = 16
WORD_BYTES = 4
TOUR, CONDITIONAL, STACKS = 1, 2, 4  # flags

LedgerSums = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """Everything about a block's pictures that is not the same for the whole archive.

    `classes` lists (class index, number of pictures), indices increasing, numbers >= 1. `tour`: pictures are in tour order;
    `conditional`: latents were coded given the parent's code. `lanes` has one entry for each group of elements, in the
    order in which the codec derives the groups. `seed_words` has for each stack the number of words that it started from.
    `digest` (16 bytes) is the hash of what was coded. `tally` is the ledger, in whole bits: residual, latents pushed,
    latents popped, theoretical residual, theoretical latents. `order` restores the order of names (`coding/order.py`);
    `bits` has for each stack the coded words, little-endian uint32.
    """

    classes: list[tuple[int, int]]
    tour: bool
    conditional: bool
    lanes: list[int]
    seed_words: list[int]
    digest: bytes
    tally: LedgerSums
    order: bytes
    bits: list[bytes]


def encode(block: Block) -> bytes:
    """The bytes of the BLCK section; ValueError for a block that `decode` would refuse."""
    problem = _problem(block)
    if problem:
        raise ValueError(problem)
    out = FieldWriter()
    several = len(block.bits) > 1
    out.u8(TOUR * block.tour | CONDITIONAL * block.conditional | STACKS * several)
    out.varint(len(block.classes))
    lowest = 0
    for index, count in block.classes:
        out.varint(index - lowest)
        out.varint(count)
        lowest = index + 1
    out.varint(len(block.lanes))
    for lanes in block.lanes:
        out.varint(lanes)
    if several:
        out.varint(len(block.bits))
        for seed_words, bits in zip(block.seed_words[:-1], block.bits, strict=False):
            out.varint(seed_words)
            out.varint(len(bits) // WORD_BYTES)
    out.varint(block.seed_words[-1])
    out.fixed(block.digest)
    _write_tally(out, block.tally)
    out.blob(block.order)
    out.fixed(b"".join(block.bits))
    return out.to_bytes()


def decode(data: bytes) -> Block:
    """Read a BLCK section; DamagedError for anything that `encode` does not write."""
    reader = FieldReader(data, WHAT)
    flags = reader.u8()
    classes = []
    lowest = 0
    for _ in range(reader.varint(MAX_CLASSES)):
        index = lowest + reader.varint()
        classes.append((index, reader.varint()))
        lowest = index + 1
    lanes = [reader.varint() for _ in range(reader.varint(MAX_GROUPS))]
    stacks = reader.varint(MAX_STACKS) if flags & STACKS else 1
    seed_words, lengths = [], []
    for _ in range(stacks - 1):
        seed_words.append(reader.varint())
        lengths.append(WORD_BYTES * reader.varint(MAX_SECTION_BYTES))
    seed_words.append(reader.varint())
    block = Block(
        classes=classes,
        tour=bool(flags & TOUR),
        conditional=bool(flags & CONDITIONAL),
        lanes=lanes,
        seed_words=seed_words,
        digest=reader.fixed(DIGEST_BYTES),
        tally=_read_tally(reader),
        order=reader.blob(MAX_SECTION_BYTES),
        bits=[*map(reader.fixed, lengths), reader.fixed(len(data) - reader.position)],
    )
    problem = _problem(block) or (f"its flags are {flags}" if flags > 7 or (flags & STACKS and stacks < 2) else None)
    if problem:
        raise DamagedError(f"{WHAT} is damaged: {problem}.")
    return block


def account(block: Block, size: int) -> dict[str, int]:
    """Bits of a BLCK section of `size` bytes by purpose, summing to 8 * size."""
    ledger = FieldWriter()
    _write_tally(ledger, block.tally)
    parts = {
        "bits": 8 * sum(map(len, block.bits)),
        "order": 8 * len(block.order),
        "ledger": 8 * len(ledger.to_bytes()),
        "digest": 8 * len(block.digest),
    }
    return {**parts, "block header": 8 * size - sum(parts.values())}


def _write_tally(out: FieldWriter, tally: LedgerSums) -> None:
    for value in tally:
        out.varint(value)


def _read_tally(reader: FieldReader) -> LedgerSums:
    return reader.varint(), reader.varint(), reader.varint(), reader.varint(), reader.varint()


def _problem(block: Block) -> str | None:
    """What is wrong with a block, or None; shared by `encode` and `decode`."""
    if not 1 <= len(block.classes) <= MAX_CLASSES:
        return f"it has {len(block.classes)} classes"
    indices, counts = zip(*block.classes, strict=True)
    if indices[0] < 0 or indices[-1] >= MAX_CLASSES or any(left >= right for left, right in pairwise(indices)):
        return "its classes are not in order"
    if min(counts) < 1 or sum(counts) > MAX_ENTRIES:
        return f"it has {sum(counts)} pictures in {len(counts)} classes"
    if len(block.lanes) > MAX_GROUPS:
        return f"it has {len(block.lanes)} groups of elements"
    if not all(1 <= lanes <= MAX_LANES for lanes in block.lanes):
        return "its number of lanes is out of range"
    if not 1 <= len(block.bits) <= MAX_STACKS or len(block.seed_words) != len(block.bits):
        return f"it has {len(block.bits)} stacks"
    if not all(0 <= words <= MAX_SEED_WORDS for words in block.seed_words):
        return f"it has {max(block.seed_words)} seed words"
    if len(block.digest) != DIGEST_BYTES:
        return "its digest has a wrong length"
    if any(len(bits) % WORD_BYTES for bits in block.bits):
        return "its coded bits are not whole words"
    return None
