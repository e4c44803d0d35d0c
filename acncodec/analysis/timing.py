"""Coding speed of this machine with each available model, on images of noise."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from acncodec import bundled
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.protocol import encode
from acncodec.coding.stack import Stack
from acncodec.exact.precision import full_precision

SIDE = 28
LANES = {"cpu": (64, 512), "cuda": (512, 4096)}


class Timing(NamedTuple):
    """Images of 28x28 a second, in steps of so many lanes."""

    model: str
    lanes: int
    encoded: float
    decoded: float


@full_precision()
def timings(device: torch.device) -> Iterator[Timing]:
    """One row a model and number of lanes; pixels and codes, without planning and latents."""
    for model in bundled.candidates([], auto=True, device=device):
        random = np.random.default_rng(0)
        for lanes in LANES[device.type]:
            pixels = random.integers(0, model.arch.levels, (lanes, SIDE, SIDE, model.arch.colours), np.uint8)
            z = np.zeros((lanes, model.arch.code), np.int16)
            stack = Stack.seeded(64)
            for _ in range(2):  # the first time buffers are laid out and steps recorded
                start = time.perf_counter()
                encode(model, pixels)
                push_pixels(stack, pixels, z, model)
                middle = time.perf_counter()
                encode(model, pop_pixels(stack, z, SIDE, SIDE, model))
                end = time.perf_counter()
            yield Timing(model.name, lanes, lanes / (middle - start), lanes / (end - middle))
