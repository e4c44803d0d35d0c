"""Small trainings: sizes of networks, and images with something to learn."""

import numpy as np
from conftest import architecture

from acncodec.training.data import TrainingSet, split
from acncodec.training.trainer import Budget, Trainer

SMALL = {"channels": 4, "blocks": 2, "first": 3, "features": 4, "map_planes": 2, "map_hidden": 8, "map_features": 2}
SMALL_ARCH = {**SMALL, "encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}


def stripes(count: int, side: int = 8, levels: int = 2, colours: int = 1) -> list[np.ndarray]:
    """Images [side, side, colours] with something to learn: each has a row or column that is bright, in one colour."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        image = np.zeros((side, side, colours), np.uint8)
        index = rng.integers(side)
        stripe = image[index] if rng.random() < 0.5 else image[:, index]
        stripe[:, rng.integers(colours) if colours > 1 else 0] = levels - 1
        images.append(image)
    return images


def trainer(steps: int, levels: int = 2, colours: int = 1, data: TrainingSet | None = None) -> Trainer:
    data = data or split(stripes(200, levels=levels, colours=colours))
    return Trainer(architecture(levels, colours, **SMALL_ARCH), data, Budget(steps=steps))


def run(t: Trainer) -> list[float]:
    losses: list[float] = []
    for _ in t.run(lambda r: losses.append(r.residual + r.kl), every=0.0):
        pass
    return losses
