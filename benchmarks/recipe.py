"""Ablations of the training recipe at equal training work: short trainings that differ in one thing each.

    python -m benchmarks.recipe SET [--teraflop 20] [--only NAME]... [--list] [--device cuda]

SET is mnist-1bit, mnist-8bit or cifar10. Budgets are operations of training, three times those of the forward pass:
other work on the machine, or a slower variant, changes seconds but no result. Figures are exact code lengths of held-out
training images along their own tour. Results are kept after each experiment in benchmarks/results/recipe_SET.json and
.md; those that are there at the same budget are not run again. Needs the sets in the folder that ACNCODEC_DATA names.
"""

import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from acncodec.images.raster import Layout
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.training.data import split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.pictures import ARCHITECTURES
from acncodec.training.trainer import BATCH, COLOUR_BATCH, Budget, Report, Trainer
from benchmarks.data import BINARISE_SEEDS, binarise, mnist
from benchmarks.directory_sets import cifar10
from benchmarks.floor import operations_by_part
from benchmarks.patches import replaced
from benchmarks.provenance import provenance, write_result
from benchmarks.recipe_experiments import BASE, Experiment, experiments

RESULTS = Path(__file__).parent / "results"
CURVE_POINTS = 12
KINDS_OF_SETS = {"mnist-1bit": Layout.BILEVEL, "mnist-8bit": Layout.GREY, "cifar10": Layout.RGB}


def images_of(name: str) -> list[np.ndarray]:
    """Training images, uint8 [H, W, colours] each."""
    if name == "cifar10":
        return list(cifar10("train")[0])
    images = mnist("train")
    return list((binarise(images, BINARISE_SEEDS["train"]) if name == "mnist-1bit" else images)[..., None])


def run(
    experiment: Experiment, base: Architecture, images: list[np.ndarray], teraflop: float, device: torch.device
) -> dict[str, Any]:
    """One training and its result."""
    height, width, colours = images[0].shape
    nats_to_bits = 1 / (math.log(2) * height * width * colours)
    arch = Architecture(**{**base.to_dict(), **experiment.architecture})
    parts = operations_by_part(Networks(arch), height, width)
    forward = sum(parts.values())
    with replaced(BASE | experiment.patches):
        data = split(images)
        trainer = Trainer(arch, data, Budget(steps=1), experiment.seed, device=device)
        trainer.budget = Budget(steps=max(1, round(teraflop * 1e12 / (3 * forward * trainer.batch))))
        steps = trainer.budget.steps or 1
        curve: list[list[float]] = []

        def report(r: Report) -> None:
            curve.append([r.step, round((r.residual + r.kl) * nats_to_bits, 4), round(r.kl, 2)])
            click.echo(f"  {r.progress:4.0%} {r.images_per_second:4.0f} images/s {curve[-1]}", err=True)

        with replaced(experiment.first):
            going = trainer.run(report)
            for _ in going:
                if trainer.step >= experiment.share * steps:
                    break
        for _ in going:
            pass
        residual, kl = held_out_nats(trainer.exact_networks().to(device), data.held_out)
        kl *= experiment.latents  # what is never sent costs nothing
    thin = curve[:: max(1, len(curve) // CURVE_POINTS)]
    return {
        "title": experiment.title,
        "teraflop": teraflop,
        "images": data.count,
        "steps": steps,
        "batch": trainer.batch,
        "seconds": round(trainer.seconds),
        "decoder_weights": parts["decoder"] // (2 * height * width),
        "decoding_megaflop": forward / 1e6,
        "residual_nats": residual,
        "kl_nats": kl,
        "bits_a_value": (residual + kl) * nats_to_bits,
        "curve": thin,
        "provenance": provenance(),
    }


def markdown(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """The table, best first; KL is left out of the total where there are no latents."""
    lines = [
        f"# Recipes for {name}",
        "",
        "Held-out training images along their own tour, exact integers, averaged weights. Each row differs from `base` in "
        "one thing; all had the same training work. `base-again` shows how far runs of one recipe differ by chance.",
        "",
        "| change | bits a value | against base | residual, nats | KL, nats | Mflop an image to decode | steps |",
        "|---" * 7 + "|",
    ]
    base = rows.get("base")
    for key, row in sorted(rows.items(), key=lambda item: item[1]["bits_a_value"]):
        against = f"{row['bits_a_value'] / base['bits_a_value'] - 1:+.2%}" if base else ""
        lines.append(
            f"| {row['title']} (`{key}`) | {row['bits_a_value']:.4f} | {against} | {row['residual_nats']:.2f} "
            f"| {row['kl_nats']:.2f} | {row['decoding_megaflop']:.0f} | {row['steps']:,} x {row['batch']} |"
        )
    lines += ["", "Training batches, bits a value after so many steps:", ""]
    for key, row in rows.items():
        lines.append(f"- `{key}`: " + ", ".join(f"{bits:.4f} ({step:,})" for step, bits, _ in row["curve"]))
    lines += ["", f"All at {next(iter(rows.values()))['teraflop']:g} Tflop of training.", ""]
    made: dict[str, list[str]] = {}
    for key, row in rows.items():
        where = ", ".join(f"{name} {value}" for name, value in row["provenance"].items() if name != "command")
        made.setdefault(f"{row['images']:,} images, {where}", []).append(f"`{key}`")
    lines += [f"- {', '.join(keys)}: {where}" for where, keys in made.items()]
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("name", metavar="SET", type=click.Choice(sorted(KINDS_OF_SETS)))
@click.option("--teraflop", default=20.0, show_default=True, help="Training work of each experiment.")
@click.option("--only", multiple=True, metavar="NAME", help="Only these experiments.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--list", "show", is_flag=True, help="Name the experiments and stop.")
def main(name: str, teraflop: float, only: tuple[str, ...], device: str, show: bool) -> None:
    """Run the experiments that have no result yet."""
    base = Architecture(**ARCHITECTURES[KINDS_OF_SETS[name]])
    found = experiments(base, COLOUR_BATCH if base.colours > 1 else BATCH)
    if unknown := set(only) - set(found):
        raise click.ClickException(f"there is no experiment '{min(unknown)}'; known are {', '.join(found)}.")
    if show:
        click.echo("\n".join(f"{key}: {each.title}" for key, each in found.items()))
        return
    path = RESULTS / f"recipe_{name}.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    images = images_of(name)
    for key in only or found:
        if rows.get(key, {}).get("teraflop") == teraflop:
            continue
        click.echo(f"{name} {key}: {found[key].title}", err=True)
        rows[key] = run(found[key], base, images, teraflop, torch.device(device))
        click.echo(f"  {rows[key]['bits_a_value']:.4f} bits a value", err=True)
        write_result(path, rows, markdown(name, rows))


if __name__ == "__main__":
    main()
