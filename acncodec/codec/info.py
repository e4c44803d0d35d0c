"""What an archive says of itself, without decoding it."""

from pathlib import Path

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.container import VERSION
from acncodec.codec.decompress import Archive
from acncodec.codec.ledger import ledger
from acncodec.errors import ModelMissingError

ORDERS = {(0, 0): "tour", (1, 0): "names", (1, 1): "unordered", (0, 1): "unordered tour"}


def describe(archive: Archive, models: list[Path]) -> dict[str, object]:
    """A JSON-able description; bits are whole, `dims` counts the sub-pixels of modelled images.

    Keys stay: `version`, `images`, `dims`, `stored`, `file_bits`, `bits_per_image`, `bits_per_dim`, `promise`, `names`,
    `order`, `models`, `model` (the one of most images), `groups`, `ledger`. Raises DamagedError.
    """
    header = archive.header
    images = sum(g.count for g in header.groups)
    dims = sum(g.count * g.height * g.width for g in header.groups)
    file_bits = 8 * archive.size
    described = [_model(model, models) for model in header.models]
    shares = [sum(g.count for g in header.groups if g.model == i) for i in range(len(described))]
    return {
        "version": VERSION,
        "images": images,
        "dims": dims,
        "stored": header.stored,
        "file_bits": file_bits,
        "bits_per_image": file_bits / images if images else None,
        "bits_per_dim": file_bits / dims if dims else None,
        "promise": "pixels",
        "names": "keep" if header.names == head.NAMES_KEEP else "drop",
        "order": ORDERS[header.order, header.prior],
        "model": described[shares.index(max(shares))] if described else None,
        "models": described,
        "groups": [
            {"mode": ("1", "L")[g.mode], "height": g.height, "width": g.width, "count": g.count, "lanes": g.lanes}
            for g in header.groups
        ],
        "ledger": [
            {"part": line.part, "bits": line.bits, "theory_bits": line.theory_bits}
            for line in ledger(archive.container, header)
        ],
    }


def _model(model: head.Model, paths: list[Path]) -> dict[str, object]:
    """Name, sha256 and size in bytes of a model, the size None if the model is not at hand."""
    try:
        size = bundled.find_sha256(model.name, model.sha256, paths).size
    except ModelMissingError:
        size = None
    return {"name": model.name, "sha256": model.sha256.hex(), "bytes": size}
