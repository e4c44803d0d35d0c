"""Push and pop of pixels under the decoder, symbols of all lanes interleaved pixel by pixel.

Alice has whole images and computes all frequencies in one pass; Bob decodes pixel by pixel (`steps.py`). Both use the
compiled kernel where it is available.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

import numpy as np
import torch

from acncodec.coding.candidates import StepImages
from acncodec.coding.frequencies import digits, table
from acncodec.coding.passes import Steps
from acncodec.coding.stack import Part, Stack, Symbols
from acncodec.coding.stacks import Slices, in_parallel
from acncodec.coding.steps import compiled, steps
from acncodec.coding.theory import residual_bits
from acncodec.errors import DamagedError
from acncodec.exact.grids import BASE
from acncodec.kernel.coder import CompiledCoder
from acncodec.kernel.decoder import available
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

BATCH_PIXELS = 32 * 28 * 28  # per whole-image pass on tensors; larger batches exceed the cache and are slower
REPORT_COLUMNS = 64  # at most, between two progress reports
PUSH_ROWS = 1 << 16  # symbols per call of the coder


def push_pixels(
    stack: Stack | Slices, pixels: np.ndarray, z: np.ndarray, model: Model, offers: np.ndarray | None = None
) -> float:
    """Alice: pixels uint8 [n, H, W, colours] given latents int16 [n, D]; Bob's first pixel is pushed last.

    `offers` as for `residual_prices`. Returns the theoretical cost, in bits.
    """
    frequencies, theory = _all_frequencies(pixels, z, model, offers)
    rounds = frequencies.reshape(-1, *frequencies.shape[-2:])  # in Bob's order: pixel, colour, digit; then lane
    symbols = np.stack(np.divmod(pixels, BASE) if model.arch.levels > 2 else [pixels])  # [digits, n, H, W, colours]
    symbols = symbols.transpose(2, 3, 4, 0, 1).reshape(rounds.shape[:2]).astype(np.int32)

    def push(part: Part) -> None:
        own, lanes = part
        size = max(1, PUSH_ROWS // (lanes.stop - lanes.start))
        for end in range(len(rounds), 0, -size):
            now = slice(max(0, end - size), end)
            own.push(symbols[now, lanes].reshape(-1), rounds[now, lanes].reshape(-1, rounds.shape[-1]))

    in_parallel(push, stack.parts(len(pixels)))
    return theory


def _all_frequencies(
    pixels: np.ndarray, z: np.ndarray, model: Model, offers: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Frequencies float64 [H, W, colours, digits, n, base] of pixels uint8 [n, H, W, colours], and their cost, bits."""
    n, height, width, colours = pixels.shape
    if available(model.networks):
        with compiled(model.networks, z, height, width) as decoder:
            frequencies, bits = decoder.whole(pixels, offers)
            return frequencies, float(bits.sum())
    bases = digits(model.arch.levels)
    found = np.empty((height, width, colours, len(bases), n, bases[0]))
    theory = 0.0
    size = max(1, BATCH_PIXELS // (height * width))
    for start in range(0, n, size):
        part = slice(start, start + size)
        batch = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(model.networks.device)
        told = None if offers is None else torch.from_numpy(offers[part]).to(model.networks.device)
        distributions = model.networks.distributions(batch, model.networks.tensor(z[part]), told)
        theory += float(residual_bits(distributions, batch).sum())
        for colour, distribution in enumerate(distributions):
            of_value = table(distribution)
            of_digits = [of_value.first()]
            if len(bases) == 2:
                of_digits.append(of_value.second(batch[..., colour] // BASE))
            for digit, rows in enumerate(of_digits):
                found[:, :, colour, digit, part] = rows.permute(1, 2, 0, 3).cpu().numpy()
    return found, theory


def residual_prices(pixels: np.ndarray, z: np.ndarray, networks: Networks, offers: np.ndarray | None = None) -> np.ndarray:
    """Theoretical cost of pixels uint8 [n, H, W, colours] given latents int16 [n, D]: float64 [n], bits.

    Models with copy candidates take `offers`, uint8 [n, H, W, OFFERS, colours + 1]; by default there are none.
    """
    _, height, width, _ = pixels.shape
    if available(networks):
        with compiled(networks, z, height, width) as decoder:
            return decoder.price(pixels, offers)
    on_device = torch.from_numpy(pixels).to(networks.device)
    told = None if offers is None else torch.from_numpy(offers).to(networks.device)
    return residual_bits(networks.distributions(on_device, networks.tensor(z), told), on_device).cpu().numpy()


@torch.no_grad()
def pop_pixels(
    stack: Symbols,
    z: np.ndarray,
    height: int,
    width: int,
    model: Model,
    advance: Callable[[float], None] = lambda elements: None,
    images: StepImages | None = None,
) -> np.ndarray:
    """Bob: pixels uint8 [n, height, width, colours] given latents int16 [n, D], first pixel first.

    `advance` is called with the number of images done since the last call, a fraction; `images` are the source of copy
    candidates. Raises DamagedError.
    """
    parts = stack.parts(len(z)) if isinstance(stack, Stack | Slices) else []
    coders = [each.compiled for each, _ in parts if each.compiled is not None]
    if available(model.networks) and parts and len(coders) == len(parts):
        return _pop_rows(parts, coders, z, height, width, model, advance, images)
    pixels = np.empty((height, width, len(z), model.arch.colours), dtype=np.uint8)
    with steps(model.networks, z, height, width, images) as groups:
        own = [stack.some(lanes) if isinstance(stack, Slices) else stack for lanes, _ in groups]
        running = [
            _pop_group(coder, group, pixels[:, :, lanes], model, advance)
            for coder, (lanes, group) in zip(own, groups, strict=True)
        ]
        # One symbol of each lane per round, group after group: the order of lanes.
        for _ in zip_longest(*running):
            _check(stack)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1, 3))


def _check(stack: Symbols) -> None:
    if stack.ran_dry:
        raise DamagedError("the coded bits end before the images do; the archive is damaged")


def _pop_rows(
    parts: Sequence[Part],
    coders: Sequence[CompiledCoder],
    z: np.ndarray,
    height: int,
    width: int,
    model: Model,
    advance: Callable[[float], None],
    images: StepImages | None,
) -> np.ndarray:
    """The same with decoder and coders all compiled, a row or a part of one at a time."""
    with compiled(model.networks, z, height, width, images, len(parts) > 1) as decoder:
        for row in range(height):
            for first in range(0, width, REPORT_COLUMNS):
                last = min(width, first + REPORT_COLUMNS)
                decoder.pop_row(row, first, last, coders, parts[0][1].stop)
                for each, _ in parts:
                    each.note_pops()
                    _check(each)
                advance(len(z) * (last - first) / (height * width))
        return decoder.pixels()


def _pop_group(
    stack: Symbols, group: Steps, pixels: np.ndarray, model: Model, advance: Callable[[float], None]
) -> Iterator[None]:
    """Decode one group's part of `pixels` [height, width, n, colours], a symbol of each lane at a time.

    Yields after each request for frequencies, so that the other groups run while they are computed.
    """
    height, width, lanes, colours = pixels.shape
    stride = min(width, REPORT_COLUMNS)
    for row in range(height):
        group.start_row(row)
        for column in range(width):
            group.start_pixel(column)
            for colour in range(colours):
                frequencies = group.first(colour)
                yield
                group.wait()
                values = stack.pop(frequencies)
                if model.arch.levels > 2:
                    frequencies = group.second(values)
                    yield
                    group.wait()
                    values = BASE * values + stack.pop(frequencies)
                pixels[row, column, :, colour] = values
                group.put(colour, pixels[row, column, :, colour])
            if (column + 1) % stride == 0 or column + 1 == width:
                advance(lanes * (column % stride + 1) / (height * width))
