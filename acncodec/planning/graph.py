"""k-nearest-neighbour graph of codes: exhaustive search in small sets, inverted file (IVF) in large ones.

All decisions are made on integers, so the graph is the same on every machine and for any number of threads: distances are
exact in float32, cell centroids are rounded, and ties are ordered by index.
"""

import faiss
import numpy as np

from acncodec.planning.neighbours import nearest

EXHAUSTIVE = 1 << 17  # up to this many codes, all pairs are compared
CODES_IN_CELL = 256
LEARNED_ON = 32  # k-means training codes per cell, evenly spaced over all codes
LEARNING_ROUNDS = 4
PROBED = 12  # cells searched for a code's neighbours


def neighbour_graph(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest others of each of `codes` [N, D]: squared distances float32 and indices int32, both [N, min(k, N-1)].

    Sorted by distance, then index. Which codes tied at the k-th distance are listed is up to faiss. Beyond EXHAUSTIVE codes
    only the PROBED nearest cells are searched; if they hold too few, the code's own index at infinite distance fills up its
    list.
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
    """Drop each row's own index, or its last column if duplicates crowded it out."""
    count, width = indices.shape
    own = indices == np.arange(count)[:, None]
    own[~own.any(1), -1] = True
    own &= np.cumsum(own, 1) == 1  # only the first, where it also serves as padding
    kept = np.flatnonzero(~own)
    distances = distances.ravel()[kept].reshape(count, width - 1).astype(np.float32)
    return distances, indices.ravel()[kept].reshape(count, width - 1).astype(np.int32)


def _search_cells(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each code, itself included, in its nearest cells; results as of `neighbours.nearest`."""
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
    """Centroids of `cells` cells, integers in float32 [cells, D]: a few Lloyd iterations from evenly spaced codes."""
    learned = table[:: max(1, len(table) // (cells * LEARNED_ON))]
    centres = learned[:: len(learned) // cells][:cells]
    for _ in range(LEARNING_ROUNDS):
        owner = nearest(learned, centres, 1)[1][:, 0]
        order = np.argsort(owner, kind="stable")
        present, starts = np.unique(owner[order], return_index=True)
        # Sums of integers below 2^53 are exact in float64, so the rounded mean is the same on every machine.
        sums = np.add.reduceat(learned[order], starts, axis=0, dtype=np.float64)
        sizes = np.diff([*starts, len(learned)])
        centres = centres.copy()
        centres[present] = np.rint(sums / sizes[:, None])
    return centres
