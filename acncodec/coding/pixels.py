"""Push and pop of pixels under the decoder, symbols of all lanes interleaved pixel by pixel.

Alice sees whole images and runs the whole-image pass in batches that fit the cache; Bob runs the incremental pass.
"""

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.frequencies import BASE, digits, table
from acncodec.coding.stack import Stack
from acncodec.coding.theory import residual_bits
from acncodec.errors import DamagedError
from acncodec.nets.heads import Distribution
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.model import Model

BATCH_PIXELS = 32 * 28 * 28  # of one whole-image pass; larger batches fall out of the cache and are slower
PUSH_ROWS = 1 << 16  # symbols handed to the coder at a time


def push_pixels(stack: Stack, pixels: np.ndarray, z: np.ndarray, model: Model) -> float:
    """Alice: pixels uint8 [n, H, W, colours] given latents int16 [n, D]; Bob's first pixel is pushed last.

    Returns what theory says that it costs, in bits.
    """
    n, height, width, colours = pixels.shape
    bases = digits(model.arch.levels)
    symbols = np.stack(np.divmod(pixels, BASE) if len(bases) == 2 else [pixels])  # [digits, n, H, W, colours]
    symbols = symbols.transpose(2, 3, 4, 0, 1).reshape(-1).astype(np.int32)  # Bob's order: pixel, colour, digit, lane
    rows = np.empty((height * width, colours, len(bases), n, bases[0]))
    theory = 0.0
    size = max(1, BATCH_PIXELS // (height * width))
    for start in range(0, n, size):
        part = slice(start, start + size)
        batch = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(model.networks.device)
        distributions = model.networks.distributions(batch, model.networks.tensor(z[part]))
        theory += float(residual_bits(distributions, batch).sum())
        for colour, distribution in enumerate(distributions):
            frequencies = table(distribution)
            found = [frequencies.first()]
            if len(bases) == 2:
                found.append(frequencies.second(batch[..., colour] // BASE))
            for d, row in enumerate(found):
                rows[:, colour, d, part] = row.flatten(1, 2).transpose(0, 1).cpu().numpy()
    flat = rows.reshape(-1, bases[0])
    for end in range(len(flat), 0, -PUSH_ROWS):
        part = slice(max(0, end - PUSH_ROWS), end)
        stack.push(symbols[part], flat[part])
    return theory


def pop_pixels(stack: Stack, z: np.ndarray, height: int, width: int, model: Model) -> np.ndarray:
    """Bob: pixels uint8 [n, height, width, colours] given latents int16 [n, D], first pixel first. Raises DamagedError."""
    networks = model.networks
    latent_map = networks.latent_map(networks.tensor(z), height, width)
    decoder = IncrementalDecoder(networks.decoder, latent_map)
    pixels = torch.empty((height, width, len(z), model.arch.colours), dtype=torch.uint8)
    for row in range(height):
        decoder.start_row(row)
        for column in range(width):
            decoder.start_pixel(column)
            for colour in range(model.arch.colours):
                values = _pop_values(stack, decoder.distribution(colour), model.arch.levels)
                decoder.put(values.to(networks.device), colour)
                pixels[row, column, :, colour] = values
            if stack.ran_dry:
                raise DamagedError("the coded bits end before the images do; the archive is damaged")
    return np.ascontiguousarray(pixels.permute(2, 0, 1, 3).numpy())


def _pop_values(stack: Stack, distribution: Distribution, levels: int) -> Tensor:
    """One value of every lane: a distribution [n, ...] -> values uint8 [n]."""
    frequencies = table(distribution)
    first = torch.from_numpy(stack.pop(frequencies.first().cpu().numpy()))
    if levels == 2:
        return first.to(torch.uint8)
    second = torch.from_numpy(stack.pop(frequencies.second(first.to(distribution.logits.device)).cpu().numpy()))
    return (BASE * first + second).to(torch.uint8)
