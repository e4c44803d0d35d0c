"""Coding of orders: sequences with known counts, and permutations, to map decoding order back to names.

A permutation of N elements costs log2(N!) bits: a Fisher-Yates shuffle is given by N - 1 integers, uniform below N,
N - 1, ..., 2, and each is coded as such.
"""

import math
from typing import Any

import numpy as np
from constriction import stream

from acncodec.errors import DamagedError

Sequence = tuple[np.ndarray, list[int]]  # values int [n] below len(counts); value i occurs counts[i] times


def pack_order(sequences: list[Sequence], permutations: list[np.ndarray]) -> bytes:
    """Code sequences of known counts, and permutations (int64 arrays)."""
    coder = stream.stack.AnsCoder()
    for permutation in reversed(permutations):
        if len(permutation) > 1:
            coder.encode_reverse(_draws(permutation), stream.model.Uniform(), _sizes(len(permutation)))
    for values, counts in reversed(sequences):
        if len(counts) > 1:
            coder.encode_reverse(values.astype(np.int32), _count_model(counts))
    return coder.get_compressed().astype("<u4").tobytes()


def unpack_order(data: bytes, counts: list[list[int]], lengths: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Undo `pack_order`: sequences int64, given the counts of each, and permutations, given their lengths.

    Raises DamagedError if the data is inconsistent.
    """
    sequences, permutations = [], []
    try:
        coder = stream.stack.AnsCoder(np.frombuffer(data, dtype="<u4").astype(np.uint32))
        for each in counts:
            values = np.zeros(sum(each), dtype=np.int64)
            sequences.append(coder.decode(_count_model(each), len(values)).astype(np.int64) if len(each) > 1 else values)
        for n in lengths:
            draws = coder.decode(stream.model.Uniform(), _sizes(n)) if n > 1 else np.zeros(0, np.int32)
            permutations.append(_shuffled(n, draws))
    except ValueError as error:
        raise DamagedError("a section that restores an order is damaged") from error
    right = (np.bincount(v, minlength=len(c)).tolist() == list(c) for v, c in zip(sequences, counts, strict=True))
    if not coder.is_empty() or not all(right):
        raise DamagedError("a section that restores an order is damaged")
    return sequences, permutations


def order_bits(counts: list[list[int]], lengths: list[int]) -> float:
    """Information in sequences with these counts and permutations of these lengths, in bits: theory for `pack_order`."""
    total = sum(c * math.log2(sum(each) / c) for each in counts for c in each if c)
    return total + sum(math.lgamma(n + 1) / math.log(2) for n in lengths)


def _count_model(counts: list[int]) -> Any:
    return stream.model.Categorical(np.array(counts, dtype=np.float64), perfect=False)


def _sizes(n: int) -> np.ndarray:
    return np.arange(n, 1, -1, dtype=np.int32)


def _draws(permutation: np.ndarray) -> np.ndarray:
    """Index, among the remaining items, of the one taken at each step: int32 [n - 1]."""
    n = len(permutation)
    items = list(range(n))
    place = list(range(n))  # place[item] = its index in items
    draws = np.empty(max(0, n - 1), dtype=np.int32)
    for i, item in enumerate(permutation[:-1].tolist()):
        last = n - 1 - i
        draw = place[item]
        draws[i] = draw
        moved = items[last]
        items[draw], place[moved] = moved, draw
    return draws


def _shuffled(n: int, draws: np.ndarray) -> np.ndarray:
    """The permutation int64 [n] given by these draws."""
    items = list(range(n))
    taken = []
    for i, draw in enumerate(draws.tolist()):
        taken.append(items[draw])
        items[draw] = items[n - 1 - i]
    return np.array([*taken, items[0]] if n else [], dtype=np.int64)
