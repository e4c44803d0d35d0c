"""Comparison with other codecs in one run on one machine: size, and speed of encoding and decoding.

    python -m benchmarks.peers [--sets cifar10 ...] [--limit 2000]

Every set is a directory of PNG files. Classical codecs get its pictures from memory, as one solid stream of raw
samples, image by image, or as mosaics where all images have one size; acncodec gets the directory, in each of its modes of
names, by the command line in processes of their own. Everything that is measured is decoded and compared. Needs `mnist/`,
`cifar10/`, `imagenet32/` and `dirs/` in the folder that ACNCODEC_DATA names.

Results are merged into peers.json in benchmarks/results/ after each set; peers.md and peers.png are made anew. Without
--sets, a set that is there already, measured with the same limit, is not measured again.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL
import torch
from PIL import Image, features

from acncodec.analysis import classical
from acncodec.analysis.classical import Result
from benchmarks.data import mnist_labels, write_pngs
from benchmarks.directories import ROWS, inventory, modelled, opened
from benchmarks.directory_sets import OMNIGLOT, make, spread
from benchmarks.provenance import provenance, write_result
from benchmarks.sets import images_of

RESULTS = Path(__file__).parent / "results"
SETS = ("mnist-1bit", "mnist-8bit", "cifar10", "imagenet32", "dcss_tiles", OMNIGLOT)
LIMIT = 2000  # images of a set
SAMPLE = 500  # single images that slow codecs code
YARDSTICK = ("WebP", "per image")  # speeds are also told as multiples of its
EACH: dict[str, tuple[str, ...]] = {"PNG": ("per image",), "WebP": ("per image",)}
EACH |= {f"JPEG XL e{effort}": ("per image", "mosaic") for effort in (7, 9)}  # 10 takes minutes a set
OURS = "acncodec"
MARKERS = {"solid": "^", "per image": "o", "mosaic": "s"}
COLOURS = {OURS: "C3", "xz": "C0", "bz2": "C5", "zstd": "C2", "PNG": "black", "WebP": "C4", "JPEG": "#b35900"}
PREAMBLE = f"""# Peers side by side

Bits are those of everything that was written, over the images and over their samples (an index into a palette is one
sample). Speeds are by one clock, in images a second, and as multiples of those of WebP image by image in the same run. All
that was measured was decoded and compared.

**Speeds do not compare like with like.** Classical codecs run on one thread, from memory to memory. acncodec runs on all
cores (see *threads*), in processes of its own that start, load PyTorch and the models, read or write PNG files, and check
what they have written. Classical codecs are given no names and no folders; they keep the order of images, which acncodec
keeps only where it keeps all names. A solid stream is of bare samples, bilevel ones eight a byte; where not all images have
one size and mode, each has a line of these and its palette before it, and there is no mosaic. acncodec's models ship with
it and are not in its files: the column *with models* adds them, in bits a sample.

Where a set is limited, its images are spread evenly over the whole test set. acncodec gains from more images of a kind, so
that its figures are a little worse here than those of whole sets ([sets.md](sets.md), [directories.md](directories.md)); so
are those of solid streams and mosaics. WebP and JPEG XL code about {SAMPLE} single images of a set, evenly spread, and are
scaled up (see *measured on*). JPEG XL at effort 10 is in [ordered_vs_unordered.md](ordered_vs_unordered.md). `imagenet32`
is a stand-in, 64x64 JPEGs halved with a box filter.
"""


# Measuring


def make_set(name: str, root: Path, limit: int) -> None:
    """Write one of SETS as a directory of PNG files, in folders by class where it has classes."""
    if not name.startswith(("mnist", "imagenet32")):
        make(name, root, limit)
        return
    images = images_of(name)
    chosen = spread(len(images), limit)
    labels = mnist_labels("test")[chosen] if name.startswith("mnist") else None
    write_pngs(images[chosen], labels, root, bilevel=name == "mnist-1bit")


def stacked(pictures: list[Image.Image]) -> np.ndarray | None:
    """The samples of pictures that all have one size and mode: uint8 [N, H, W] or [N, H, W, C]; else None."""
    if len({(picture.mode, picture.size) for picture in pictures}) > 1 or pictures[0].mode == "P":
        return None
    return np.stack([classical.samples_of(picture) for picture in pictures])


def peers(pictures: list[Image.Image], sample: int) -> Iterator[Result]:
    """Sizes and times of the pictures under every classical codec of this page."""
    images, bilevel = stacked(pictures), pictures[0].mode == "1"
    stream = b"".join(map(classical.raw_samples, pictures))
    if images is not None:
        stream = classical.stream_of(images, bilevel)
    for streamer in classical.stream_codecs():
        yield classical.solid(streamer, stream, len(pictures))
    for codec in classical.picture_codecs():
        arrangements = EACH.get(codec.name, ())
        if "per image" in arrangements:
            yield classical.per_image(codec, pictures, sample if codec.slow else len(pictures))
        if "mosaic" in arrangements and images is not None:
            yield classical.mosaic(codec, images, bilevel)


def measure(root: Path, sample: int = SAMPLE) -> dict[str, Any]:
    """All figures of a directory of images. Raises RuntimeError if something does not come back."""
    pictures = [picture for picture in map(opened, sorted(root.rglob("*.png"))) if picture is not None]
    counts = inventory(root)
    if len(pictures) != counts["files"]:
        raise RuntimeError(f"{root.name} holds other files than images, which image codecs do not take.")
    rows = []
    for found in peers(pictures, sample):
        rows.append(dict(vars(found)))
        click.echo(f"{root.name}, {found.codec}, {found.arrangement}: {found.bits / 8:,.0f} bytes", err=True)
    with tempfile.TemporaryDirectory() as folder:
        for names in ROWS.values():
            rows.append(ours(root, names, Path(folder), len(pictures)))
            click.echo(f"{root.name}, {OURS}, {names}: {rows[-1]['bits'] / 8:,.0f} bytes", err=True)
    return {"images": counts["images"], "samples": counts["samples"], "rows": rows}


def ours(root: Path, names: str, work: Path, count: int) -> dict[str, Any]:
    """A row of acncodec, which is compared with the directory in `modelled`."""
    found = modelled(root, names, work)
    return {
        "codec": OURS,
        "arrangement": f"names: {names}",
        "bits": 8 * found["bytes"],
        "encode_seconds": found["encode_seconds"],
        "decode_seconds": found["decode_seconds"],
        "measured_on": count,
        "streams": 1,
        "model_bytes": sum(model["bytes"] for model in found["models"] if model["elements"]),
    }


def versions() -> str:
    """Versions of the libraries behind the classical codecs."""
    found = [f"Pillow {PIL.__version__}", f"libwebp {features.version('webp')}", f"zlib {features.version('zlib')}"]
    if classical.imagecodecs is not None:
        found += [f"imagecodecs {classical.imagecodecs.__version__}", classical.imagecodecs.jpegxl_version()]
    if classical.zstandard is not None:
        found.append(f"zstd {'.'.join(map(str, classical.zstandard.ZSTD_VERSION))}")
    return ", ".join(found)


# Results


def title(row: dict[str, Any]) -> str:
    return f"{row['codec']}, {row['arrangement']}"


def speed(row: dict[str, Any], way: str, images: int) -> float:
    """Images a second, `way` being encode or decode."""
    return images / row[f"{way}_seconds"]


def colour(row: dict[str, Any]) -> str:
    return COLOURS[row["codec"].split()[0]]


def point(row: dict[str, Any], result: dict[str, Any]) -> tuple[float, float]:
    """Where a row stands in the plot: images a second of decoding, bits a sample."""
    return speed(row, "decode", result["images"]), row["bits"] / result["samples"]


def markdown(results: dict[str, Any]) -> str:
    """The result page."""
    lines = [PREAMBLE, "![Size against the speed of decoding](peers.png)"]
    for name, result in results.items():
        images, samples = result["images"], result["samples"]
        yardstick = next(row for row in result["rows"] if (row["codec"], row["arrangement"]) == YARDSTICK)
        lines += [
            "",
            f"## {name}, {images:,} images of {samples:,} samples",
            "",
            "| | bits | bits/image | bits/sample | with models | encode images/s (of WebP's) | decode images/s (of WebP's) "
            "| measured on |",
            "|---" * 8 + "|",
        ]
        for row in sorted(result["rows"], key=lambda row: row["bits"]):
            cells = [f"**{title(row)}**" if row["codec"] == OURS else title(row), f"{row['bits']:,}"]
            cells += [f"{row['bits'] / images:,.1f}", f"{row['bits'] / samples:.4f}"]
            cells.append(f"{(row['bits'] + 8 * row['model_bytes']) / samples:.4f}" if "model_bytes" in row else "")
            for way in ("encode", "decode"):
                own, webp = (speed(each, way, images) for each in (row, yardstick))
                cells.append(f"{own:,.0f} ({own / webp:.3g}x)")
            cells.append(f"{row['measured_on']:,}" if row["measured_on"] < images else "all")
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *(f"- {note}" for note in result["missing"])]
        lines.append("- " + "; ".join(f"{key}: {value}" for key, value in result["provenance"].items()))
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """One panel a set: bits a sample against images a second of decoding."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    figure, grid = pyplot.subplots(rows, columns, figsize=(6.5 * columns, 4.4 * rows), layout="constrained", squeeze=False)
    for panel, (name, result) in zip(grid.flat, results.items(), strict=False):
        for row in result["rows"]:
            mine = row["codec"] == OURS
            marker = "*" if mine else MARKERS[row["arrangement"]]
            panel.plot(*point(row, result), marker, color=colour(row), markersize=11 if mine else 6)
        panel.set_xscale("log")
        panel.margins(0.18)
        panel.set_title(f"{name}, {result['images']:,} images", fontsize=11)
        panel.set_xlabel("decoded images a second")
        panel.set_ylabel("bits a sample")
        panel.grid(alpha=0.25)
    for panel in grid.flat[len(results) :]:
        panel.axis("off")
    figure.suptitle(
        "Smaller is down, faster is right. Stars: acncodec, whole processes, all cores; others: in memory, one thread"
    )
    figure.canvas.draw()  # labels need to know where the points came to lie
    figure.set_layout_engine("none")
    for panel, result in zip(grid.flat, results.values(), strict=False):
        label(panel, result)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def label(panel: Any, result: dict[str, Any]) -> None:
    """Name every point, beside it, or farther away with a line to it, where the words overlap nothing."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    renderer = panel.figure.canvas.get_renderer()
    places = [point(row, result) for row in result["rows"]]
    size = 10 * panel.figure.dpi / 72  # of a marker, in pixels
    taken = [Bbox.from_bounds(x - size / 2, y - size / 2, size, size) for x, y in panel.transData.transform(places)]
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    offsets = [(radius * np.cos(turn), radius * np.sin(turn)) for radius in range(9, 140, 6) for turn in turns]
    for row, place in zip(result["rows"], places, strict=True):
        words = panel.annotate(
            title(row),
            place,
            textcoords="offset points",
            xytext=offsets[0],
            fontsize=8,
            color=colour(row),
            fontweight="bold" if row["codec"] == OURS else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour(row), "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
        )
        words.update_positions(renderer)
        for x, y in offsets:
            words.set_position((x, y))
            words.set_horizontalalignment("left" if x > 1 else "right" if x < -1 else "center")
            box = Text.get_window_extent(words, renderer)  # of the words alone, without the line
            inside = panel.bbox.contains(*box.min) and panel.bbox.contains(*box.max)
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)


@click.command()
@click.option(
    "--sets", multiple=True, type=click.Choice(SETS), help="Which to run anew; may be repeated. Missing ones else."
)
@click.option(
    "--limit", default=LIMIT, show_default=True, type=click.IntRange(min=2), help="Images of a set, evenly spread."
)
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(sets: tuple[str, ...], limit: int, output: Path) -> None:
    """Measure the sets one after the other, and write the results after each."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "peers.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in sets or [each for each in SETS if known.get(each, {}).get("limit") != limit]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, name)
            make_set(name, root, limit)
            found = measure(root)
        threads = f"{torch.get_num_threads()} for {OURS}, 1 for all others"
        about = {**provenance(), "libraries": versions(), "threads": threads}
        known[name] = {"limit": limit, **found, "missing": classical.missing(), "provenance": about}
        results = {each: known[each] for each in SETS if each in known}
        write_result(path, results, markdown(results))
        plot(results, output / "peers.png")
    click.echo((output / "peers.md").read_text())


if __name__ == "__main__":
    main()
