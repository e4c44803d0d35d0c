"""Writes pieces of large photographs to train on: what `photo-large` is made of.

    python -m benchmarks.large_photos DIRECTORY
    acncodec train DIRECTORY -o photo-large.safetensors --from photo-rgb --minutes 14

A camera's photograph is smooth from one pixel to the next, with noise; small photographs are not. No large photographs are
available for training, so training images of CIFAR-10 and of the ImageNet stand-in are enlarged two- to tenfold, a piece of
each is cut out, and noise is added. Needs `cifar10/` and `imagenet32/` in the folder that ACNCODEC_DATA names.
"""

from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.directory_sets import sheets

COUNT = 24_000
SIDE = 32
SCALES = (2.0, 10.0)
NOISE = (0.3, 4.0)  # deviation, in levels


def piece(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A piece uint8 [32, 32, 3] of an image uint8 [32, 32, 3] blown up."""
    side = round(SIDE * random.uniform(*SCALES))
    top, left = random.integers(0, side - SIDE + 1, 2)
    box = [value * SIDE / side for value in (left, top, left + SIDE, top + SIDE)]
    large = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    noise = random.normal(0, random.uniform(*NOISE), (SIDE, SIDE, 3))
    return np.clip(np.asarray(large) + noise, 0, 255).round().astype(np.uint8)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def main(directory: Path) -> None:
    """Write COUNT PNG files into DIRECTORY, the same at every run."""
    directory.mkdir(parents=True)
    images = np.concatenate([sheets(name, "train") for name in ("cifar10", "imagenet32")])
    random = np.random.default_rng(0)
    for number, index in enumerate(random.choice(len(images), COUNT, replace=False)):
        Image.fromarray(piece(images[index], random)).save(directory / f"{number:05d}.png")


if __name__ == "__main__":
    main()
