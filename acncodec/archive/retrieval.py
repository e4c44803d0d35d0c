"""Static retrieval structure: maps keys to small values without storing the keys; unknown keys return arbitrary values.

Every key has three slots, one in each third of a row, and its value is the XOR of their contents (Botelho, Pagh and Ziviani
2007). So a key costs 1.23 slots, whatever its size.
"""

from collections.abc import Sequence

import numpy as np

SLOTS_A_KEY = 1.25  # at 1.23 or less, peeling fails for large sets of keys
SPARE_SLOTS = 16  # extra, for small sets of keys
THIRDS = 3
MAX_SEED = 255
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def third_of(keys: int) -> int:
    """Number of slots in a third of the row for this many keys."""
    return -(-int(SLOTS_A_KEY * keys + SPARE_SLOTS) // THIRDS)


def solve(keys: np.ndarray, values: Sequence[int]) -> tuple[int, list[int]]:
    """A seed and slot contents such that each of `keys` uint64 [N], all different, yields its value, at least 0.

    Raises ValueError if two keys are equal.
    """
    third = third_of(len(keys))
    for seed in range(MAX_SEED + 1):
        places = slots(keys, seed, third).tolist()
        order = _peeled(places, THIRDS * third)
        if order is not None:
            row = [0] * (THIRDS * third)
            for key, free in reversed(order):
                a, b, c = places[key]
                row[free] = values[key] ^ row[a] ^ row[b] ^ row[c]  # its own slot still holds 0
            return seed, row
    raise ValueError("two keys are equal")


def slots(keys: np.ndarray, seed: int, third: int) -> np.ndarray:
    """The slots of keys uint64 [N]: int64 [N, 3], one in each third."""
    mixed = (keys[:, None] ^ (_MIX * np.uint64(2 * seed + 1))) * _MIX
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX[::-1]
    mixed ^= mixed >> np.uint64(29)
    return (mixed % np.uint64(third)).astype(np.int64) + third * np.arange(THIRDS)


def _peeled(places: list[list[int]], total: int) -> list[tuple[int, int]] | None:
    """Peeling order: keys, each with a slot that no later key uses; None if there is no such order."""
    count, keys = [0] * total, [0] * total  # per slot: number of keys that use it, and the XOR of these
    for key, own in enumerate(places):
        for slot in own:
            count[slot] += 1
            keys[slot] ^= key
    ready = [slot for slot in range(total) if count[slot] == 1]
    order = []
    while ready:
        free = ready.pop()
        if count[free] != 1:
            continue
        key = keys[free]
        order.append((key, free))
        for slot in places[key]:
            count[slot] -= 1
            keys[slot] ^= key
            if count[slot] == 1:
                ready.append(slot)
    return order if len(order) == len(places) else None
