"""What the latents of each bundled model tell, and what they cost: on its test set, in nats an image.

    python -m benchmarks.latents [--images N]

Residual and KL are theory's code lengths along a tour of the test images, greedy (as the paper's) and improved, and the
KL under the unconditional prior. A logistic regression from codes to labels, fitted on training images, tells what codes
know (ACN, section 4.2). Needs `mnist/` and `cifar10/` in the folder that ACNCODEC_DATA names. Writes latents.json and .md
to benchmarks/results/.
"""

import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acncodec import bundled
from acncodec.coding.pixels import residual_prices
from acncodec.coding.prices import posterior_offsets
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits, unconditional_kl_bits
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, mnist_labels
from benchmarks.directory_sets import cifar10
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent / "results"
MODELS = ("mnist-1bit", "mnist-8bit", "photo-rgb")
PROBE_IMAGES = 20_000  # of the training set, for the classifier
BATCH = 256
NATS = math.log(2)
PAPER = {"kl_greedy": 3.6, "kl_unconditional": 10.6, "accuracy": 0.985}  # of MNIST


def data(name: str, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, H, W, C] and labels of `train` or `test`."""
    if name == "photo-rgb":
        return cifar10(part)
    images = mnist(part)
    if name == "mnist-1bit":
        images = binarise(images, BINARISE_SEEDS[part])
    return images[..., None], mnist_labels(part)


def tour_kl(model: Model, codes: np.ndarray, effort: int) -> float:
    """Mean KL along a tour by one lane, nats an image; the first image is left out."""
    tour = torch.from_numpy(codes[plan_tour(codes, Schedule(len(codes), 1), effort)]).float()
    kl = sum(
        float(kl_bits(child, model.networks.mixture(parent)).sum())
        for child, parent in zip(tour[1:].split(1024), tour[:-1].split(1024), strict=True)
    )
    return kl * NATS / (len(codes) - 1)


def measure(name: str, count: int | None) -> dict[str, Any]:
    model = bundled.find(name)
    images, labels = data(name, "test")
    images, labels = images[:count], labels[:count]
    codes = encode(model, images)
    offsets = posterior_offsets(torch.Size(codes.shape))
    z = codes + offsets.numpy()
    parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
    residual = sum(residual_prices(images[part], z[part], model.networks).sum() for part in parts)
    unconditional = unconditional_kl_bits(torch.from_numpy(codes), torch.from_numpy(z), model.unconditional).mean()
    train, train_labels = data(name, "train")
    known = encode(model, train[:PROBE_IMAGES])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(known, train_labels[:PROBE_IMAGES])
    return {
        "images": len(images),
        "dims": images[0].size,
        "residual": float(residual) * NATS / len(images),
        "kl_greedy": tour_kl(model, codes, 1),
        "kl_tour": tour_kl(model, codes, DEFAULT_EFFORT),
        "kl_unconditional": float(unconditional) * NATS,
        "order_worth": math.lgamma(len(images) + 1) / len(images),
        "accuracy": float(probe.score(codes, labels)),
    }


def markdown(results: dict[str, Any]) -> str:
    lines = [
        "# What latents tell, and cost",
        "",
        "Nats an image, test sets. *Order* is what a set is worth less than a sequence: the most that a tour can save. "
        "*Read linearly*: the share of test images whose label a logistic regression tells from the code.",
        "",
        "| model | residual | KL, greedy tour | KL, improved tour | KL, unconditional | order | codes read linearly |",
        "|---" * 7 + "|",
    ]
    for name, row in results["models"].items():
        lines.append(
            f"| {name} | {row['residual']:,.2f} | {row['kl_greedy']:.2f} | {row['kl_tour']:.2f} "
            f"| {row['kl_unconditional']:.2f} | {row['order_worth']:.2f} | {row['accuracy']:.2%} |"
        )
    paper = f"| the paper's, MNIST | | {PAPER['kl_greedy']} | | {PAPER['kl_unconditional']} | | {PAPER['accuracy']:.1%} |"
    lines += [paper, "", *(f"- {key}: {value}" for key, value in results["provenance"].items())]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--images", default=None, type=click.IntRange(min=10), help="Only so many test images.")
def main(images: int | None) -> None:
    """Measure all models."""
    results = {"provenance": provenance(), "models": {name: measure(name, images) for name in MODELS}}
    if not images:
        (RESULTS / "latents.json").write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "latents.md").write_text(markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
