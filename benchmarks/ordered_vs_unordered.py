"""Real file bits per image, ordered and unordered, compared with theory and classical codecs: MNIST and CIFAR-10 test sets.

    python -m benchmarks.ordered_vs_unordered [--images 10000] [--data FOLDER] [--skip-classical]

The images lie in folders by class. Four files per set: *set* (names dropped, images restored in tour order), *folders*
(every image restored to its folder), *named* (every path restored) and *unordered* (names dropped, latents under the
unconditional prior, images in their given order). Every file is decoded and compared. Writes ordered_vs_unordered.md and
.json to benchmarks/results/.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from acncodec import bundled
from acncodec.analysis import classical
from acncodec.analysis.costs import NATS, NEIGHBOURS, kl_to_neighbours
from acncodec.archive.header import NAMES_DROP, NAMES_FOLDERS, NAMES_KEEP
from acncodec.block.elements import Group
from acncodec.block.plan import GroupPlan, PlanOptions, Way, latent_bits, plan_block
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.progress import unwatched
from acncodec.reading.decompress import decompress
from acncodec.reading.info import describe
from acncodec.reading.parts import Parts
from benchmarks.data import BINARISE_SEEDS, DATA_VARIABLE, binarise, mnist, mnist_labels, write_pngs
from benchmarks.directory_sets import cifar10
from benchmarks.floor import matmul_rate, operations
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
MODELS = {"mnist-1bit": "mnist-1bit", "mnist-8bit": "mnist-8bit", "cifar10": "photo-rgb"}
FILES = {
    "set": (NAMES_DROP, Way.TOUR),
    "folders": (NAMES_FOLDERS, None),
    "named": (NAMES_KEEP, None),
    "unordered": (NAMES_DROP, Way.UNORDERED),
}
COLOUR_NOTE = "No classical codecs here: those of this page take grey images, and directories.md has others on these files."


def load(count: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """The first `count` images and labels of each set, uint8 [N, H, W] or [N, H, W, 3] and integers [N].

    And a sentence for each set that is left out. Raises ClickException if a folder was named that lacks MNIST.
    """
    grey, labels = mnist("test"), mnist_labels("test")
    bilevel = binarise(grey, BINARISE_SEEDS["test"])
    found = {"mnist-1bit": (bilevel, labels), "mnist-8bit": (grey, labels)}
    notes = []
    if os.environ.get(DATA_VARIABLE):
        found["cifar10"] = cifar10()
    else:
        notes.append(f"cifar10 is left out: no folder that holds it was named by --data or {DATA_VARIABLE}.")
    return {title: (images[:count], labels[:count]) for title, (images, labels) in found.items()}, notes


def plan(model: Model, images: np.ndarray) -> GroupPlan:
    """The tour through all images, uint8 [N, H, W, colours], as one block."""
    group = Group(0, *images.shape[1:3])
    return plan_block([model], {group: images}, {group: np.arange(len(images))}, 0.0, PlanOptions(only=Way.TOUR)).groups[
        group
    ]


def theory(plan: GroupPlan, residual: float) -> dict[str, float]:
    """Bits an image: KL to one of the K nearest, along the tour, and unconditional; and the residual."""
    count = len(plan.codes)
    by_count = kl_to_neighbours(plan.model, plan.codes, NEIGHBOURS)
    result = {f"KL, K={k}": nats / NATS for k, nats in by_count.items()}
    result["KL along the tour"] = latent_bits(plan, Way.TOUR) / count
    result["KL unconditional"] = latent_bits(plan, Way.UNORDERED) / count
    result["residual"] = residual
    return result


def images_below(root: Path, names: int) -> list[tuple[str, str, tuple[int, int], bytes]]:
    """All files of a directory, sorted: as much of the path as `names` (NAMES_*) keeps, mode, size and pixels."""
    found = []
    for path in root.rglob("*"):
        if path.is_file():
            name = path.relative_to(root)
            kept = {NAMES_KEEP: str(name), NAMES_FOLDERS: str(name.parent), NAMES_DROP: ""}[names]
            with Image.open(path) as image:
                found.append((kept, image.mode, image.size, image.tobytes()))
    return sorted(found)


def run_file(source: Path, folder: Path, name: str, model: Model) -> dict[str, Any]:
    """Seconds and description of one of FILES, made of `source` and unpacked in `folder`.

    Raises RuntimeError if the images that come back are others, or the ledger does not add up.
    """
    names, way = FILES[name]
    target, restored = folder / "out.acn", folder / name
    start = time.perf_counter()
    compress(source, target, [model], Options(names=names, way=way, overwrite=True), unwatched)
    encoded = time.perf_counter()
    with Parts(target) as archive:
        decompress(archive, restored, progress=unwatched)
        decoded = time.perf_counter()
        described = describe(archive, [])
    if images_below(source, names) != images_below(restored, names):
        raise RuntimeError(f"the file '{name}' did not give back the images it was given")
    if not sum(line["bits"] for line in described["ledger"]) == described["file_bits"] == 8 * target.stat().st_size:
        raise RuntimeError(f"the ledger of the file '{name}' does not add up to its size")
    return {"encode_seconds": encoded - start, "decode_seconds": decoded - encoded, "described": described}


def account(name: str, run: dict[str, Any], count: int, dims: int, model: Model, floor: float) -> dict[str, Any]:
    """A row of the table, of a run with `count` images of `dims` sub-pixels; `floor` in images a second."""
    described = run["described"]
    bits = described["file_bits"]
    ledger = {line["part"]: line for line in described["ledger"]}
    # Of names, and of images that are cheaper as WebP, theory knows nothing: they count as what they are.
    ideal = sum(ledger[part]["theory_bits"] for part in ("residual", "latent", "order"))
    ideal += ledger["names"]["bits"] + ledger["stored files"]["bits"]
    encode, decode = count / run["encode_seconds"], count / run["decode_seconds"]
    return {
        "file": name,
        "order": ", ".join(described["orders"]),
        "modelled": described["images"],
        "bits_per_image": bits / count,
        "bits_per_sub_pixel": bits / count / dims,
        "theory_bits_per_image": ideal / count,
        "measured_minus_theory": bits / ideal - 1,
        "ends_and_state": (ledger["schedule ends"]["bits"] + ledger["coder state"]["bits"]) / bits,
        "with_model_bits_per_image": (bits + 8 * model.size) / count,
        "encode_images_per_second": encode,
        "decode_images_per_second": decode,
        "encode_share_of_floor": encode / floor,
        "decode_share_of_floor": decode / floor,
        "residual_theory_bits_per_image": ledger["residual"]["theory_bits"] / described["images"],
        "ledger": described["ledger"],
    }


def run_set(images: np.ndarray, labels: np.ndarray, model: Model, skip_classical: bool) -> dict[str, Any]:
    """All figures of one set, uint8 [N, H, W] or [N, H, W, 3]."""
    count, height, width, *colours = images.shape
    bilevel = model.arch.levels == 2
    dims = images[0].size
    rate = matmul_rate()
    floor = rate / operations(model, height, width)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "images")
        write_pngs(images, labels, source, bilevel)
        for name in FILES:
            rows.append(account(name, run_file(source, Path(folder), name, model), count, dims, model, floor))
            click.echo(f"{name}: {rows[-1]['bits_per_image']:.3f} bits an image", err=True)
    peers, notes = [], []
    if not skip_classical:
        peers = [] if colours else classical.measure(images, bilevel)
        notes = [COLOUR_NOTE] if colours else classical.missing()
    planned = plan(model, images.reshape(count, height, width, -1))
    return {
        "images": count,
        "model": {"name": model.name, "bytes": model.size, "bits_per_image": 8 * model.size / count},
        "floor": {"matmul_gflops": rate / 1e9, "images_per_second": floor},
        "files": rows,
        "theory_bits_per_image": theory(planned, rows[0]["residual_theory_bits_per_image"]),
        "classical": [
            {
                "codec": peer.codec,
                "arrangement": peer.arrangement,
                "bits_per_image": peer.bits / count,
                "bits_per_sub_pixel": peer.bits / count / dims,
                "encode_images_per_second": count / peer.encode_seconds,
                "decode_images_per_second": count / peer.decode_seconds,
                "measured_on": peer.measured_on,
            }
            for peer in peers
        ],
        "classical_missing": notes,
    }


def markdown(results: dict[str, Any]) -> str:
    """The result page."""
    lines = ["# Ordered against unordered, test sets of MNIST and CIFAR-10", ""]
    lines += [f"- {key}: {value}" for key, value in results["provenance"].items()]
    lines += [f"- {note}" for note in results["left_out"]]
    for title, result in results["sets"].items():
        model = result["model"]
        lines += ["", f"## {title}, {result['images']:,} images", ""]
        lines += [
            f"Model `{model['name']}`, {model['bytes']:,} bytes ({model['bits_per_image']:.1f} bits an image, not in the "
            f"files). Floor: {result['floor']['matmul_gflops']:.0f} GFLOP/s of a 2048x2048 float32 product give "
            f"{result['floor']['images_per_second']:.0f} images/s.",
            "",
            "| file | sent in order of | bits/image | bits/sub-pixel | theory | measured - theory | ends + state "
            "| with model | encode images/s (of floor) | decode images/s (of floor) |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {f['file']} | {f['order']} | {f['bits_per_image']:.3f} | {f['bits_per_sub_pixel']:.4f} "
            f"| {f['theory_bits_per_image']:.3f} | {f['measured_minus_theory']:+.3%} | {f['ends_and_state']:.3%} "
            f"| {f['with_model_bits_per_image']:.1f} "
            f"| {f['encode_images_per_second']:.0f} ({f['encode_share_of_floor']:.0%}) "
            f"| {f['decode_images_per_second']:.0f} ({f['decode_share_of_floor']:.0%}) |"
            for f in result["files"]
        ]
        modelled = result["files"][0]["modelled"]
        if modelled < result["images"]:
            lines += ["", f"Modelled are {modelled:,} of the images: others are duplicates, or cheaper as WebP."]
        lines += ["", "| theory | bits/image | nats/image |", "|---|---|---|"]
        lines += [f"| {k} | {v:.3f} | {v * np.log(2):.3f} |" for k, v in result["theory_bits_per_image"].items()]
        if result["classical"]:
            lines += [
                "",
                "| classical codec | arrangement | bits/image | bits/sub-pixel | encode images/s | decode images/s |",
                "|---" * 6 + "|",
            ]
            for peer in sorted(result["classical"], key=lambda p: p["bits_per_image"]):
                sampled = f" (measured on {peer['measured_on']:,})" if peer["measured_on"] < result["images"] else ""
                lines.append(
                    f"| {peer['codec']} | {peer['arrangement']}{sampled} | {peer['bits_per_image']:.2f} "
                    f"| {peer['bits_per_sub_pixel']:.4f} | {peer['encode_images_per_second']:,.0f} "
                    f"| {peer['decode_images_per_second']:,.0f} |"
                )
        if result["classical_missing"]:
            lines += ["", *(f"- {note}" for note in result["classical_missing"])]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--images", default=10_000, show_default=True, help="How many of the test images, from the first on.")
@click.option("--data", help="Folder with mnist/ and cifar10/; else $ACNCODEC_DATA, else torchvision's MNIST alone.")
@click.option("--skip-classical", is_flag=True, help="Leave the classical codecs out.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(images: int, data: str | None, skip_classical: bool, output: Path) -> None:
    """Measure all sets and write the results."""
    if data:
        os.environ[DATA_VARIABLE] = data  # CIFAR-10 is looked for nowhere else
    sets, left_out = load(images)
    results: dict[str, Any] = {"provenance": provenance(), "left_out": left_out, "sets": {}}
    for title, (pixels, labels) in sets.items():
        results["sets"][title] = run_set(pixels, labels, bundled.find(MODELS[title]), skip_classical)
    page = markdown(results)
    click.echo(page)
    write_result(output / "ordered_vs_unordered", results, page)


if __name__ == "__main__":
    main()
