"""Long trainings on coarse and on fine weights, at the same rates: does the loss fall to the end?

    python -m benchmarks.long_training GRID [--steps 20000]
    python -m benchmarks.long_training page

GRID is `coarse` (one power of two for a whole map, 8-bit weights, no limit in training: model format 1) or `fine` (what
`acncodec train` does). A small colour network learns 16x16 crops of CIFAR-10's training images; held-out crops are coded by
the averaged weights as integers every LOOK steps. Written to benchmarks/results/long_training_GRID.json after each look;
`page` draws what both have found so far. Needs CIFAR-10 in the folder that ACNCODEC_DATA names.
"""

import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.nets.product import Product
from acncodec.training.data import split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.trainer import Budget, Trainer
from benchmarks.directory_sets import cifar10
from benchmarks.patches import Patches, replaced
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent / "results"
LOOK = 1000  # steps between looks at held-out crops
SIDE = 16
IMAGES = 10_000
HELD_OUT = 400
COARSE_MAX = 127
ARCHITECTURE = Architecture(
    levels=256,
    colours=3,
    logistics=5,
    channels=16,
    blocks=4,
    first=5,
    features=24,
    map_hidden=48,
    encoder_features=8,
    hidden=64,
)


_choose_scale = Product.choose_scale  # replaced while the coarse grid trains


def choose_coarse_scale(product: Product) -> None:
    """Model format 1: one scale for all outputs, the finest at which all their weights fit and sums stay exact."""
    _choose_scale(product)
    product.scale.fill_(product.scale.min())


COARSE: Patches = {
    "acncodec.nets.product.Product.choose_scale": choose_coarse_scale,
    "acncodec.nets.product.Product.limit_weights": lambda product: None,
    "acncodec.nets.product.WEIGHT_MAX": COARSE_MAX,
}
GRIDS: dict[str, Patches] = {"coarse": COARSE, "fine": {}}


def crops(seed: int = 0) -> list[np.ndarray]:
    """Random crops of training images, uint8 [SIDE, SIDE, 3] each."""
    rng = np.random.default_rng(seed)
    images = cifar10("train")[0]
    found = []
    for image in (images[i] for i in rng.permutation(len(images))[:IMAGES]):
        y, x = rng.integers(0, image.shape[0] - SIDE + 1, 2)
        found.append(image[y : y + SIDE, x : x + SIDE])
    return found


def integers_of(nets: Networks) -> dict[str, list[float]]:
    """Of each decoder map: share of zero weights, root mean square of its integers, least and largest log2 of scales."""
    found = {}
    for name, product in nets.products():
        if name.startswith("decoder."):
            weight = product.weight
            zeros, rms = float((weight == 0).float().mean()), float(weight.square().mean().sqrt())
            found[name] = [round(zeros, 3), round(rms, 1), int(product.log2_scale.min()), int(product.log2_scale.max())]
    return found


@click.command()
@click.argument("grid", type=click.Choice([*GRIDS, "page"]))
@click.option("--steps", default=20_000, show_default=True)
def main(grid: str, steps: int) -> None:
    """Train on one grid, or write the page of both."""
    if grid == "page":
        results = {name: json.loads((RESULTS / f"long_training_{name}.json").read_text()) for name in GRIDS}
        (RESULTS / "long_training.md").write_text(page(results))
        return
    with replaced(GRIDS[grid]):
        data = split(crops())
        data.held_out = [group[:HELD_OUT] for group in data.held_out]
        trainer = Trainer(ARCHITECTURE, data, Budget(steps=steps))
        result: dict[str, Any] = {"grid": grid, "steps": steps, "rate": trainer.rate, "batch": trainer.batch, "curve": []}
        bits = 1 / (math.log(2) * SIDE * SIDE * 3)
        means: list[float] = []
        looked = 0
        for _ in trainer.run(lambda r: means.append((r.residual + r.kl) * bits), every=1.0):
            if trainer.step // LOOK > looked or trainer.step == steps:
                looked = trainer.step // LOOK
                nets = trainer.exact_networks()
                held_out = sum(held_out_nats(nets, data.held_out)) * bits
                result["curve"].append([trainer.step, round(float(np.mean(means)), 4), round(held_out, 4)])
                result |= {"maps": integers_of(nets), "seconds": round(trainer.seconds), "provenance": provenance()}
                click.echo(f"{grid} {result['curve'][-1]}", err=True)
                (RESULTS / f"long_training_{grid}.json").write_text(json.dumps(result, indent=1) + "\n")
                means.clear()


def page(results: dict[str, Any]) -> str:
    """Both curves side by side, and the integers at the end."""
    lines = ["# Long trainings on coarse and on fine weights", ""]
    for name, result in results.items():
        made = result["provenance"]
        lines += [
            f"- {name}: `{made['command']}`, {made['date']}, commit {made['commit']}, {made['machine']}, "
            f"{result['seconds']} s"
        ]
    lines += [
        "",
        "Bits a value of held-out crops, coded by the averaged weights as integers (in brackets: in training).",
        "",
    ]
    lines += ["| step | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    curves = [result["curve"] for result in results.values()]
    for rows in zip(*curves, strict=False):
        lines.append(f"| {rows[0][0]} | " + " | ".join(f"{held:.4f} ({trained:.4f})" for _, trained, held in rows) + " |")
    lines += ["", "The decoder's integers at the end: share of zeros, root mean square, log2 of the scales.", ""]
    lines += ["| map | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    for name in next(iter(results.values()))["maps"]:
        cells = [
            f"{zeros:.1%}, {rms}, {low} to {high}" for zeros, rms, low, high in (r["maps"][name] for r in results.values())
        ]
        lines.append(f"| {name.removeprefix('decoder.')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
