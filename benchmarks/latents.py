"""Latents of each bundled model on its test set: costs in nats per image, and class information in codes.

    python -m benchmarks.latents [--images N]

Residual and KL are theoretical code lengths along a tour of the test images, greedy (as the paper's) and improved, and the
KL under the unconditional prior. The accuracy of a logistic regression from codes to labels, fitted on training images,
measures the information in codes (ACN, section 4.2). Needs `mnist/` and `cifar10/` in the folder that ACNCODEC_DATA names.
Writes latents.json and .md to benchmarks/results/.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acncodec import bundled
from acncodec.analysis.costs import costs
from acncodec.coding.protocol import encode
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, mnist_labels
from benchmarks.directory_sets import cifar10
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
MODELS = ("mnist-1bit", "mnist-8bit", "photo-rgb")
PROBE_IMAGES = 20_000  # of the training set, for the classifier
PAPER = {"kl_greedy": 3.6, "kl_unconditional": 10.6, "accuracy": 0.985}  # of MNIST


def data(name: str, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, H, W, C] and labels of `train` or `test`."""
    if name == "photo-rgb":
        return cifar10(part)
    images = mnist(part)
    if name == "mnist-1bit":
        images = binarise(images, BINARISE_SEEDS[part])
    return images[..., None], mnist_labels(part)


def measure(name: str, count: int | None) -> dict[str, Any]:
    model = bundled.find(name)
    images, labels = data(name, "test")
    train, train_labels = data(name, "train")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(encode(model, train[:PROBE_IMAGES]), train_labels[:PROBE_IMAGES])
    found = costs(model, images[:count])
    accuracy = float(probe.score(encode(model, images[:count]), labels[:count]))
    return {**asdict(found), "order": found.order, "accuracy": accuracy}


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
            f"| {row['kl_unconditional']:.2f} | {row['order']:.2f} | {row['accuracy']:.2%} |"
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
        write_result(RESULTS / "latents", results, markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
