"""Push and pop of pixels under the decoder, symbols of all lanes interleaved pixel by pixel.

Alice sees whole images and runs the whole-image pass in batches that fit the cache; Bob runs the incremental pass.
"""

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.frequencies import digits, first_digit, second_digit, softmax
from acncodec.coding.stack import Stack
from acncodec.coding.theory import residual_bits
from acncodec.errors import DamagedError
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.model import Model

BATCH_PIXELS = 32 * 28 * 28  # of one whole-image pass; larger batches fall out of the cache and are slower
PUSH_ROWS = 1 << 16  # symbols handed to the coder at a time


def push_pixels(stack: Stack, pixels: np.ndarray, z: np.ndarray, model: Model) -> float:
    """Alice: pixels uint8 [n, H, W] given latents int16 [n, D]; Bob's first pixel is pushed last.

    Returns what theory says that it costs, in bits.
    """
    n, height, width = pixels.shape
    bases = digits(model.arch.levels)
    symbols = np.stack(np.divmod(pixels, 16) if len(bases) == 2 else [pixels]).astype(np.int32)  # [digits, n, H, W]
    symbols = symbols.transpose(2, 3, 0, 1).reshape(-1)  # Bob's order: pixel, digit, lane
    table = np.empty((height * width, len(bases), n, bases[0]), dtype=np.int32)
    theory = 0.0
    size = max(1, BATCH_PIXELS // (height * width))
    for start in range(0, n, size):
        part = slice(start, start + size)
        batch = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(model.networks.device)
        logits = model.networks.logits(batch, model.networks.tensor(z[part]))
        theory += float(residual_bits(logits, batch).sum())
        frequencies = softmax(logits)
        rows = [first_digit(frequencies)]
        if len(bases) == 2:
            rows.append(second_digit(frequencies, batch >> 4))
        for d, row in enumerate(rows):
            table[:, d, part] = row.flatten(1, 2).transpose(0, 1).cpu().numpy()
    flat = table.reshape(-1, bases[0])
    for end in range(len(flat), 0, -PUSH_ROWS):
        part = slice(max(0, end - PUSH_ROWS), end)
        stack.push(symbols[part], flat[part])
    return theory


def pop_pixels(stack: Stack, z: np.ndarray, height: int, width: int, model: Model) -> np.ndarray:
    """Bob: pixels uint8 [n, height, width] given latents int16 [n, D], first pixel first. Raises DamagedError."""
    networks = model.networks
    latent_map = networks.latent_map(networks.tensor(z), height, width)
    decoder = IncrementalDecoder(networks.decoder, latent_map)
    pixels = np.empty((height, width, len(z)), dtype=np.uint8)
    for row in range(height):
        decoder.start_row(row)
        for column in range(width):
            values = _pop_values(stack, softmax(decoder.logits(column)))
            decoder.put(values.to(networks.device), column)
            pixels[row, column] = values
        if stack.ran_dry:
            raise DamagedError("the coded bits end before the images do; the archive is damaged")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _pop_values(stack: Stack, frequencies: Tensor) -> Tensor:
    """One pixel of every lane: frequencies int32 [n, levels] -> values uint8 [n]."""
    first = torch.from_numpy(stack.pop(first_digit(frequencies).cpu().numpy()))
    if frequencies.shape[-1] == 2:
        return first.to(torch.uint8)
    second = torch.from_numpy(stack.pop(second_digit(frequencies, first.to(frequencies.device)).cpu().numpy()))
    return (16 * first + second).to(torch.uint8)
