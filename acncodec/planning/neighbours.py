"""Exact nearest neighbours among integer codes (faiss), the same on every machine."""

import faiss
import numpy as np

# Codes are integers within +-64 in about a hundred dimensions: squared distances stay below 2^24, exact in float32.
LARGEST_NORM = 2**22  # |a|^2 + |b|^2 - 2ab, as faiss computes it, is at most four times this
LISTED = 32  # neighbours requested from faiss at a time


def nearest(queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `codes` [M, D] to each of `queries` [N, D]: squared distances and indices, both int64 [N, k].

    Sorted by distance, then index. Which codes tied at the k-th distance are listed is up to faiss.
    """
    k = min(k, len(codes))
    distances, indices = faiss.knn(np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(codes, np.float32), k)
    distances, indices = np.rint(distances).astype(np.int64), indices.astype(np.int64)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def nearest_others(codes: np.ndarray, indices: np.ndarray, k: int) -> np.ndarray:
    """The k nearest of `codes` [M, D] to each of those at `indices` int64 [N], excluding itself: indices int64 [N, k].

    Nearest first; fewer columns if there are fewer other codes.
    """
    _, found = nearest(codes[indices], codes, k + 1)
    own = found == indices[:, None]
    own[:, -1] |= ~own.any(1)  # if ties crowded out its own entry, drop the farthest
    return found[~own].reshape(len(indices), -1)


class Shrinking:
    """A searchable set of codes, int8/int16 [N, D], that supports removal; ties are broken by index, never by faiss."""

    def __init__(self, codes: np.ndarray) -> None:
        if np.square(codes, dtype=np.int64).sum(1).max() > LARGEST_NORM:
            raise ValueError(f"codes with a squared norm above {LARGEST_NORM} have distances inexact in float32")
        # The first `_left` rows are the set, contiguous for faiss: the last row moves into the place of a removed one.
        self._codes = codes.astype(np.float32)
        self._indices = np.arange(len(codes))
        self._rows = list(range(len(codes)))
        self._left = len(codes)

    def __contains__(self, index: int) -> bool:
        return self._rows[index] >= 0

    def take(self, index: int) -> None:
        """Remove one code from the set."""
        self._left -= 1
        row, moved = self._rows[index], int(self._indices[self._left])
        self._codes[row], self._indices[row], self._rows[moved] = self._codes[self._left], moved, row
        self._rows[index] = -1

    def candidates(self, queries: np.ndarray) -> list[list[tuple[int, int]]]:
        """For each of `queries` [Q, D] at least one nearest code in the set as (squared distance, index), in that order.

        Index -1 ends the list: all codes not listed before it are at that distance or farther.
        """
        queries, copies = np.unique(queries, axis=0, return_inverse=True)  # siblings and duplicate images repeat a query
        distances, rows = nearest(queries, self._codes[: self._left], LISTED)
        indices = self._indices[rows]
        if distances.shape[1] < self._left:
            indices[distances == distances[:, -1:]] = -1
        order = np.lexsort((indices, distances), axis=1)
        found = [
            list(zip(d[o].tolist(), i[o].tolist(), strict=True)) if i[0] >= 0 else self._among_ties(query)
            for d, i, o, query in zip(distances, indices, order, queries, strict=True)
        ]
        return [found[copy] for copy in copies.ravel()]

    def _among_ties(self, query: np.ndarray) -> list[tuple[int, int]]:
        """Candidates of one query [D] if everything listed by faiss ties: scans all remaining codes."""
        distances = np.square(self._codes[: self._left] - query.astype(np.float32)).sum(1)
        keys = distances.astype(np.int64) * len(self._rows) + self._indices[: self._left]
        keys = np.sort(np.partition(keys, LISTED)[:LISTED])
        known = [divmod(key, len(self._rows)) for key in keys.tolist()]
        return [*known, (known[-1][0], -1)]
