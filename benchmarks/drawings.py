"""Sets of drawings, whose images share pixels, under other tools and under acncodec.

    python -m benchmarks.drawings packages [--sets tiles ...]

`tiles` is the half of `dirs/dcss_tiles.tar.xz`, in the folder that ACNCODEC_DATA names, on which no model was trained;
`flags` and `creatures` are images of the Debian packages freeciv-data and supertux-data, which no training saw, below
`packages` as in benchmarks/drawing_set.py; `animation` and `screenshots` are made by benchmarks/near_duplicates.py. Each
archive is made and unpacked by the command line and compared by benchmarks/compare.py. Results go to drawings.json and
drawings.md in benchmarks/results/.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from acncodec.analysis import classical
from benchmarks import directories, near_duplicates
from benchmarks.directory_sets import unpack
from benchmarks.drawing_set import tiles
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
SETS = ("tiles", "flags", "animation", "screenshots", "creatures")
FOLDERS = {
    "flags": "freeciv-data/usr/share/games/freeciv/flags",
    "creatures": "supertux-data/usr/share/games/supertux2/images/creatures",
}
LARGEST_MOSAIC = 1 << 26  # samples
OURS = "acncodec"
PREAMBLE = """# Drawings

Bytes of whole directories, and what acncodec's archive takes of the best other tool. The rows of image codecs are bare
streams, without names, metadata and the order of palettes, and what is no image under xz -9e: no archive, which would
take more. *JPEG XL e9, mosaics* has one picture for all images of one size and mode, palettes as colours. Raw samples are
a tar of each image's mode, size, palette and samples. acncodec's models are not in its files.
"""


def make(name: str, packages: Path, target: Path) -> None:
    """A set as a directory."""
    if name == "tiles":
        unpack("dcss_tiles", target, None)
        for path in tiles(target, training=True):
            path.unlink()
    elif name in FOLDERS:
        source = packages / FOLDERS[name]
        for path in sorted(source.rglob("*.png")):
            if path.is_file() and not path.is_symlink():
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    else:
        (near_duplicates.animation if name == "animation" else near_duplicates.screenshots)(target)


def jpeg_xl_mosaics(root: Path) -> int:
    """Bytes of all images as mosaics under JPEG XL at effort 9, one for each size and mode."""
    found: dict[tuple[object, ...], list[np.ndarray]] = {}
    for path in sorted(root.rglob("*.png")):
        image = directories.opened(path)
        if image is not None:
            clear = image.has_transparency_data
            mode = {"L": "LA" if clear else "L", "LA": "LA", "1": "L"}.get(image.mode, "RGBA" if clear else "RGB")
            samples = np.asarray(image.convert(mode))
            found.setdefault((mode, *samples.shape), []).append(samples)
    groups = [np.stack(images) for images in found.values()]
    return sum(-(-classical.jpeg_xl_mosaic(group, bilevel=False).bits // 8) for group in groups)


def measure(name: str, packages: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, name)
        make(name, packages, root)
        others = directories.classical(root)
        others["JPEG XL e9, mosaics"] = jpeg_xl_mosaics(root)
        click.echo(f"{name}: {json.dumps(others)}", err=True)
        ours = directories.modelled(root, "keep", Path(folder))
        click.echo(f"{name}: {ours['bytes']:,}", err=True)
        counts = directories.inventory(root)
    return {**counts, "others": others, "acncodec": ours, "provenance": provenance()}


def markdown(results: dict[str, Any]) -> str:
    """The result page."""
    lines = [PREAMBLE.rstrip()]
    for name, result in results.items():
        best = min(result["others"].values())
        lines += ["", f"## {name}", "", f"{result['files']:,} files of {result['bytes']:,} bytes.", ""]
        lines += ["| | bytes | of the best other |", "|---|---|---|"]
        rows = [*result["others"].items(), (f"**{OURS}**", result["acncodec"]["bytes"])]
        lines += [f"| {title} | {size:,} | {size / best:.3f} |" for title, size in sorted(rows, key=lambda row: row[1])]
        ours = result["acncodec"]
        lines += ["", f"acncodec: {ours['encode_seconds']:.0f} s to compress, {ours['decode_seconds']:.0f} s to restore."]
        lines += ["", "- " + "; ".join(f"{key}: {value}" for key, value in result["provenance"].items())]
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("packages", type=click.Path(path_type=Path, exists=True))
@click.option("--sets", multiple=True, type=click.Choice(SETS), help="Which to run; may be repeated. All unless given.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(packages: Path, sets: tuple[str, ...], output: Path) -> None:
    """Measure the sets one after the other, and write the results after each."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "drawings.json"
    for name in sets or SETS:
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = measure(name, packages)
        write_result(path, {each: known[each] for each in SETS if each in known}, markdown(known))
    click.echo((output / "drawings.md").read_text())


if __name__ == "__main__":
    main()
