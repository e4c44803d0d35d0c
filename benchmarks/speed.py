"""Speed of every stage, relative to the machine's floors.

    python -m benchmarks.speed [--quick] [--json] [--device cuda]

Real images go through `compress` and `decompress` as the command line calls them, timed stage by stage; and steps of fixed
numbers of lanes through Alice and Bob. Floors are measured in the same process, before each run: operations of the networks
over the rate of a 2048x2048 float32 product, bytes over the rate of a copy, symbols over the coder's own rate for one long
array. Where the kernel pops symbols within its pass they count at that rate. A share is floor over time; medians of several
runs. A share above 100 % means that the compiled kernel, whose products are of 16-bit integers, outruns float32 products.

Writes speed.json, .md and .png (speed-cuda for CUDA) to benchmarks/results/, but with --quick, which measures less and
writes nothing. --json prints one object, with these keys among others:

  floor_gflops                        the float32 product, 10^9 operations a second
  encode_share_of_floor               all of encoding except file input and output: codes, tour, coding
  decode_share_of_floor               all of decoding, likewise
  coder_and_planner_share_of_decode   ANS pop, neighbours and tour over the time of decoding
  shares_by_lanes                     for each number of lanes the share of the floor of whole steps, encoding and decoding
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch

from acncodec import bundled
from acncodec.archive.header import NAMES_DROP
from acncodec.coding.latents import pop_posterior, pop_prior, push_posterior, push_prior
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.protocol import encode
from acncodec.coding.selftest import quick_selftest
from acncodec.coding.stack import Stack
from acncodec.exact.precision import full_precision
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.progress import unwatched
from acncodec.reading.decompress import decompress
from acncodec.reading.parts import Parts
from acncodec.training.data import split
from acncodec.training.trainer import Budget, Trainer
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, write_pngs
from benchmarks.directory_sets import cifar10
from benchmarks.floor import copy_rate, matmul_rate, operations, operations_by_part, symbol_rates
from benchmarks.provenance import provenance, write_result
from benchmarks.stages import DECODING, ENCODING, REST, watched

RESULTS = Path(__file__).parent / "results"
MODELS = {"mnist-1bit": 10_000, "mnist-8bit": 10_000, "photo-rgb": 4000}  # images of each
QUICK = "mnist-8bit"
WAYS = ("encode", "decode")
TRAINING_STEPS = 40
RUNS = 3  # of each case, after one to warm up
LANES = (1, 16, 64, 128, 512)
CUDA_LANES = (*LANES, 2048, 8192)
PREAMBLE = """A share of the floor is the time that the operations, bytes or symbols would take at the machine's rate,
over the time that it took: operations at the rate of a 2048x2048 float32 product, bytes at a copy's, symbols at that
of the coder on one long array, all measured in the same process. Products of the compiled kernel are of 16-bit
integers, of which the machine does more than of float32, so that shares above 100 % are possible. Medians."""
OUTSIDE = ("read", "price", "write", "check", REST)  # stages that are not Alice's and Bob's


@dataclass(frozen=True)
class Floors:
    """Rates of the machine, a second: float32 operations, bytes copied, symbols pushed and popped."""

    operations: float
    bytes: float
    pushed: float
    popped: float

    @classmethod
    def measure(cls, base: int, device: torch.device) -> "Floors":
        return cls(matmul_rate(0.6, device=device), copy_rate(), *symbol_rates(base))


def images_of(name: str, count: int) -> np.ndarray:
    """Test images for a model: uint8 [count, H, W, colours]."""
    if name == "photo-rgb":
        return cifar10()[0][:count]
    images = mnist("test")[:count, ..., None]
    return binarise(images, BINARISE_SEEDS["test"]) if name == "mnist-1bit" else images


def run_whole(name: str, images: np.ndarray, device: torch.device, folder: Path) -> dict[str, Any]:
    """Compress and decompress a directory of these images once: seconds and floors by stage, both ways."""
    root, archive, restored = folder / "in", folder / "archive", folder / "out"
    if not root.exists():
        grey = images[..., 0] if images.shape[-1] == 1 else images
        write_pngs(grey, None, root, bilevel=name == "mnist-1bit")
    model = bundled.find(name)
    model.networks.to(device)
    floors = Floors.measure(2 if model.arch.levels == 2 else 16, device)
    archive.unlink(missing_ok=True)
    with watched(ENCODING) as encoding:
        done = compress(root, archive, [model], Options(names=NAMES_DROP), unwatched)
    with watched(DECODING) as decoding, Parts(archive, device=device) as opened:
        decompress(opened, restored, overwrite=True, progress=unwatched)
    n, height, width, _ = images.shape
    parts = operations_by_part(model.networks, height, width)
    symbols = images.size * (1 if model.arch.levels == 2 else 2)
    if not decoding.seconds.get("ANS pop"):  # within the kernel's pass, at the rate of one long array
        decoding.seconds["ANS pop"] = symbols / floors.popped
        decoding.seconds["incremental pass"] -= symbols / floors.popped
    in_bytes, out_bytes = done.collection.source_bytes, archive.stat().st_size
    decoder, encoder, prior = (n * parts[key] / floors.operations for key in ("decoder", "encoder", "prior"))
    return {
        "floors": vars(floors),
        "bits_an_image": 8 * out_bytes / n,
        "encode": dict(encoding.seconds),
        "encode_floors": {
            "read": in_bytes / floors.bytes,
            "encode to codes": encoder,
            "whole-image pass": decoder,
            "ANS push": symbols / floors.pushed,
            "latents": prior,
            "write": out_bytes / floors.bytes,
        },
        "decode": dict(decoding.seconds),
        "decode_floors": {
            "latents": prior,
            "incremental pass": decoder,
            "ANS pop": symbols / floors.popped,
            "re-encode": encoder,
            "write": in_bytes / floors.bytes,
        },
    }


def shares(run: dict[str, Any]) -> dict[str, float]:
    """The main figures of one run."""
    inside = {way: sum(s for stage, s in run[way].items() if stage not in OUTSIDE) for way in ("encode", "decode")}
    network = sum(run["decode_floors"][key] for key in ("latents", "incremental pass", "re-encode"))
    planner = run["encode"].get("neighbours", 0) + run["encode"].get("tour", 0)
    return {
        "encode_share_of_floor": network / inside["encode"],
        "decode_share_of_floor": network / inside["decode"],
        "coder_and_planner_share_of_decode": (run["decode"]["ANS pop"] + planner) / inside["decode"],
    }


def by_lanes(model: Model, images: np.ndarray, lanes: int, repeats: int) -> dict[str, float]:
    """Shares of the floor of a step of so many lanes, Alice's and Bob's, everything in it included."""
    images = np.resize(images, (lanes, *images.shape[1:]))
    _, height, width, _ = images.shape
    stack = Stack.seeded(64 + lanes * model.arch.code)
    floor = lanes * operations(model, height, width) / matmul_rate(0.6, device=model.networks.device)
    times: dict[str, list[float]] = {"encode": [], "decode": []}
    for _ in range(repeats + 1):
        start = time.perf_counter()
        codes = encode(model, images)
        z = pop_posterior(stack, codes)
        push_pixels(stack, images, z, model)
        push_prior(stack, z, codes, model, codes)
        middle = time.perf_counter()
        z = pop_prior(stack, lanes, model, codes)
        found = pop_pixels(stack, z, height, width, model)
        push_posterior(stack, z, encode(model, found))
        times["encode"].append(middle - start)
        times["decode"].append(time.perf_counter() - middle)
        if not np.array_equal(found, images):
            raise RuntimeError("what was decoded is not what was encoded")
    return {way: floor / median(each[1:]) for way, each in times.items()}  # the first lays things out


def training(model: Model, images: np.ndarray) -> dict[str, float]:
    """Images a second of training steps, and their share of the floor: forward and twice as much backward."""
    _, height, width, _ = images.shape
    trainer = Trainer(model.arch, split(list(images)), Budget(steps=TRAINING_STEPS))
    rate = matmul_rate(0.6)
    times: list[float] = []
    for _ in trainer.run(lambda report: times.append(trainer.seconds), every=0.0):
        pass
    images_per_second = trainer.batch / median(np.diff(times))
    return {
        "images_per_second": images_per_second,
        "of_floor": images_per_second * 3 * operations(model, height, width) / rate,
    }


def measure(name: str, count: int, runs: int, lanes: tuple[int, ...], device: torch.device) -> dict[str, Any]:
    """Everything about one model."""
    model, images = bundled.find(name), images_of(name, count)
    quick_selftest(device)
    with tempfile.TemporaryDirectory() as folder:
        whole = [run_whole(name, images, device, Path(folder)) for _ in range(runs + 1)][1:]  # the first warms up
    with full_precision():
        steps = {str(n): by_lanes(model, images, n, max(3, runs)) for n in lanes}
    trained = {} if device.type == "cuda" else {"training": training(model, images[:2000])}
    return {
        "images": len(images),
        "bits_an_image": whole[0]["bits_an_image"],
        "floor_gflops": median(run["floors"]["operations"] for run in whole) / 1e9,
        **{key: median(shares(run)[key] for run in whole) for key in shares(whole[0])},
        "images_per_second": {way: len(images) / median(sum(run[way].values()) for run in whole) for way in WAYS},
        "shares_by_lanes": steps,
        **trained,
        "stages": {way: stages(whole, way) for way in WAYS},
    }


def stages(whole: list[dict[str, Any]], way: str) -> dict[str, dict[str, float]]:
    """Median seconds, share of all, and share of the floor where a stage has one."""
    found = {}
    total = median(sum(run[way].values()) for run in whole)
    for stage in whole[0][way]:
        row = found[stage] = {"seconds": median(run[way][stage] for run in whole)}
        row["of_all"] = row["seconds"] / total
        if stage in whole[0][f"{way}_floors"]:
            row["of_floor"] = median(run[f"{way}_floors"][stage] / run[way][stage] for run in whole)
    return found


def markdown(results: dict[str, Any]) -> str:
    lines = ["# How near the floor", "", *(f"- {key}: {value}" for key, value in results["provenance"].items())]
    lines += ["", PREAMBLE]
    for name, result in results["models"].items():
        lines += ["", f"## {name}, {result['images']:,} images, {result['bits_an_image']:.2f} bits each", ""]
        lines += [f"Float32 products: {result['floor_gflops']:.0f} * 10^9 operations a second.", ""]
        lines += ["| | share of the floor | images a second |", "|---|---|---|"]
        for way in WAYS:
            rate = result["images_per_second"][way]
            lines.append(f"| {way}, without files | {result[f'{way}_share_of_floor']:.0%} | {rate:.0f} with files |")
        share = result["coder_and_planner_share_of_decode"]
        lines += ["", f"Coder and planner take {share:.1%} of the time of decoding.", ""]
        lines += ["| lanes of a step | encode, of the floor | decode, of the floor |", "|---|---|---|"]
        lines += [f"| {n} | {row['encode']:.0%} | {row['decode']:.0%} |" for n, row in result["shares_by_lanes"].items()]
        if "training" in result:
            row = result["training"]
            lines += ["", f"Training: {row['images_per_second']:.0f} images a second, {row['of_floor']:.0%} of the floor."]
        for way in WAYS:
            lines += ["", f"| {way} | seconds | of all | of the floor |", "|---|---|---|---|"]
            for stage, row in result["stages"][way].items():
                floor = f"{row['of_floor']:.0%}" if "of_floor" in row else ""
                lines.append(f"| {stage} | {row['seconds']:.3f} | {row['of_all']:.1%} | {floor} |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Where the time goes, and what share of the floor steps of each number of lanes reach."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    models = results["models"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    names = sorted({stage for r in models.values() for way in WAYS for stage in r["stages"][way]})
    colours = dict(zip(names, pyplot.get_cmap("tab20").colors, strict=False))
    for row, (name, way) in enumerate((name, way) for name in models for way in WAYS):
        start = 0.0
        for stage, figures in models[name]["stages"][way].items():
            label = stage if stage not in left.get_legend_handles_labels()[1] else None
            left.barh(row, figures["of_all"], left=start, color=colours[stage], label=label)
            start += figures["of_all"]
    left.set_yticks(range(2 * len(models)), [f"{name}, {way}" for name in models for way in WAYS])
    left.invert_yaxis()
    left.set_xlabel("share of the time")
    left.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=4, fontsize=8, frameon=False)
    for number, (name, result) in enumerate(models.items()):
        for way, style in zip(WAYS, ("--", "-"), strict=True):
            rows = result["shares_by_lanes"]
            shares_of = [100 * rows[n][way] for n in rows]
            right.plot([int(n) for n in rows], shares_of, style, marker="o", color=f"C{number}", label=f"{name}, {way}")
    right.axhline(100, color="grey", linewidth=0.8)
    right.set_xscale("log", base=2)
    right.set_xlabel("lanes of a step")
    right.set_ylabel("% of the floor of float32 products")
    right.set_ylim(bottom=0)
    right.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--quick", is_flag=True, help="One model, fewer images; under two minutes; writes no file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def main(quick: bool, as_json: bool, device: str) -> None:
    """Measure every stage against its floor."""
    on, cuda = torch.device(device), device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise click.UsageError("there is no CUDA device here that torch can use.")
    cases = {QUICK: 2048} if quick else MODELS
    lanes = (64, 512) if quick else CUDA_LANES if cuda else LANES
    found = {}
    for name, count in cases.items():
        found[name] = measure(name, count, RUNS, lanes, on)
        click.echo(
            f"{name}: encode {found[name]['encode_share_of_floor']:.0%}, decode "
            f"{found[name]['decode_share_of_floor']:.0%} of the floor",
            err=True,
        )
    results = {"provenance": provenance(), "device": str(on), "threads": torch.get_num_threads(), "models": found}
    if not quick:
        path = RESULTS / ("speed-cuda" if cuda else "speed")
        write_result(path, results, markdown(results))
        plot(results, path.with_suffix(".png"))
    if as_json:
        click.echo(json.dumps({**found[QUICK], **results} if quick else results))
    else:
        click.echo(markdown(results))


if __name__ == "__main__":
    main()
