"""The neighbour graph: each code's nearest others, by exhaustive search while that is quick, by cells beyond.

Everything that decides is an integer, so the graph is the same on every machine and for every number of threads: distances
are exact in float32, the cells' centres are rounded, and neighbours that tie are listed by index.
"""

import faiss
import numpy as np

from acncodec.planning.neighbours import nearest

EXHAUSTIVE = 1 << 17  # so many codes, or fewer, are all compared with each other
CODES_IN_CELL = 256
LEARNED_ON = 32  # codes a cell, spread evenly over all, from which its centre is learned
LEARNING_ROUNDS = 4
PROBED = 12  # cells that are searched for a code's neighbours


def neighbour_graph(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `codes` [N, D] its k nearest others: squared distances float32 and indices int32, both [N, min(k, N-1)].

    Sorted by distance, then index. Which of those that tie with the k-th are listed is a rule of faiss. Beyond EXHAUSTIVE
    codes only the PROBED nearest cells are searched; where they hold too few, a code stands in for itself, infinitely far.
    """
    count = len(codes)
    k = min(k, count - 1)
    if k < 1:
        return np.empty((count, 0), np.float32), np.empty((count, 0), np.int32)
    if count <= EXHAUSTIVE:
        distances, indices = nearest(codes, codes, k + 1)
    else:
        distances, indices = _search_cells(codes, k + 1)
    return _without_self(distances, indices)


def _without_self(distances: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each row's own index, or its last column where duplicates have crowded that out."""
    count, width = indices.shape
    own = indices == np.arange(count)[:, None]
    own[~own.any(1), -1] = True
    own &= np.cumsum(own, 1) == 1  # once, also where it stands in for others
    kept = np.flatnonzero(~own)
    distances = distances.ravel()[kept].reshape(count, width - 1).astype(np.float32)
    return distances, indices.ravel()[kept].reshape(count, width - 1).astype(np.int32)


def _search_cells(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each code, itself among them, in the cells nearest to it: as `neighbours.nearest` gives them."""
    count, dimensions = codes.shape
    table = codes.astype(np.float32)
    centres = _centres(table, max(1, count // CODES_IN_CELL))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimensions), dimensions, len(centres))
    index.quantizer.add(centres)
    index.is_trained = True
    index.add(table)
    index.nprobe = PROBED
    distances, indices = index.search(table, k)
    distances[indices < 0] = np.inf
    indices = np.where(indices < 0, np.arange(count)[:, None], indices)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def _centres(table: np.ndarray, cells: int) -> np.ndarray:
    """Centres of `cells` cells, integers in float32 [cells, D]: a few of Lloyd's rounds from codes spread evenly."""
    learned = table[:: max(1, len(table) // (cells * LEARNED_ON))]
    centres = learned[:: len(learned) // cells][:cells]
    for _ in range(LEARNING_ROUNDS):
        owner = nearest(learned, centres, 1)[1][:, 0]
        order = np.argsort(owner, kind="stable")
        present, starts = np.unique(owner[order], return_index=True)
        # Sums of integers below 2^53 are exact in float64, and so the rounded mean is the same everywhere.
        sums = np.add.reduceat(learned[order], starts, axis=0, dtype=np.float64)
        sizes = np.diff([*starts, len(learned)])
        centres = centres.copy()
        centres[present] = np.rint(sums / sizes[:, None])
    return centres
