"""What turns decoding order back into names: each name's kind, and a permutation within each group.

Restoring the order of N elements costs log2(N!) bits and not one more: Fisher and Yates's shuffle names N - 1 integers,
uniform below N, N - 1, ..., 2, and each is coded as such.
"""

import math
from typing import Any

import numpy as np
from constriction import stream

from acncodec.errors import DamagedError


def pack_order(kinds: np.ndarray, counts: list[int], permutations: list[np.ndarray]) -> bytes:
    """Code `kinds` int [files], values below len(counts) that occur counts[i] times, and permutations (int64 arrays).

    permutations[g][i] is the rank by name, within group g, of the i-th decoded element.
    """
    coder = stream.stack.AnsCoder()
    for permutation in reversed(permutations):
        if len(permutation) > 1:
            coder.encode_reverse(_draws(permutation), stream.model.Uniform(), _sizes(len(permutation)))
    if len(counts) > 1:
        coder.encode_reverse(kinds.astype(np.int32), _kind_model(counts))
    return coder.get_compressed().astype("<u4").tobytes()


def unpack_order(data: bytes, counts: list[int], groups: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Undo `pack_order`; `groups` are the permutations' lengths. Raises DamagedError unless all is consistent."""
    kinds = np.zeros(sum(counts), dtype=np.int64)
    permutations = []
    try:
        coder = stream.stack.AnsCoder(np.frombuffer(data, dtype="<u4").astype(np.uint32))
        if len(counts) > 1:
            kinds = coder.decode(_kind_model(counts), len(kinds)).astype(np.int64)
        for n in groups:
            draws = coder.decode(stream.model.Uniform(), _sizes(n)) if n > 1 else np.zeros(0, np.int32)
            permutations.append(_shuffled(n, draws))
    except ValueError as error:
        raise DamagedError("the section that restores the order of names is damaged") from error
    if not coder.is_empty() or np.bincount(kinds, minlength=len(counts)).tolist() != list(counts):
        raise DamagedError("the section that restores the order of names is damaged")
    return kinds, permutations


def order_bits(counts: list[int], groups: list[int]) -> float:
    """The information in kinds (as counts give it) and permutations, in bits: theory for `pack_order`."""
    total = sum(counts)
    kinds = sum(c * math.log2(total / c) for c in counts if c)
    return kinds + sum(math.lgamma(n + 1) / math.log(2) for n in groups)


def _kind_model(counts: list[int]) -> Any:
    return stream.model.Categorical(np.array(counts, dtype=np.float64), perfect=False)


def _sizes(n: int) -> np.ndarray:
    return np.arange(n, 1, -1, dtype=np.int32)


def _draws(permutation: np.ndarray) -> np.ndarray:
    """Which of the remaining items the shuffle takes each time: int32 [n - 1]."""
    n = len(permutation)
    items = list(range(n))
    place = list(range(n))  # place[item] = where it lies in items
    draws = np.empty(max(0, n - 1), dtype=np.int32)
    for i, item in enumerate(permutation[:-1].tolist()):
        last = n - 1 - i
        draw = place[item]
        draws[i] = draw
        moved = items[last]
        items[draw], place[moved] = moved, draw
    return draws


def _shuffled(n: int, draws: np.ndarray) -> np.ndarray:
    """The permutation int64 [n] that these draws name."""
    items = list(range(n))
    taken = []
    for i, draw in enumerate(draws.tolist()):
        taken.append(items[draw])
        items[draw] = items[n - 1 - i]
    return np.array([*taken, items[0]] if n else [], dtype=np.int64)
