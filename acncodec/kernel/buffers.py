"""Buffers of the compiled kernel: arrays with a part for each group of lanes, and their addresses.

Activations are 16-bit integers [column, lane, channel], so that a window's taps are addresses and nothing is gathered.
Lanes, channels and sums are padded to whole vectors.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from acncodec.exact.grids import BASE
from acncodec.kernel.copies import IMAGE_BYTES
from acncodec.nets.architecture import OFFERS, Architecture
from acncodec.nets.candidates import COMPLETION_PLANES, evidence_planes
from acncodec.nets.encoder import GRID
from acncodec.nets.pixelcnn import GatedBlock, GatedPixelCNN
from acncodec.nets.planes import known_planes, plane_count

ROWS = 4  # lanes are padded to a multiple of this
GROUP_MAX = 32  # lanes of a group
OUTS = 8  # output channels of a product are padded to a multiple of this,
PADDED = 16  # its weights and sums to a multiple of this
MAX_OUTS = 1024  # of a product


def up_to(count: int, multiple: int) -> int:
    """`count` rounded up to a multiple of `multiple`."""
    return -(-count // multiple) * multiple


def group_size(lanes: int, threads: int, sliced: bool = False) -> int:
    """Lanes of a group, if threads share so many. A power of two if they are `sliced`, as the width of a slice is."""
    size = min(GROUP_MAX, up_to(-(-lanes // threads), ROWS))
    return 1 << (size - 1).bit_length() if sliced else size


@dataclass(frozen=True)
class Address:
    """The address for the first group, and the distance in bytes from each group to the next."""

    first: int
    apart: int = 0


NOWHERE = Address(0)


@dataclass(frozen=True)
class Buffer:
    """An array [groups, ...], or [1, ...] shared by all groups; `apart` is the distance in bytes between groups' parts."""

    array: np.ndarray
    apart: int

    @property
    def shared(self) -> np.ndarray:
        """The array that all groups share."""
        return self.array[0]

    def at(self, *index: int) -> Address:
        """Address of [group, *index]; an index may point before the first entry."""
        offset = sum(i * stride for i, stride in zip(index, self._strides, strict=False))
        return Address(self._first + offset, self.apart)

    @cached_property
    def _first(self) -> int:  # NumPy is slow to tell it
        return self.array.ctypes.data

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        return self.array.strides[1:]

    def step(self, axis: int) -> int:
        """Stride in elements along an axis, not counting the group axis."""
        return self.array.strides[1 + axis] // self.array.itemsize


class Lanes:
    """n images in parallel, height x width, in groups of `size` lanes; their values and predictions."""

    def __init__(
        self, arch: Architecture, lanes: int, height: int, width: int, size: int, centres: int | None = None
    ) -> None:
        self.arch, self.lanes, self.height, self.width = arch, lanes, height, width
        self.centres = centres or arch.centres  # that values of a pixel are compared with
        self.size = size
        self.groups = -(-lanes // self.size)
        self.values = self.per_lane((height, width), (arch.colours,), np.uint8)
        self.predicted = self.zeros(width, arch.all_centres, self.size, arch.colours)

    @property
    def filled_up(self) -> int:
        """Lanes, padded to whole ROWS."""
        return up_to(self.lanes, ROWS)

    def zeros(self, *shape: int, dtype: type = np.int16) -> Buffer:
        """A buffer [groups, *shape]."""
        array: np.ndarray = np.zeros((self.groups, *shape), dtype)
        return Buffer(array, array.strides[0])

    def per_lane(self, before: tuple[int, ...], after: tuple[int, ...], dtype: type) -> Buffer:
        """An array [*before, lanes, *after] shared by all groups, its lanes padded to whole groups."""
        array: np.ndarray = np.zeros((*before, self.groups * self.size, *after), dtype)
        return Buffer(array[None], array.strides[len(before)] * self.size)


class DecoderBuffers(Lanes):
    """All arrays of a decoder."""

    def __init__(self, decoder: GatedPixelCNN, lanes: int, height: int, width: int, size: int) -> None:
        arch = decoder.arch
        super().__init__(arch, lanes, height, width, size, arch.known_centres)
        planes, channels = up_to(plane_count(arch, self.centres), 2), up_to(arch.channels, OUTS)
        self.latents = self.zeros(height, width, self.size, up_to(arch.map_planes, 2))
        self.rings: list[Buffer] = []  # rows covered by a block's vertical window and the one being filled
        self.lefts: list[Buffer] = []  # the current row of a block's horizontal input, as a ring of one
        blocks = [cast(GatedBlock, block) for block in decoder.blocks]
        for block in blocks:
            above, left = block.vertical.inputs[0].window, block.horizontal.inputs[0].window
            columns = width - above.left + above.right
            ring = self.zeros(above.height + block.first, columns, self.size, planes if block.first else channels)
            self.rings.append(ring)
            self.lefts.append(ring if block.first else self.zeros(1, width - left.left, self.size, channels))
        self.gated, self.last_v, self.last_h = (self.zeros(1, width, self.size, channels) for _ in range(3))
        sums = up_to(2 * channels, PADDED)
        self.partial = [self.zeros(1, width, self.size, sums, dtype=np.int32) for _ in blocks]
        self.features = self.zeros(1, width, self.size, up_to(arch.features, OUTS))
        self.parameters = self.zeros(1, width, self.size, up_to(3 * arch.logistics or arch.levels, OUTS))
        self.told = self.zeros(1, width, self.size, up_to(known_planes(arch.colours, self.centres), 2))
        self.evidence = self.zeros(1, width, self.size, up_to(evidence_planes(arch), 2))
        self.completions = self.zeros(1, width, self.size, up_to(COMPLETION_PLANES, 2))
        offers = OFFERS if arch.candidates else 0
        self.offers = self.per_lane((height, width), (offers, arch.colours + 1), np.uint8)
        self.memory = np.zeros(1, np.int64)  # address of the copy candidates' memory, 0 without
        self.images = self.per_lane((), (IMAGE_BYTES,), np.uint8)

    def clear(self) -> None:
        """Zero the rows above an image; all else is written before it is read, or is margin and stays zero."""
        for ring in self.rings:
            ring.array[:] = 0

    @cached_property
    def frequencies(self) -> Buffer:
        """Of one digit of every lane: float64 [n, base]."""
        return self.per_lane((), (min(BASE, self.arch.levels),), np.float64)

    @cached_property
    def digits(self) -> Buffer:
        """First digits of that value: int32 [n]."""
        return self.per_lane((), (), np.int32)

    @cached_property
    def all_frequencies(self) -> Buffer:
        """Of both digits of all values: float64 [H, W, colours, digits, n, base], the lanes not padded."""
        digits, base = (1, 2) if self.arch.levels == 2 else (2, BASE)
        array = np.empty((self.height, self.width, self.arch.colours, digits, self.lanes, base))
        return Buffer(array[None], array.strides[4] * self.size)

    @cached_property
    def all_digits(self) -> Buffer:
        """First digits of all values: int32 [colours, H, W, n]."""
        return self.per_lane((self.arch.colours, self.height, self.width), (), np.int32)

    @cached_property
    def bits(self) -> Buffer:
        """Theoretical cost of each lane's values: float64 [n]."""
        return self.per_lane((), (), np.float64)


class EncoderBuffers(Lanes):
    """All arrays of an encoder: feature maps of whole images, with a zero border for the windows."""

    def __init__(self, arch: Architecture, lanes: int, height: int, width: int, size: int) -> None:
        super().__init__(arch, lanes, height, width, size)
        f = up_to(arch.encoder_features, OUTS)
        wide = up_to(2 * arch.encoder_features, OUTS)
        self.half, self.quarter = ((-(-height // n), -(-width // n)) for n in (2, 4))

        def image(size: tuple[int, int], channels: int) -> Buffer:
            return self.zeros(size[0] + 2, size[1] + 2, self.size, channels)

        self.planes = image((height, width), up_to(plane_count(arch), 2))
        self.first, self.first_halved = image((height, width), f), image(self.half, f)
        self.second, self.second_halved = image(self.half, wide), image(self.quarter, wide)
        self.third = image(self.quarter, wide)
        self.pooled = self.zeros(1, GRID * GRID, self.size, wide)
        self.codes = self.zeros(1, 1, self.size, up_to(arch.code, OUTS))
