"""The fused steps: the same frequencies as the other passes, on a GPU if there is one and else in Triton's interpreter.

Compiling them for GPUs needs none; `benchmarks.fused_resources` does it and says what they take.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, CUDA, architecture, make_pngs, needs_cuda, packed, snapshot, tiny_model, unpacked

from acncodec.coding import fusing
from acncodec.coding import steps as steps_module
from acncodec.coding.fusing import agree, fused_steps
from acncodec.coding.passes import by_steps, whole_image
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.selftest import fixed_networks, pseudo_random
from acncodec.coding.stack import Stack
from acncodec.coding.steps import TensorSteps
from acncodec.exact.grids import LATENT_MAX
from acncodec.nets.architecture import CANDIDATES
from acncodec.nets.graphs import Recorder, recorder
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

pytest.importorskip("triton", reason="no Triton, which PyTorch's builds for CUDA bring along")
from acncodec.fused import decoder
from acncodec.fused.decoder import FusedSteps, exact_dtype, fits, sums_are_exact
from acncodec.fused.layout import Packed, padded

DEVICE = torch.device("cuda" if CUDA else "cpu")
SMALL = {"channels": 6, "blocks": 2, "first": 3, "features": 5, "map_planes": 2, "map_hidden": 8, "map_features": 2}
SMALL |= {"encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}
# Levels, colours, logistics, other sizes, whether weights are fine, and lanes, height, width
CASES: list[tuple[int, int, int, dict[str, int], bool, tuple[int, int, int]]] = [
    (2, 1, 0, {"first": 7}, False, (3, 5, 6)),
    (2, 1, 0, {"blocks": 1, "channels": 17}, True, (17, 2, 3)),
    (2, 1, 0, {"blocks": 4, "kernel": 5, "channels": 16, "features": 33}, True, (1, 4, 5)),
    (256, 1, 0, {"first": 5}, True, (16, 3, 4)),
    (256, 1, 3, {}, False, (2, 3, 3)),
    (256, 1, 17, {"centres": 5}, True, (2, 2, 3)),
    (256, 3, 2, {}, True, (2, 3, 3)),
    (256, 4, 6, {"centres": 5}, False, (2, 2, 3)),
]


def case_of(
    levels: int, colours: int, logistics: int, sizes: dict[str, int], fine: bool, shape: tuple[int, ...]
) -> tuple[Networks, np.ndarray, np.ndarray]:
    """Networks on DEVICE; pixels, of which some equal their neighbours; latents."""
    arch = architecture(levels, colours, logistics, softmax=not logistics, **{**SMALL, **sizes})
    networks = fixed_networks(arch, fine).to(DEVICE)
    pixels = pseudo_random("x", int(np.prod(shape)) * colours, 0, levels - 1).astype(np.uint8).reshape(*shape, colours)
    pixels[:, :, 1::2] = np.where(pixels[:, :, 1::2] % 2, pixels[:, :, 1::2], pixels[:, :, : pixels.shape[2] // 2 * 2 : 2])
    pixels[0] = levels - 1
    z = pseudo_random("z", shape[0] * arch.code, -LATENT_MAX, LATENT_MAX).reshape(shape[0], -1).astype(np.int16)
    return networks, pixels, z


@pytest.mark.parametrize(("levels", "colours", "logistics", "sizes", "fine", "shape"), CASES)
def test_fused_steps_give_the_frequencies_of_the_whole_image_pass(
    levels: int, colours: int, logistics: int, sizes: dict[str, int], fine: bool, shape: tuple[int, int, int]
) -> None:
    networks, pixels, z = case_of(levels, colours, logistics, sizes, fine, shape)
    steps = FusedSteps(networks, *shape, recorder(DEVICE))
    steps.load(z)
    for found, want in zip(by_steps(steps, pixels, levels), whole_image(networks, pixels, z), strict=True):
        assert np.array_equal(found, want)


def test_float32_weights_and_other_images_change_nothing() -> None:
    networks, pixels, z = case_of(256, 3, 2, {}, True, (2, 2, 3))
    steps = FusedSteps(networks, *pixels.shape[:3], recorder(DEVICE), torch.float32)
    for _ in range(2):
        steps.load(z)
        for found, want in zip(by_steps(steps, pixels, 256), whole_image(networks, pixels, z), strict=True):
            assert np.array_equal(found, want)
        pixels, z = pixels[::-1].copy(), z[::-1].copy()
