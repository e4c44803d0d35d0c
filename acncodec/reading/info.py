"""Description of an archive without decoding pixels: counts, kinds of images, orders, models and the ledger."""

from collections import Counter
from pathlib import Path
from typing import Any

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.classes import METHOD_FILE, Class
from acncodec.archive.container import VERSION
from acncodec.block.elements import cells, channels
from acncodec.errors import ModelMissingError
from acncodec.images.picture import layout
from acncodec.reading.ledger import ledger
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

ORDERS = {(True, True): "tour", (False, True): "names", (False, False): "unordered", (True, False): "unordered tour"}
NAMES = {head.NAMES_DROP: "drop", head.NAMES_KEEP: "keep", head.NAMES_FOLDERS: "folders"}
PROMISES = {head.PROMISE_PIXELS: "pixels", head.PROMISE_BYTES: "bytes"}
METHODS = ("file", "webp", "raw", "coded")
SUMS = "files", "images", "dims", "stored", "duplicates", "empty", "file_bits"
Kind = tuple[str, str, int, int]  # method, mode, height and width


def describe(archive: Parts, models: list[Path]) -> dict[str, Any]:
    """A JSON-able description; bits are whole, `dims` counts the sub-pixels of modelled images.

    Keys stay: `version`, `parts`, `files`, `images` (modelled), `dims`, `stored`, `duplicates`, `empty`, `file_bits`,
    `bits_per_image`, `bits_per_dim`, `promise`, `names`, `orders`, `blocks`, `models`, `kinds`, `ledger`. Raises
    DamagedError, InputError.
    """
    found = []
    for number in range(len(archive)):
        with archive.open(number) as part:
            found.append(describe_part(part, models))
    return join(found, archive.manifest_bytes)


def describe_part(part: Archive, models: list[Path]) -> dict[str, Any]:
    """`describe` for one archive. Raises DamagedError."""
    lines = ledger(part)  # first: it reads every block, of which what the others need is kept
    header = part.header
    sums = {
        "files": header.entries,
        "images": sum(header.blocks),
        "dims": _dims(part),
        "stored": sum(header.stores),
        "duplicates": header.duplicates,
        "empty": header.empty,
        "file_bits": 8 * part.container.size,
    }
    kinds, elements = _kinds(part)
    return {
        "version": VERSION,
        "parts": 1,
        **sums,
        **_rates(sums),
        "promise": PROMISES[header.promise],
        "names": NAMES[header.names],
        "orders": sorted({ORDERS[b.tour, b.conditional] for b in map(part.outline, range(len(header.blocks)))}),
        "blocks": header.blocks,
        "models": [{**_model(part, model, models), "elements": elements[i]} for i, model in enumerate(header.models)],
        "kinds": _listed(kinds),
        "ledger": [{"part": line.part, "bits": line.bits, "theory_bits": line.theory_bits} for line in lines],
    }


def join(found: list[dict[str, Any]], manifest_bytes: int) -> dict[str, Any]:
    """`describe` for an archive of many parts, from `describe_part` of each."""
    sums = {key: sum(each[key] for each in found) for key in SUMS}
    sums["file_bits"] += 8 * manifest_bytes
    kinds: Counter[Kind] = Counter()
    models: dict[str, dict[str, Any]] = {}
    lines: dict[str, dict[str, Any]] = {}
    for each in found:
        for kind in each["kinds"]:
            kinds[kind["method"], kind["mode"], kind["height"], kind["width"]] += kind["count"]
        for model in each["models"]:
            elements = models.get(model["sha256"], {"elements": 0})["elements"]
            models[model["sha256"]] = {**model, "elements": elements + model["elements"]}
        for line in each["ledger"]:
            lines[line["part"]] = _added(lines[line["part"]], line) if line["part"] in lines else line
    if manifest_bytes:
        lines["manifest"] = {"part": "manifest", "bits": 8 * manifest_bytes, "theory_bits": None}
    return {
        **found[0],
        "parts": len(found),
        **sums,
        **_rates(sums),
        "orders": sorted({order for each in found for order in each["orders"]}),
        "blocks": [size for each in found for size in each["blocks"]],
        "models": list(models.values()),
        "kinds": _listed(kinds),
        "ledger": list(lines.values()),
    }


def _rates(sums: dict[str, int]) -> dict[str, float | None]:
    file_bits, images, dims = sums["file_bits"], sums["images"], sums["dims"]
    return {
        "bits_per_image": file_bits / images if images else None,
        "bits_per_dim": file_bits / dims if dims else None,
    }


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The sum of a ledger line of two parts."""
    theory = [each for each in (one["theory_bits"], other["theory_bits"]) if each is not None]
    return {"part": one["part"], "bits": one["bits"] + other["bits"], "theory_bits": sum(theory) if theory else None}


def _listed(kinds: "Counter[Kind]") -> list[dict[str, Any]]:
    """The most frequent kinds first."""
    return [
        {"method": method, "mode": name, "height": height, "width": width, "count": count}
        for (method, name, height, width), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    ]


def _kinds(archive: Archive) -> tuple[Counter[Kind], Counter[int]]:
    """How many contents there are of each kind, and how many elements under each model, by its index."""
    kinds: Counter[Kind] = Counter()
    elements: Counter[int] = Counter()
    for number in range(len(archive.header.blocks)):
        for index, count in archive.outline(number).classes:
            each = archive.classes[index]
            kinds["coded", mode(each), each.height, each.width] += count
            for group, *_ in cells(each):
                elements[group.model] += count
    for content in range(sum(archive.header.blocks), archive.contents):
        each = archive.class_of(content)
        kinds[METHODS[each.method], mode(each), each.height, each.width] += 1
    return kinds, elements


def _dims(archive: Archive) -> int:
    """Sub-pixels of modelled images."""
    counts = [pair for number in range(len(archive.header.blocks)) for pair in archive.outline(number).classes]
    return sum(n * (each := archive.classes[i]).height * each.width * channels(each.form) for i, n in counts)


def mode(each: Class) -> str:
    """A class's pixel layout as text; empty for plain files."""
    return "" if each.method == METHOD_FILE else layout(each.form).name.lower().replace("_", " and ")


def _model(archive: Archive, model: head.ModelReference, paths: list[Path]) -> dict[str, Any]:
    """Name, sha256 and size in bytes of a model, the size None if it is not at hand, and whether the archive carries it."""
    carried = archive.carried.get(model.sha256)
    try:
        size = len(carried) if carried else bundled.find_sha256(model.name, model.sha256, paths).size
    except ModelMissingError:
        size = None
    return {"name": model.name, "sha256": model.sha256.hex(), "bytes": size, "carried": carried is not None}
