"""MNIST for the benchmarks, as arrays or as PNG files, in 8-bit grey or binarised once with fixed seeds."""

import os
from pathlib import Path
from typing import Literal

import click
import numpy as np
from PIL import Image

Split = Literal["train", "test"]

DATA_VARIABLE = "ACNCODEC_DATA"
DOWNLOADS = Path("~/.cache/acncodec/data")
BINARISE_SEEDS: dict[Split, int] = {"train": 0, "test": 1}


def mnist(split: Split, data: str | None = None) -> np.ndarray:
    """Images of one split in the published order: uint8 [N, 28, 28], 0 (ground) to 255 (ink); N is 60,000 or 10,000.

    They come from `mnist/{split}.npz` in the folder `data`, else in the one that ACNCODEC_DATA names, else from the
    public download that torchvision keeps in ~/.cache/acncodec/data.
    """
    return _load(split, data)[0]


def mnist_labels(split: Split, data: str | None = None) -> np.ndarray:
    """Digits of one split in the order of `mnist`: uint8 [N], 0 to 9."""
    return _load(split, data)[1]


def binarise(images: np.ndarray, seed: int) -> np.ndarray:
    """Stochastic binarisation, drawn once (Salakhutdinov & Murray 2008): uint8 of 0 and 1, shaped as `images`.

    A pixel becomes 1 with probability value / 255. BINARISE_SEEDS holds the seeds that every reported figure uses.
    """
    return (np.random.default_rng(seed).random(images.shape) < images / 255.0).astype(np.uint8)


def write_pngs(images: np.ndarray, labels: np.ndarray | None, folder: Path | str, bilevel: bool) -> None:
    """Write uint8 [N, H, W] as `folder/<label>/<index>.png`, or `folder/all/<index>.png` without labels (integers [N]).

    The index has five digits. `bilevel` images hold 0 and 1 and become 1-bit PNGs (mode "1"), others 8-bit grey ones.
    """
    for index, image in enumerate(images):
        place = Path(folder) / ("all" if labels is None else str(labels[index]))
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.astype(bool) if bilevel else image).save(place / f"{index:05d}.png")


def _load(split: Split, data: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 28, 28] and labels uint8 [N]."""
    local = data or os.environ.get(DATA_VARIABLE)
    if not local:
        return _download(split)
    # A folder that was named but lacks the file is a mistake to report, never a reason to go to the network.
    path = Path(local) / "mnist" / f"{split}.npz"
    try:
        with np.load(path) as arrays:
            return arrays["images"], arrays["labels"]
    except (OSError, KeyError, ValueError) as error:
        raise click.ClickException(f"MNIST cannot be read from {path}: {error}.") from error


def _download(split: Split) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import MNIST  # imported here: it takes seconds, and local data does not need it

    try:
        dataset = MNIST(str(DOWNLOADS.expanduser()), train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise click.ClickException(
            f"MNIST could not be downloaded ({error}); set {DATA_VARIABLE} to a folder that holds mnist/{split}.npz."
        ) from error
    return dataset.data.numpy(), dataset.targets.numpy().astype(np.uint8)
