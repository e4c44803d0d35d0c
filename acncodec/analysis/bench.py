"""Benchmark of a directory: acncodec's archives, ordered and unordered, beside those of other tools."""

import base64
import io
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from acncodec.analysis.peers import peers
from acncodec.analysis.sheets import as_rgb
from acncodec.analysis.speeds import model_speeds
from acncodec.analysis.tours import Toured, toured
from acncodec.archive import header as head
from acncodec.block.plan import Way
from acncodec.coding.order import order_bits
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, PackingResult, compress
from acncodec.planning.tour import DEFAULT_EFFORT
from acncodec.progress import Progress
from acncodec.reading.decompress import check
from acncodec.reading.info import describe
from acncodec.reading.parts import Parts
from acncodec.version import __version__

SHOWN = 2500  # images of a group on the map and the sheet, evenly spaced along the tour
THUMBNAIL = 48  # pixels of a thumbnail's side, at most
COLUMNS = 50
EXTREMES = 12  # cheapest images shown, and as many of the most expensive

WAYS = (  # of archiving a directory: label, handling of names, order, effort
    ("names dropped (set)", head.NAMES_DROP, None, DEFAULT_EFFORT),
    ("folders kept", head.NAMES_FOLDERS, None, DEFAULT_EFFORT),
    ("every path kept", head.NAMES_KEEP, None, DEFAULT_EFFORT),
    ("names dropped, unordered", head.NAMES_DROP, Way.UNORDERED, DEFAULT_EFFORT),
    ("names dropped, effort 1", head.NAMES_DROP, None, 1),
    ("names dropped, effort 7", head.NAMES_DROP, None, 7),
)


@dataclass(frozen=True)
class Bench:
    """The figures that `acncodec bench --json` prints, and the images that the report shows."""

    figures: dict[str, Any]
    groups: list[Toured]


def bench(root: Path, models: list[Model], model_files: list[Path], device: torch.device, progress: Progress) -> Bench:
    """Compress a directory in every way, decode and check each archive, and run other tools on it.

    Raises InputError, OutputError, ExactnessError.
    """
    table, described, groups = [], None, []
    with tempfile.TemporaryDirectory() as folder:
        for name, names, way, effort in WAYS:
            target = Path(folder, "archive")
            options = Options(names=names, way=way, effort=effort, overwrite=True)
            start = time.perf_counter()
            done = compress(root, target, models, options, progress)
            encode_seconds = time.perf_counter() - start
            start = time.perf_counter()
            with Parts(target, model_files, device) as parts, parts.open(0) as archive:
                check(parts, progress=progress)
                decode_seconds = time.perf_counter() - start
                info = describe(parts, model_files)
                if described is None:
                    described, collected = info, done
                    groups = toured(archive)
            table.append(_row(f"acncodec, {name}", info, encode_seconds, decode_seconds))
    assert described is not None
    found, left_out = peers(root, progress)
    for peer in found:
        row = asdict(peer)
        table.append({"ours": False, "bytes": row.pop("size"), "model_bytes": 0, **row})
    images = described["images"]
    for row in table:
        row["bits_per_image"] = 8 * row["bytes"] / images if images else None
        for what in ("encode", "decode"):
            row[f"{what}_images_per_second"] = images / row[f"{what}_seconds"] if images else None
    pictures = [content.picture for content in collected.collection.contents if content.picture]
    figures = {
        "directory": os.fsencode(root.resolve().name).decode(errors="backslashreplace"),
        "version": __version__,
        "files": described["files"],
        "images": images,
        "source_bytes": collected.collection.source_bytes,
        "image_bytes_found": _image_bytes(collected),
        "table": table,
        "models": [speed.row() for speed in model_speeds(pictures, models)],
        "order": _order(groups, images),
        "left_out": left_out,
        "ledger": described["ledger"],
    }
    return Bench(figures, groups)


def _row(name: str, info: dict[str, Any], encode_seconds: float, decode_seconds: float) -> dict[str, Any]:
    used = [model for model in info["models"] if model["elements"]]
    return {
        "name": name,
        "ours": True,
        "bytes": info["file_bits"] // 8,
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "model_bytes": sum(model["bytes"] or 0 for model in used),
        "note": ", ".join(model["name"] for model in used) or "no network pays here",
    }


def _image_bytes(done: PackingResult) -> int:
    """Total size, as found, of the files that could be parsed as images."""
    found = done.collection
    files = zip(found.sizes, found.content_of, strict=True)
    return sum(size for size, content in files if found.contents[content].picture)


def _order(groups: list[Toured], count: int) -> dict[str, float] | None:
    """Mean bits of modelled images: along the tour, without it, and the bound on what an order can save."""
    if not count:
        return None
    ordered = sum(float((group.residual + group.latent).sum()) for group in groups)
    bound = order_bits([], [len(group) for group in groups])
    return {
        "ordered_bits_per_image": ordered / count,
        "unordered_bits_per_image": sum(group.unordered * len(group) for group in groups) / count,
        "bound_bits_per_image": bound / count,
    }


def report_data(found: Bench) -> dict[str, Any]:
    """The data that `acncodec.report.page` shows: all figures, and the images with their codes and costs."""
    shown = [_group(group) for group in found.groups]
    return {**found.figures, "groups": shown, **_extremes(found.groups)}


def _group(group: Toured) -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(group) - 1, min(SHOWN, len(group))).round().astype(int))
    _, height, width, _ = group.images.shape
    depth = "1-bit" if group.model.arch.levels == 2 else "8-bit"
    cells = [_thumbnail(group.images[i], group.model.arch.levels) for i in chosen]
    what = "images" if group.whole else "tiles"
    return {
        "title": f"{len(group):,} {what} of {width}x{height}, {depth}, under {group.model.name}",
        "count": len(group),
        "width": width,
        "height": height,
        "atlas": _data_uri(_atlas(cells)),
        "columns": COLUMNS,
        "cell_width": cells[0].width,
        "cell_height": cells[0].height,
        "names": [group.names[i] for i in chosen],
        "residual_bits": group.residual[chosen].round(2).tolist(),
        "latent_bits": group.latent[chosen].round(2).tolist(),
        "x": group.plane[chosen, 0].round(2).tolist(),
        "y": group.plane[chosen, 1].round(2).tolist(),
        "variance": list(group.variance),
    }


def _thumbnail(image: np.ndarray, levels: int) -> Image.Image:
    picture = Image.fromarray(as_rgb(image[None], levels)[0])
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture


def _atlas(cells: list[Image.Image]) -> Image.Image:
    width, height = cells[0].size
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(cells) // COLUMNS) * height))
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % COLUMNS * width, i // COLUMNS * height))
    return sheet


def _extremes(groups: list[Toured]) -> dict[str, list[dict[str, Any]]]:
    """The cheapest and the most expensive images of all groups, by bits a value."""
    costs = [
        (float(bits) / group.images[0].size, g, i)
        for g, group in enumerate(groups)
        for i, bits in enumerate(group.residual + group.latent)
    ]
    costs.sort()

    def shown(chosen: list[tuple[float, int, int]]) -> list[dict[str, Any]]:
        found = []
        for _, g, i in chosen:
            group = groups[g]
            _, height, width, _ = group.images.shape
            picture = Image.fromarray(as_rgb(group.images[i][None], group.model.arch.levels)[0])
            bits = float(group.residual[i] + group.latent[i])
            size = {"width": width, "height": height}
            found.append({"name": group.names[i], "bits": round(bits, 2), "image": _data_uri(picture), **size})
        return found

    return {"cheapest": shown(costs[:EXTREMES]), "dearest": shown(costs[::-1][:EXTREMES])}


def _data_uri(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
