"""Coding speed of this machine with each available model, on images of noise."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from acncodec import bundled
from acncodec.coding.speed import time_step

SIDE = 28
LANES = {"cpu": (64, 512), "cuda": (512, 4096)}


class Timing(NamedTuple):
    """Images of 28x28 a second, in steps of so many lanes."""

    model: str
    lanes: int
    encoded: float
    decoded: float


def timings(device: torch.device) -> Iterator[Timing]:
    """One row a model and number of lanes; pixels and codes, without planning and latents."""
    for model in bundled.candidates([], auto=True, device=device):
        for lanes in LANES[device.type]:
            for _ in range(2):  # the first time buffers are laid out and steps recorded
                step = time_step(model, lanes, SIDE, SIDE)
            yield Timing(model.name, lanes, lanes / step.encode_pixels, lanes / step.decode_pixels)
