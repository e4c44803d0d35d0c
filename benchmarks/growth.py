"""Time, memory and bits against the number of images and against their side.

    python -m benchmarks.growth [--most 60000]

`acncodec compress --names drop` and `decompress`, each in a process of its own, on the first N binarised MNIST training
images as 1-bit PNG files (models were trained on these: the bits show growth only), and on 8 square crops of
scikit-learn's two sample photographs, stacked, for sides from 16 to 512. The planner alone, to a million codes, is in
planner.md. Writes growth.json, .md and .png to benchmarks/results/.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.commands import acncodec
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, write_pngs
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
COUNTS = (100, 300, 1000, 3000, 10_000, 30_000, 60_000)
SIDES = (16, 32, 64, 128, 256, 512)
CROPS = 8


def make_digits(root: Path, count: int) -> None:
    write_pngs(binarise(mnist("train"), BINARISE_SEEDS["train"])[:count], None, root, bilevel=True)


def make_crops(root: Path, side: int) -> None:
    """CROPS squares, evenly spread over both photographs on top of each other."""
    photographs = np.concatenate(load_sample_images().images)
    height, width, _ = photographs.shape
    root.mkdir()
    for number in range(CROPS):
        top, left = (height - side) * number // (CROPS - 1), (width - side) * (number * 3 % CROPS) // (CROPS - 1)
        Image.fromarray(photographs[top : top + side, left : left + side]).save(root / f"{number}.png")


def measure(root: Path, images: int, values: int) -> dict[str, float]:
    """One directory, in and out."""
    archive, restored = root.with_suffix(".acn"), root.with_suffix(".out")
    _, encode_seconds, encode_rss = acncodec("compress", "--names", "drop", "--json", root, archive)
    _, decode_seconds, decode_rss = acncodec("decompress", archive, restored)
    size = archive.stat().st_size
    shutil.rmtree(restored)
    return {
        "images": images,
        "values": values,
        "bits_an_image": 8 * size / images,
        "bits_a_value": 8 * size / values,
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "encode_mib": encode_rss,
        "decode_mib": decode_rss,
    }


def markdown(results: dict[str, Any]) -> str:
    lines = ["# Growth", "", *(f"- {key}: {value}" for key, value in results["provenance"].items()), ""]
    lines += ["Whole commands, start-up included. Digits are 28x28 and 1 bit; crops are 8 a side, RGB.", ""]
    for title, key in (("Number of digits", "counts"), ("Side of crops", "sides")):
        lines += [
            f"| {title} | encode s | decode s | encode MiB | decode MiB | bits an image | bits a value |",
            "|---" * 7 + "|",
        ]
        for size, row in results[key].items():
            lines.append(
                f"| {int(size):,} | {row['encode_seconds']:.1f} | {row['decode_seconds']:.1f} | {row['encode_mib']:.0f} "
                f"| {row['decode_mib']:.0f} | {row['bits_an_image']:.2f} | {row['bits_a_value']:.4f} |"
            )
        lines.append("")
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path) -> None:
    """Seconds, memory and bits, above against the number of images, below against the pixels of one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(12, 7), layout="constrained")
    for row, (key, label) in enumerate((("counts", "images of 28x28"), ("sides", f"pixels of each of {CROPS} images"))):
        sizes = [int(size) if key == "counts" else int(size) ** 2 for size in results[key]]
        found = list(results[key].values())
        for column, (unit, names) in enumerate(
            (
                ("seconds", ("encode_seconds", "decode_seconds")),
                ("MiB", ("encode_mib", "decode_mib")),
                ("bits", ("bits_a_value",)),
            )
        ):
            axis = axes[row][column]
            for name in names:
                axis.plot(
                    sizes, [each[name] for each in found], marker="o", label=name.split("_")[0] if len(names) > 1 else None
                )
            if unit == "seconds":
                last = found[-1]["decode_seconds"]
                axis.plot(sizes, [last * size / sizes[-1] for size in sizes], ":", color="grey", label="in proportion")
                axis.set_yscale("log")
            axis.set_xscale("log")
            axis.set_xlabel(label)
            axis.set_ylabel("bits a value" if unit == "bits" else unit)
            axis.set_ylim(bottom=None if unit == "seconds" else 0)
            if len(names) > 1:
                axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--most", default=COUNTS[-1], show_default=True, help="Digits at most.")
def main(most: int) -> None:
    """Measure all sizes."""
    counts: dict[str, Any] = {}
    sides: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (n for n in COUNTS if n <= most):
            root = Path(folder, f"digits-{count}")
            make_digits(root, count)
            counts[str(count)] = measure(root, count, count * 28 * 28)
            click.echo(f"{count:,} digits: {counts[str(count)]}", err=True)
            shutil.rmtree(root)
        for side in SIDES:
            root = Path(folder, f"crops-{side}")
            make_crops(root, side)
            sides[str(side)] = measure(root, CROPS, CROPS * side * side * 3)
            click.echo(f"side {side}: {sides[str(side)]}", err=True)
    results = {"provenance": provenance(), "counts": counts, "sides": sides}
    write_result(RESULTS / "growth", results, markdown(results))
    plot(results, RESULTS / "growth.png")
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
