"""What an archive says of itself, without decoding any pixel."""

from collections import Counter
from pathlib import Path
from typing import Any

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.classes import METHOD_FILE, Class
from acncodec.archive.container import VERSION
from acncodec.codec.elements import cells, channels
from acncodec.codec.ledger import ledger
from acncodec.codec.reader import Archive
from acncodec.errors import ModelMissingError
from acncodec.images.picture import layout

ORDERS = {(True, True): "tour", (False, True): "names", (False, False): "unordered", (True, False): "unordered tour"}
NAMES = {head.NAMES_DROP: "drop", head.NAMES_KEEP: "keep", head.NAMES_FOLDERS: "folders"}
PROMISES = {head.PROMISE_PIXELS: "pixels", head.PROMISE_BYTES: "bytes"}
METHODS = ("file", "webp", "raw", "coded")


def describe(archive: Archive, models: list[Path]) -> dict[str, Any]:
    """A JSON-able description; bits are whole, `dims` counts the sub-pixels of modelled images.

    Keys stay: `version`, `files`, `images` (modelled), `dims`, `stored`, `duplicates`, `empty`, `file_bits`,
    `bits_per_image`, `bits_per_dim`, `promise`, `names`, `orders`, `blocks`, `models`, `kinds`, `ledger`. Raises
    DamagedError.
    """
    kinds: Counter[tuple[str, str, int, int]] = Counter()
    dims = 0
    elements: Counter[int] = Counter()
    for number in range(len(archive.header.blocks)):
        for index, count in archive.block(number).classes:
            each = archive.classes[index]
            kinds["coded", mode(each), each.height, each.width] += count
            dims += count * each.height * each.width * channels(each.form)
            for group, *_ in cells(each):
                elements[group.model] += count
    for content in range(sum(archive.header.blocks), archive.contents):
        each = archive.kind(content)
        kinds[METHODS[each.method], mode(each), each.height, each.width] += 1
    images = sum(archive.header.blocks)
    file_bits = 8 * archive.container.size
    ways = [archive.block(number) for number in range(len(archive.header.blocks))]
    return {
        "version": VERSION,
        "files": archive.header.entries,
        "images": images,
        "dims": dims,
        "stored": sum(archive.header.stores),
        "duplicates": archive.header.duplicates,
        "empty": archive.header.empty,
        "file_bits": file_bits,
        "bits_per_image": file_bits / images if images else None,
        "bits_per_dim": file_bits / dims if dims else None,
        "promise": PROMISES[archive.header.promise],
        "names": NAMES[archive.header.names],
        "orders": sorted({ORDERS[block.tour, block.conditional] for block in ways}),
        "blocks": archive.header.blocks,
        "models": [
            {**_model(archive, model, models), "elements": elements[i]} for i, model in enumerate(archive.header.models)
        ],
        "kinds": [
            {"method": method, "mode": name, "height": height, "width": width, "count": count}
            for (method, name, height, width), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        ],
        "ledger": [{"part": line.part, "bits": line.bits, "theory_bits": line.theory_bits} for line in ledger(archive)],
    }


def mode(each: Class) -> str:
    """A picture's layout in words; empty for a file."""
    return "" if each.method == METHOD_FILE else layout(each.form).name.lower().replace("_", " and ")


def _model(archive: Archive, model: head.Model, paths: list[Path]) -> dict[str, Any]:
    """Name, sha256 and size in bytes of a model, the size None if it is not at hand, and whether the archive carries it."""
    carried = archive.carried.get(model.sha256)
    try:
        size = len(carried) if carried else bundled.find_sha256(model.name, model.sha256, paths).size
    except ModelMissingError:
        size = None
    return {"name": model.name, "sha256": model.sha256.hex(), "bytes": size, "carried": carried is not None}
