"""Shuffle buffer: a random order of an archive's images in which each block is decoded once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np


def shuffled(
    blocks: Iterable[int], size: Callable[[int], int], buffer: int, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Every image of these blocks once, as (block, index in it), drawn at random from a pool of `buffer` blocks.

    The next of `blocks` joins the pool as soon as there is room; `size` gives a block's number of images.
    """
    waiting, pool = deque((block, count) for block in blocks if (count := size(block))), list[tuple[int, int]]()
    while waiting or pool:
        while waiting and len(pool) <= (buffer - 1) * waiting[0][1]:
            block, count = waiting.popleft()
            pool += [(block, index) for index in range(count)]
        at = int(random.integers(len(pool)))
        pool[at], pool[-1] = pool[-1], pool[at]
        yield pool.pop()
