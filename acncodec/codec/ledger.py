"""The ledger: every bit of an archive by purpose, beside what theory says that it should cost.

The coder's part cannot be told from the finished bits, so every block carries the few sums that are needed: bits of
residual, latents pushed, latents popped, and theory's residual and KL, rounded to whole bits.
"""

from collections import Counter
from dataclasses import dataclass

from acncodec.archive import block as blocks
from acncodec.archive.block import Block
from acncodec.archive.container import Container
from acncodec.coding.protocol import Tally

WORD_BITS = 32
SECTIONS = {  # the line to which a section belongs, blocks aside
    "HEAD": "header",
    "FORM": "forms and metadata",
    "NAME": "names",
    "FLDR": "names",
    "EMPT": "names",
    "ORDR": "order",
    "PLAC": "order",
    "FILE": "stored files",
}
PARTS = {"order": "order", "ledger": "ledger", "digest": "checksums", "block header": "header"}  # of a block, bits aside


@dataclass(frozen=True)
class Line:
    """One purpose: whole bits in the file, and bits that theory asks for (None where it has no say)."""

    part: str
    bits: int
    theory_bits: float | None = None


def pack_tally(tally: Tally) -> tuple[int, int, int, int, int]:
    """A block's sums, in whole bits."""
    sums = tally.residual, tally.prior, tally.posterior, tally.residual_theory, tally.latent_theory
    residual, prior, posterior, residual_theory, latent_theory = (max(0, round(value)) for value in sums)
    return residual, prior, posterior, residual_theory, latent_theory


def ledger(container: Container) -> list[Line]:
    """The lines of an archive, which add up to 8 times its size. Reads every section. Raises DamagedError."""
    bits: Counter[str] = Counter()
    theory: Counter[str] = Counter()
    for index, (tag, size) in enumerate(zip(container.tags, container.sizes, strict=True)):
        if tag == "BLCK":
            data = container.read(index)
            block = blocks.decode(data)
            _add_coded(block, bits, theory)
            for part, length in blocks.account(data).items():
                if part in PARTS:
                    bits[PARTS[part]] += length
        else:
            bits[SECTIONS[tag]] += 8 * size
    bits["header"] += 8 * container.overhead["header"]
    bits["checksums"] += 8 * container.overhead["checksums"]
    coded = ("residual", "latent", "schedule ends", "coder state") if "BLCK" in container.tags else ()
    order = (*coded, "names", "order", "forms and metadata", "stored files", "ledger", "checksums", "header")
    return [Line(part, bits[part], float(theory[part]) if part in coded else None) for part in order]


def _add_coded(block: Block, bits: Counter[str], theory: Counter[str]) -> None:
    residual, prior, posterior, residual_theory, latent_theory = block.tally
    seed = WORD_BITS * block.seed_words
    bits["residual"] += residual
    bits["latent"] += prior - posterior
    bits["schedule ends"] += seed
    bits["coder state"] += 8 * len(block.bits) - residual - (prior - posterior) - seed
    theory["residual"] += residual_theory
    theory["latent"] += latent_theory
