"""Reports to test the page with: on the bundled digits, empty, and with hostile names."""

import base64
import io
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from acncodec import bundled

SIDE = 28
COLUMNS = 20
HOSTILE = [
    "</script><script>document.title='out'</script>",
    "<!--<script>",
    "]]>\u2028\u2029\"'\\",
    "lone \udc80 surrogate \ud800",
    "{{script}} {{data}} \\1 \\g<0>",
    "<img src=x onerror=document.title='out'>",
    "\u202eright to left\0\n",
]


def uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def digits(kind: str) -> tuple[list[str], np.ndarray]:
    """Names and pixels uint8 [200, 28, 28] of bundled digits."""
    paths = sorted((bundled.SAMPLE / kind).rglob("*.png"))
    return [f"{kind}/{path.parent.name}/{path.name}" for path in paths], np.stack(
        [np.asarray(Image.open(path).convert("L")) for path in paths]
    )


@cache
def group(kind: str) -> dict[str, Any]:
    """Digits by their deflated sizes, as if these were what networks need, and by their principal components."""
    names, pixels = digits(kind)
    rows = -(-len(pixels) // COLUMNS)
    atlas = np.zeros((rows, COLUMNS, SIDE, SIDE), np.uint8)
    atlas.reshape(-1, SIDE, SIDE)[: len(pixels)] = pixels
    flat = pixels.reshape(len(pixels), -1) - pixels.reshape(len(pixels), -1).mean(0)
    left, scales, _ = np.linalg.svd(flat, full_matrices=False)
    return {
        "title": f"{len(names)} images of 28x28, {kind}",
        "count": 2 * len(names),
        "width": SIDE,
        "height": SIDE,
        "atlas": uri(atlas.swapaxes(1, 2).reshape(rows * SIDE, COLUMNS * SIDE)),
        "columns": COLUMNS,
        "cell_width": SIDE,
        "cell_height": SIDE,
        "names": names,
        "residual_bits": [8 * len(zlib.compress(each.tobytes())) for each in pixels],
        "latent_bits": [12 + 0.01 * i for i in range(len(names))],
        "x": (left * scales)[:, 0].tolist(),
        "y": (left * scales)[:, 1].tolist(),
        "variance": (scales[:2] ** 2 / (scales**2).sum()).tolist(),
    }


def single(name: str, pixels: np.ndarray, bits: float | None) -> dict[str, Any]:
    return {"name": name, "bits": bits, "image": uri(pixels), "width": pixels.shape[1], "height": pixels.shape[0]}


def row(name: str, ours: bool, size: int | None, decoding: float | None, model: int = 0, note: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "bytes": size,
        "bits_per_image": None if size is None else size / 50,
        "encode_seconds": decoding,
        "decode_seconds": decoding,
        "model_bytes": model,
        "note": note,
    }


@cache
def sample() -> dict[str, Any]:
    """A report on the bundled digits. Not to be changed."""
    names, pixels = digits("grey")
    return {
        "directory": "some/photos",
        "version": "0.1.0",
        "files": 410,
        "images": 400,
        "image_bytes_found": 123456,
        "table": [
            row("acncodec, names dropped", True, 40_000, 3.0, 450_864),
            row("acncodec, every path restored", True, 41_000, 3.0, 450_864),
            row("tar.xz", False, 50_000, 0.25, note="a longer note on what was done and left out"),
            row("jxl", False, None, None),
        ],
        "order": {"ordered_bits_per_image": 110.5, "unordered_bits_per_image": 118.9, "bound_bits_per_image": 11.8},
        "ledger": [
            {"part": "residual", "bits": 300_000, "theory_bits": 299_990.5},
            {"part": "header", "bits": 20_000, "theory_bits": None},
        ],
        "groups": [group("grey"), group("bilevel")],
        "cheapest": [single(names[0], pixels[0], 12.3)],
        "dearest": [single(names[1], pixels[1], None)],
    }


def empty() -> dict[str, Any]:
    return sample() | {"groups": [], "order": None, "ledger": [], "cheapest": [], "dearest": []}


def hostile(name: str) -> dict[str, Any]:
    """The same with a hostile name in every text field, but for the images."""

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoilt(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [spoilt(inner) for inner in value]
        return name if isinstance(value, str) and not value.startswith("data:") else value

    return spoilt(sample())
