"""The ledger: all bits of an archive by purpose, with their theoretical costs.

Coded bits cannot be attributed afterwards, so every block stores a tally: bits of residual, latents pushed and latents
popped, and the theoretical residual and KL, rounded to whole bits.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from acncodec.archive import block as blocks
from acncodec.archive.block import Block
from acncodec.coding.order import order_bits
from acncodec.reading.reader import Archive

WORD_BITS = 32
SECTIONS = {  # ledger line of each section except BLCK
    "HEAD": "header",
    "MODL": "models",
    "FORM": "forms and metadata",
    "NAME": "names",
    "FLDR": "names",
    "EMPT": "names",
    "ORDR": "order",
    "PLAC": "order",
    "FILE": "stored files",
}
PARTS = {
    "bits": "coder state",
    "digest": "checksums",
    "block header": "header",
}  # ledger lines of a block's items, where names differ


@dataclass(frozen=True)
class Line:
    """One purpose: whole bits in the file, and theoretical bits (None where there is no theory)."""

    part: str
    bits: int
    theory_bits: float | None = None


def ledger(archive: Archive) -> list[Line]:
    """The lines of an archive, which add up to 8 times its size. Reads every block. Raises DamagedError."""
    container = archive.container
    bits: Counter[str] = Counter()
    theory: dict[str, float] = defaultdict(float)
    sizes = []
    for tag, size in zip(container.tags, container.sizes, strict=True):
        if tag == "BLCK":
            sizes.append(size)
        else:
            bits[SECTIONS[tag]] += 8 * size
    for number, size in enumerate(sizes):
        block = archive.block(number)
        for part, length in blocks.account(block, size).items():
            bits[PARTS.get(part, part)] += length
        _add_coded(block, bits, theory)
        theory["order"] += _order_theory(archive, number)
    theory["order"] += order_bits([np.bincount(archive.directory.named_methods).tolist()], [])
    bits["header"] += 8 * container.overhead["header"]
    bits["checksums"] += 8 * container.overhead["checksums"]
    coded = ("residual", "latent", "schedule ends", "coder state") if archive.header.blocks else ()
    models = ("models",) if "MODL" in container.tags else ()
    lines = (*coded, *models, "names", "order", "forms and metadata", "stored files", "ledger", "checksums", "header")
    return [Line(part, bits[part], theory[part] if part in (*coded, "order") else None) for part in lines]


def _add_coded(block: Block, bits: Counter[str], theory: dict[str, float]) -> None:
    """Attribute a block's coded bits by its tally; the rest is the coders' states."""
    residual, prior, posterior, residual_theory, latent_theory = block.tally
    coded = {"residual": residual, "latent": prior - posterior, "schedule ends": WORD_BITS * sum(block.seed_words)}
    for part, length in coded.items():
        bits[part] += length
        bits["coder state"] -= length
    theory["residual"] += residual_theory
    theory["latent"] += latent_theory


def _order_theory(archive: Archive, number: int) -> float:
    """The information in a block's order, in bits."""
    block, order = archive.block(number), archive.order(number)
    counts = [[n for _, n in block.classes]]
    if block.tour and order.folders is not None:
        counts.append(np.unique(order.folders, return_counts=True)[1].tolist())
    return order_bits(counts, [len(order.classes)] if block.tour and order.ranks is not None else [])
