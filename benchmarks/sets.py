"""Test sets as sets: size of a file of all images, with and without its models, compared with JPEG XL and the targets.

    python -m benchmarks.sets [--images N] [SET]...

Each set is written as PNG files, compressed by `acncodec compress --names drop` with the bundled models, restored by
`acncodec decompress`, and compared as a multiset of pixels. JPEG XL gets mosaics of the same images at effort 9, in pieces
of 2048 pixels a side where it would stream. Needs `mnist/`, `cifar10/` and `imagenet32/` in the folder that ACNCODEC_DATA
names (MNIST is downloaded otherwise). Writes sets.json and .md to benchmarks/results/.
"""

import json
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from acncodec.analysis.classical import jpeg_xl_mosaic
from benchmarks.commands import acncodec
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, write_pngs
from benchmarks.directory_sets import cifar10, sheets
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
TARGETS = {
    "mnist-1bit": 0.142,
    "mnist-8bit": 1.20,
    "cifar10": 3.60,
    "imagenet32": None,
}  # aims of this project: bits a value
IMAGENET_TEST = 5000
SHARE_OF_JPEG_XL = 0.9  # the target of imagenet32, against JPEG XL


def images_of(name: str) -> np.ndarray:
    """A test set: uint8 [N, H, W] or [N, H, W, 3]; 1-bit images hold 0 and 1."""
    if name == "cifar10":
        return cifar10()[0]
    if name == "imagenet32":
        return sheets("imagenet32", "test")[:IMAGENET_TEST]
    return binarise(mnist("test"), BINARISE_SEEDS["test"]) if name == "mnist-1bit" else mnist("test")


def multiset(folder: Path) -> Counter[tuple[str, bytes]]:
    """Mode and pixels of all images below a folder."""
    found: Counter[tuple[str, bytes]] = Counter()
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            found[image.mode, image.tobytes()] += 1
    return found


def measure(name: str, images: np.ndarray) -> dict[str, Any]:
    """One set, compressed and restored. Raises RuntimeError if the images differ."""
    bilevel = name == "mnist-1bit"
    with tempfile.TemporaryDirectory() as folder:
        root, archive, restored = Path(folder, "in"), Path(folder, "archive"), Path(folder, "out")
        write_pngs(images, None, root, bilevel=bilevel)
        told, _, _ = acncodec("compress", "--names", "drop", "--json", root, archive)
        acncodec("decompress", archive, restored)
        if multiset(root) != multiset(restored):
            raise RuntimeError(f"{name} did not come back as it was")
        about, bits = json.loads(told), 8 * archive.stat().st_size
    models = [model for model in about["models"] if model["elements"]]
    peer = jpeg_xl_mosaic(images, bilevel)
    return {
        "images": len(images),
        "values": images.size,
        "bits": bits,
        "models": {model["name"]: model["bytes"] for model in models},
        "order": about["orders"],
        "jpeg_xl_bits": peer.bits,
        "jpeg_xl_pictures": peer.streams,
    }


def markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Test sets as sets",
        "",
        "Bits a value (a pixel, or a colour of one) of whole files.",
        "",
        "| set | images | acncodec | nats an image | with the models' bytes | our aim | JPEG XL e9, mosaics | against it |",
        "|---" * 8 + "|",
    ]
    for name, row in results["sets"].items():
        value = row["bits"] / row["values"]
        models = 8 * sum(row["models"].values()) / row["values"]
        peer = row["jpeg_xl_bits"] / row["values"]
        target = TARGETS[name] or SHARE_OF_JPEG_XL * peer
        nats = row["bits"] * math.log(2) / row["images"]
        lines.append(
            f"| {name} | {row['images']:,} | **{value:.4f}** | {nats:,.2f} | {value + models:.4f} | {target:.3f} "
            f"| {peer:.4f} | {value / peer - 1:+.1%} |"
        )
    lines += [
        "",
        "`imagenet32` is a stand-in, 64x64 JPEGs halved with a box filter: no figure to be compared with published ones.",
        "Nothing was trained on a test split or chosen by it.",
        "",
        *(f"- {name}: {', '.join(row['provenance'].values())}" for name, row in results["sets"].items()),
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(sorted(TARGETS)))
@click.option("--images", default=None, type=click.IntRange(min=2), help="Only so many of each set.")
def main(sets: tuple[str, ...], images: int | None) -> None:
    """Measure the sets, all unless some are named; the others keep their results."""
    path = RESULTS / "sets.json"
    found = json.loads(path.read_text())["sets"] if path.exists() and sets and not images else {}
    for name in sets or TARGETS:
        found[name] = {**measure(name, images_of(name)[:images]), "provenance": provenance()}
        click.echo(f"{name}: {found[name]}", err=True)
    results = {"sets": {name: found[name] for name in TARGETS if name in found}}
    if not images:
        write_result(RESULTS / "sets", results, markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
