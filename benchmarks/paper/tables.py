"""The paper's tables: costs, linear classification, and staleness of Algorithm 1's stored codes."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acncodec.analysis.costs import Costs, costs
from acncodec.coding.protocol import encode
from acncodec.nets.model import Model
from benchmarks.paper.models import Variant

PROBE_IMAGES = 20_000  # of the training set, for classifiers
PCA_DIMENSIONS = 16  # as many as a code has
TOPS = (1, 5)  # where there are many classes
ITERATIONS = 200
# What the paper says of binarised MNIST: nats an image, and the share of test digits that a linear classifier tells.
PAPER = {"kl_greedy": 3.6, "kl_unconditional": 10.6, "unordered": 80.9, "ordered": 73.9, "codes": 0.985}


def cost_row(variant: Variant, found: Costs) -> dict[str, Any]:
    """A variant's costs, nats an image; None where it has no such cost."""
    kl = {f"KL, K = {k}": value for k, value in found.kl_neighbours.items()}
    kl |= {"KL, greedy tour": found.kl_greedy, "KL, improved tour": found.kl_tour}
    row: dict[str, Any] = {"model": variant.title, "residual": found.residual}
    row |= {key: value if variant.ordered else None for key, value in kl.items()}
    row["KL, unconditional"] = found.kl_unconditional if variant.latents else None
    row["ordered"] = found.ordered if variant.ordered else None
    row["unordered"] = found.unordered if variant.latents else found.residual
    row["unordered, bits a dim"] = found.bits_a_dim(row["unordered"])
    return row


def measured(model: Model, variant: Variant, images: np.ndarray) -> dict[str, Any]:
    with variant.within():
        return cost_row(variant, costs(model, images))


def paper_row() -> dict[str, Any]:
    """The paper's own values for its ACN, which was trained far longer."""
    return {
        "model": "the paper's ACN",
        "KL, greedy tour": PAPER["kl_greedy"],
        "KL, unconditional": PAPER["kl_unconditional"],
        "ordered": PAPER["ordered"],
        "unordered": PAPER["unordered"],
    }


def probe(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, truth: np.ndarray, tops: Sequence[int] = (1,)
) -> dict[str, float]:
    """By `top 1` and so on, the share of `asked` [M, D] whose label is among so many best of a logistic regression.

    It is fitted on `known` [N, D], each dimension standardised, for at most ITERATIONS of L-BFGS.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS)).fit(known, labels)
    best = classifier.classes_[np.argsort(-classifier.predict_proba(asked), 1)]
    return {f"top {top}": float((best[:, :top] == truth[:, None]).any(1).mean()) for top in tops}


def classified(
    features: dict[str, tuple[np.ndarray, np.ndarray]], labels: np.ndarray, truth: np.ndarray, tops: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each kind of features, given as those of training and of test images."""
    rows = []
    for name, (known, asked) in features.items():
        rows.append({"features": name, **probe(known, labels, asked, truth, tops)})
    return rows


def plain_features(train: np.ndarray, test: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pixels, and their first principal components, of images uint8 [N, H, W, C]."""
    known, asked = (images.reshape(len(images), -1).astype(np.float32) for images in (train, test))
    pca = PCA(PCA_DIMENSIONS, random_state=0).fit(known)
    return {
        f"PCA, {PCA_DIMENSIONS} dimensions": (pca.transform(known), pca.transform(asked)),
        "pixels": (known, asked),
    }


def code_features(model: Model, variant: Variant, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with variant.within():
        return encode(model, train), encode(model, test)


def write(rows: list[dict[str, Any]], path: Path, title: str, note: str) -> str:
    """A table as path.csv and as Markdown, which is returned."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"### {title}", "", note, "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(_shown(row.get(column)) for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
