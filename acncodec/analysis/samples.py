"""Sampling images from a model: samples, reconstructions and daydreams (ACN, section 3.2 and Figures 1, 4 to 13).

Decoding random bits is sampling, so this runs Bob's decoder with a random generator in place of the stack.
"""

from collections.abc import Iterator

import numpy as np

from acncodec.coding.latents import pop_prior
from acncodec.coding.pixels import pop_pixels
from acncodec.coding.protocol import encode
from acncodec.exact.precision import full_precision
from acncodec.nets.model import Model


class Dice:
    """Random symbols through the interface of a `Stack`; the same seed gives the same symbols.

    A `temperature` below 1 favours likely symbols; 0 always gives the most likely one.
    """

    def __init__(self, seed: int, temperature: float = 1.0) -> None:
        self._random, self._temperature = np.random.default_rng(seed), temperature
        self.ran_dry = False

    def pop(self, frequencies: np.ndarray) -> np.ndarray:
        """Draw a symbol for each row of frequencies [n, K]: int32 [n]."""
        if self._temperature == 0:
            return frequencies.argmax(1).astype(np.int32)
        weights = np.asarray(frequencies, np.float64)
        weights = (weights / weights.max(1, keepdims=True)) ** (1 / self._temperature)
        upto = weights.cumsum(1)
        thrown = self._random.random((len(weights), 1)) * upto[:, -1:]
        return (upto <= thrown).sum(1).clip(max=weights.shape[1] - 1).astype(np.int32)

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        """`count` symbols under the same frequencies [K]: int32 [count]."""
        return self.pop(np.broadcast_to(frequencies, (count, len(frequencies))))

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Does nothing: there is no stack to return bits to."""


@full_precision()
def sample(model: Model, count: int, height: int, width: int, dice: Dice) -> np.ndarray:
    """Samples uint8 [count, height, width, colours]: a latent from the unconditional prior, then its pixels."""
    z = pop_prior(dice, count, model, None)
    return pop_pixels(dice, z, height, width, model)


@full_precision()
def reconstruct(model: Model, images: np.ndarray, dice: Dice) -> np.ndarray:
    """Reconstructions of images uint8 [N, H, W, colours] from codes alone: pixels given each code as the latent."""
    _, height, width, _ = images.shape
    return pop_pixels(dice, encode(model, images), height, width, model)


@full_precision()
def daydream(model: Model, images: np.ndarray, dice: Dice) -> Iterator[np.ndarray]:
    """Endless chains of images uint8 [N, H, W, colours], each the child of the one before (ACN, Figure 1).

    An image's code gives the prior of the next latent, and that latent the next image.
    """
    count, height, width, _ = images.shape
    while True:
        images = pop_pixels(dice, pop_prior(dice, count, model, encode(model, images)), height, width, model)
        yield images
