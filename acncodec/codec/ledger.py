"""The ledger: every bit of an archive by purpose, beside what theory says that it should cost.

The coder's part cannot be told from the finished bits, so the archive carries the few sums that are needed (section
LEDG): bits of residual, latents pushed, latents popped, and theory's residual and KL, rounded to whole bits.
"""

from dataclasses import dataclass

from acncodec.archive.container import Container
from acncodec.archive.header import ORDER_TOUR, Header
from acncodec.archive.wire import Reader, Writer
from acncodec.coding.order import order_bits
from acncodec.coding.protocol import Tally

WORD_BITS = 32


@dataclass(frozen=True)
class Line:
    """One purpose: whole bits in the file, and bits that theory asks for (None where it has no say)."""

    part: str
    bits: int
    theory_bits: float | None = None


def pack_tally(tally: Tally) -> bytes:
    """The LEDG section: sums over all groups, in whole bits."""
    out = Writer()
    for value in (tally.residual, tally.prior, tally.posterior, tally.residual_theory, tally.latent_theory):
        out.varint(max(0, round(value)))
    return out.to_bytes()


def unpack_tally(data: bytes) -> Tally:
    """Undo `pack_tally`. Raises DamagedError."""
    reader = Reader(data, "The archive's section LEDG")
    tally = Tally(*(float(reader.varint()) for _ in range(5)))
    reader.end()
    return tally


def ledger(container: Container, header: Header) -> list[Line]:
    """The lines of an archive, which add up to 8 times its size. Raises DamagedError."""
    size = {tag: 8 * len(payload) for tag, payload in container.sections.items()}
    lines = []
    if "BITS" in size:
        tally = unpack_tally(container.sections["LEDG"])
        residual, latent = round(tally.residual), round(tally.prior) - round(tally.posterior)
        seed = WORD_BITS * header.seed_words
        lines = [
            Line("residual", residual, tally.residual_theory),
            Line("latent", latent, tally.latent_theory),
            Line("schedule ends", seed, 0.0),
            Line("coder state", size["BITS"] - residual - latent - seed, 0.0),
        ]
    counts, permuted = name_counts(header)
    lines += [
        Line("names", size.get("NAME", 0)),
        Line("order", size.get("ORDR", 0), order_bits(counts, permuted)),
        Line("stored files", size.get("FILE", 0)),
        Line("ledger", size.get("LEDG", 0)),
        Line("checksums", 8 * container.overhead["checksums"]),
        Line("header", 8 * container.overhead["header"] + size["HEAD"]),
    ]
    return lines


def name_counts(header: Header) -> tuple[list[int], list[int]]:
    """How often each kind of file occurs among the names (groups, then stored files), and what is permuted."""
    if not header.files:
        return [], []
    counts = [group.count for group in header.groups] + ([header.stored] if header.stored else [])
    return counts, [group.count for group in header.groups] if header.order == ORDER_TOUR else []
