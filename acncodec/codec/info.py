"""What an archive says of itself, without decoding any pixel."""

from collections import Counter
from pathlib import Path
from typing import Any

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.classes import METHOD_FILE, Class
from acncodec.archive.container import VERSION
from acncodec.codec.elements import cells, channels
from acncodec.codec.ledger import Line, ledger
from acncodec.codec.parts import Parts
from acncodec.codec.reader import Archive
from acncodec.errors import ModelMissingError
from acncodec.images.picture import layout

ORDERS = {(True, True): "tour", (False, True): "names", (False, False): "unordered", (True, False): "unordered tour"}
NAMES = {head.NAMES_DROP: "drop", head.NAMES_KEEP: "keep", head.NAMES_FOLDERS: "folders"}
PROMISES = {head.PROMISE_PIXELS: "pixels", head.PROMISE_BYTES: "bytes"}
METHODS = ("file", "webp", "raw", "coded")


def describe(archive: Parts, models: list[Path]) -> dict[str, Any]:
    """A JSON-able description; bits are whole, `dims` counts the sub-pixels of modelled images.

    Keys stay: `version`, `parts`, `files`, `images` (modelled), `dims`, `stored`, `duplicates`, `empty`, `file_bits`,
    `bits_per_image`, `bits_per_dim`, `promise`, `names`, `orders`, `blocks`, `models`, `kinds`, `ledger`. Raises
    DamagedError, InputError.
    """
    sums = dict.fromkeys(("files", "images", "dims", "stored", "duplicates", "empty", "file_bits"), 0)
    blocks: list[int] = []
    orders: set[str] = set()
    kinds: Counter[tuple[str, str, int, int]] = Counter()
    found: dict[bytes, dict[str, Any]] = {}
    lines: dict[str, Line] = {}
    for number in range(len(archive)):
        with archive.open(number) as part:
            names, promise = NAMES[part.header.names], PROMISES[part.header.promise]
            blocks += part.header.blocks
            each, elements = _kinds(part)
            kinds += each
            sums["files"] += part.header.entries
            sums["images"] += sum(part.header.blocks)
            sums["dims"] += _dims(part)
            sums["stored"] += sum(part.header.stores)
            sums["duplicates"] += part.header.duplicates
            sums["empty"] += part.header.empty
            sums["file_bits"] += 8 * part.container.size
            orders |= {ORDERS[b.tour, b.conditional] for b in map(part.block, range(len(part.header.blocks)))}
            for i, model in enumerate(part.header.models):
                if model.sha256 not in found:
                    found[model.sha256] = {**_model(part, model, models), "elements": 0}
                found[model.sha256]["elements"] += elements[i]
            for line in ledger(part):
                lines[line.part] = line if line.part not in lines else lines[line.part] + line
    sums["file_bits"] += 8 * archive.manifest_bytes
    if archive.manifest:
        lines["manifest"] = Line("manifest", 8 * archive.manifest_bytes)
    file_bits, images, dims = sums["file_bits"], sums["images"], sums["dims"]
    return {
        "version": VERSION,
        "parts": len(archive),
        **sums,
        "bits_per_image": file_bits / images if images else None,
        "bits_per_dim": file_bits / dims if dims else None,
        "promise": promise,
        "names": names,
        "orders": sorted(orders),
        "blocks": blocks,
        "models": list(found.values()),
        "kinds": [
            {"method": method, "mode": name, "height": height, "width": width, "count": count}
            for (method, name, height, width), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        ],
        "ledger": [{"part": line.part, "bits": line.bits, "theory_bits": line.theory_bits} for line in lines.values()],
    }


def _kinds(archive: Archive) -> tuple[Counter[tuple[str, str, int, int]], Counter[int]]:
    """How many contents there are of each kind, and how many elements under each model, by its index."""
    kinds: Counter[tuple[str, str, int, int]] = Counter()
    elements: Counter[int] = Counter()
    for number in range(len(archive.header.blocks)):
        for index, count in archive.block(number).classes:
            each = archive.classes[index]
            kinds["coded", mode(each), each.height, each.width] += count
            for group, *_ in cells(each):
                elements[group.model] += count
    for content in range(sum(archive.header.blocks), archive.contents):
        each = archive.kind(content)
        kinds[METHODS[each.method], mode(each), each.height, each.width] += 1
    return kinds, elements


def _dims(archive: Archive) -> int:
    """Sub-pixels of modelled images."""
    counts = [pair for number in range(len(archive.header.blocks)) for pair in archive.block(number).classes]
    return sum(n * (each := archive.classes[i]).height * each.width * channels(each.form) for i, n in counts)


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
