"""Speed of this machine: steps of a schedule and prices of latents, timed on noise."""

import time
from typing import NamedTuple

import numpy as np
import torch

from acncodec.coding.candidates import History, StepImages
from acncodec.coding.element_costs import parent_bits
from acncodec.coding.latents import pop_posterior, pop_prior, push_posterior, push_prior
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.protocol import encode
from acncodec.coding.stack import Stack
from acncodec.exact.grids import LATENT_BITS
from acncodec.exact.precision import full_precision
from acncodec.kernel.decoder import available
from acncodec.nets.model import Model

SLOWER = 16  # times as many operations as take equally long, without the compiled kernel
CODES_DEVIATION = 2 << LATENT_BITS  # as training standardises codes


class StepTime(NamedTuple):
    """Seconds that a step takes Alice and Bob: for pixels and codes, and for latents, which every image has as many of."""

    encode_pixels: float
    encode_latents: float
    decode_pixels: float
    decode_latents: float


@full_precision()
def time_step(model: Model, lanes: int, height: int, width: int) -> StepTime:
    """Time a step of `lanes` images of noise, height x width. The first call of a size also pays for laying out buffers."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, model.arch.levels, (lanes, height, width, model.arch.colours), np.uint8)
    stack = Stack.seeded(64 + lanes * model.arch.code)  # more than bits-back borrows
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    codes = encode(model, pixels)
    mark()
    z = pop_posterior(stack, codes)
    mark()
    images = _images(model, lanes, height, width)
    push_pixels(stack, pixels, z, model, None if images is None else images.whole(pixels))
    mark()
    push_prior(stack, z, codes, model, codes)
    mark()
    z = pop_prior(stack, lanes, model, codes)
    mark()
    codes = encode(model, pop_pixels(stack, z, height, width, model, images=_images(model, lanes, height, width)))
    mark()
    push_posterior(stack, z, codes)
    mark()
    coded, drawn, pushed, told, asked, popped, returned = np.diff(marks).tolist()
    return StepTime(coded + pushed, drawn + told, popped, asked + returned)


def pixel_operations(model: Model) -> int:
    """Multiplications a pixel, as many as take as long with the compiled kernel: the decoder's, which are nearly all."""
    networks = model.networks
    weights = sum(product.weight.numel() for name, product in networks.products() if name.startswith("decoder."))
    return weights * (1 if available(networks) else SLOWER)


def noise_codes(model: Model, count: int) -> np.ndarray:
    """Codes int16 [count, D] of noise."""
    random = np.random.default_rng(0)
    return np.round(random.normal(0, CODES_DEVIATION, (count, model.arch.code))).astype(np.int16)


@full_precision()
def time_prices(model: Model, codes: np.ndarray) -> float:
    """Seconds for the prices of codes int16 [N, D], given parents."""
    start = time.perf_counter()
    parent_bits(model.networks, torch.from_numpy(codes), torch.from_numpy(codes[::-1].copy()))
    return time.perf_counter() - start


def _images(model: Model, lanes: int, height: int, width: int) -> StepImages | None:
    """The images as sources of copy candidates, for models that have these."""
    if not model.arch.candidates:
        return None
    return History([(lanes, height, width)], model.arch.colours).begin(lanes, height, width, None)
