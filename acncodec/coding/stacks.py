"""The stacks of a block: the lanes of each step are cut into slices, each coded on a stack of its own.

So slices are decoded independently of each other, by a thread each. Slices of a narrow step are narrow too: a stack first
takes the latents of one lane from its seed, and what it returns for that lane's pixels is enough for the next, wider step.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from acncodec.coding.stack import Part, Stack

STACK_BITS = 1 << 19  # a stack for every 64 KiB of a block: its seed and state cost 0.03 % of that
MOST = 32  # in a block
LEAST_LANES = 8  # of a full step's slice; with fewer a thread's products take hardly less time


def stack_count(bits: float, lanes: int) -> int:
    """Stacks for a block of so many bits and lanes of its widest step: a power of two, as lanes mostly are."""
    most = max(1, min(MOST, lanes // LEAST_LANES, int(bits // STACK_BITS)))
    return 1 << (most.bit_length() - 1)


def slice_width(lanes: int, stacks: int) -> int:
    """Lanes of each slice of a step but perhaps the last: the least power of two for which no more stacks are needed.

    So slices fit the kernel's groups of lanes. Lane i is on stack i // width.
    """
    return 1 << (-(-lanes // stacks) - 1).bit_length()


class Stacks:
    """The stacks of a block. `lanes` gives those of a step."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self._stacks = list(stacks)

    @classmethod
    def seeded(cls, count: int, words: int) -> "Stacks":
        """Stacks that hold only the seed, the same in each."""
        return cls([Stack.seeded(words) for _ in range(count)])

    @classmethod
    def load(cls, stored: Sequence[bytes]) -> "Stacks":
        """From words as an archive has them, little-endian. Raises DamagedError."""
        return cls([Stack(np.frombuffer(words, dtype="<u4"), seal=False) for words in stored])

    @property
    def bits(self) -> float:
        """Length of all contents in bits, fractions included."""
        return sum(stack.bits for stack in self._stacks)

    @property
    def ran_dry(self) -> bool:
        """Whether a pop has gone past the bottom of a stack."""
        return any(stack.ran_dry for stack in self._stacks)

    def lanes(self, count: int) -> "Stack | Slices":
        """The coder of a step of so many lanes."""
        if len(self._stacks) == 1:
            return self._stacks[0]
        width = slice_width(count, len(self._stacks))
        bounds = range(0, count, width)
        return Slices([(s, slice(i, min(i + width, count))) for s, i in zip(self._stacks, bounds, strict=False)])

    def finish(self, seeded_with: int) -> list[tuple[np.ndarray, int]]:
        """For each stack the words uint32 to store and its seed's length in words, as `Stack.finish`."""
        return [stack.finish(seeded_with) for stack in self._stacks]

    def check_seeds(self, words: Sequence[int]) -> None:
        """Raise DamagedError unless exactly the seed of so many words is left on each stack."""
        for stack, count in zip(self._stacks, words, strict=True):
            stack.check_seed(count)


class Slices:
    """The coder of a step's lanes, as `Symbols`. Rows are those of lane 0, then of lane 1, ..., equally many for each."""

    def __init__(self, parts: list[Part]) -> None:
        """`parts` are consecutive lanes from 0 on."""
        self._parts = parts
        self._lanes = parts[-1][1].stop

    @property
    def ran_dry(self) -> bool:
        return any(stack.ran_dry for stack, _ in self._parts)

    def parts(self, lanes: int) -> list[Part]:
        """Stacks and their lanes."""
        assert lanes == self._lanes
        return self._parts

    def some(self, lanes: slice) -> "Slices":
        """The coder of consecutive lanes."""
        found = []
        for stack, own in self._parts:
            start, stop = max(own.start, lanes.start), min(own.stop, lanes.stop)
            if start < stop:
                found.append((stack, slice(start - lanes.start, stop - lanes.start)))
        return Slices(found)

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        for stack, rows in self._rows(len(symbols)):
            stack.push(symbols[rows], frequencies[rows])

    def pop(self, frequencies: np.ndarray) -> np.ndarray:
        return np.concatenate([stack.pop(frequencies[rows]) for stack, rows in self._rows(len(frequencies))])

    def push_shared(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        for stack, rows in self._rows(len(symbols)):
            stack.push_shared(symbols[rows], frequencies)

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        return np.concatenate([stack.pop_shared(rows.stop - rows.start, frequencies) for stack, rows in self._rows(count)])

    def _rows(self, count: int) -> list[Part]:
        """Stacks and their rows, of `count` altogether."""
        each = count // self._lanes
        return [(stack, slice(each * lanes.start, each * lanes.stop)) for stack, lanes in self._parts]


def in_parallel(task: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Call `task` with each part, on as many threads as PyTorch uses. Raises what a call raised."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        for part in parts:
            task(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(task, parts))
