"""The shape of a schedule, derived from the number of elements and of lanes: the decoder needs nothing else.

A step holds elements that are decoded in parallel; positions 0..N-1 are numbered in step order. Both ends are narrow: at
the decoder's start all parents descend from one root, and at the encoder's start, which is the decoder's end, bits-back can
only consume the bits of elements already coded (design, section 4).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MAX_LANES = 512
MAX_PIXELS_IN_STEP = 1 << 19  # over all lanes: bounds the memory of one step, 400 MB of frequencies for colours
MIN_STEPS = 16  # with fewer, the narrow ends would be a large share of all steps
# The lanes of a tour branch off a trunk of less similar images: with this many steps that costs 0.05 to 0.14 % of all bits
# of 1-bit MNIST images, 256 to 10,000 of them (docs/LOG.md).
MIN_STEPS_OF_MANY = 64
QUICK_STEPS = 4  # of blocks from which single elements are wanted: narrow ends come to this
MANY_VALUES = 2048  # of an element; from here on latents are about 0.1 % of its bits


class Step(NamedTuple):
    """Elements at positions start..start+size-1; `parents` int64 [size] are positions in the step before, -1 for none."""

    start: int
    size: int
    parents: np.ndarray


def step_sizes(count: int, lanes: int) -> list[int]:
    """1, 2, 4, ... up to `lanes`, full steps, ... 4, 2, 1; sums to `count`.

    A remainder is one more step, placed by size on the way down. If `count` is too small for both ramps, they end at the
    widest power of two for which both fit.
    """
    doublings = 0
    while 1 << doublings < lanes and 2 * ((2 << doublings) - 1) <= count:
        doublings += 1
    ramp = [1 << k for k in range(doublings)]
    width = min(lanes, 1 << doublings)
    full, rest = divmod(count - 2 * sum(ramp), width)
    down = [*ramp, rest] if rest else ramp
    return [*ramp, *[width] * full, *sorted(down, reverse=True)]


class Schedule:
    """The steps of `count` elements in at most `lanes` lanes, in decoding order; `reversed` gives the encoder's."""

    def __init__(self, count: int, lanes: int) -> None:
        if not 1 <= lanes <= count:
            raise ValueError(f"a schedule needs 1 <= lanes <= count, not {lanes} lanes for {count} elements")
        self.count = count
        self.lanes = lanes
        self.sizes: list[int] = step_sizes(count, lanes)
        self._starts = np.cumsum([0, *self.sizes]).tolist()

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Step]:
        return map(self._step, range(len(self)))

    def __reversed__(self) -> Iterator[Step]:
        return map(self._step, reversed(range(len(self))))

    def _step(self, number: int) -> Step:
        start, size = self._starts[number], self.sizes[number]
        if number == 0:
            return Step(start, size, np.full(size, -1, np.int64))
        # Lane j's parent is lane j*a//b of the a lanes before: fans out on the way up, spreads evenly on the way down.
        lanes_before = np.arange(size, dtype=np.int64) * self.sizes[number - 1] // size
        return Step(start, size, self._starts[number - 1] + lanes_before)


def choose_lanes(
    count: int, pixels: int, colours: int, conditional: bool, quick: bool = False, copies: bool = False
) -> int:
    """Lanes for `count` elements of `pixels` pixels, `colours` samples each: a power of two, the same on every machine.

    As many as there can be if a block is to be decoded `quick`, whatever it costs. Beyond their narrow ends, more lanes
    cost bits only if latents are `conditional` on similar parents, and only for small elements does that outweigh speed; or
    if pixels are `copies` of those in earlier steps.
    """
    if count < 1 or pixels < 1 or colours < 1:
        raise ValueError(f"count, pixels and colours must be at least 1, not {count}, {pixels} and {colours}")
    many = copies or (conditional and pixels * colours < MANY_VALUES)
    steps = MIN_STEPS_OF_MANY if many else MIN_STEPS
    steps = QUICK_STEPS if quick else steps
    most = max(1, min(MAX_LANES, count // steps, MAX_PIXELS_IN_STEP // pixels))
    return 1 << (most.bit_length() - 1)
