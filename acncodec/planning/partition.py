"""Which images go to which part: k-means on a sample of codes (faiss), and prices that make the parts of equal size.

A tour gains from neighbours. Images with similar codes therefore meet in one part, and a part is a set worth a tour.
"""

from dataclasses import dataclass

import faiss
import numpy as np

SAMPLE_A_PART = 256  # codes of the sample for every part, on which centroids and prices are fitted
MAX_SAMPLE = 1 << 18
ITERATIONS = 20  # of k-means
ROUNDS = 300  # of prices
LAST_STEP = 1e-3  # by which a price moves in the end, in mean squared distances to the nearest centroid
GRID = 16.0  # centroids are multiples of 1 / GRID: then all distances are sums of integers, exact in float64
BATCH = 1 << 12


@dataclass(frozen=True)
class Partition:
    """Where parts lie in code space: `centroids` float64 [K, D] and `prices` float64 [K], both on a grid."""

    centroids: np.ndarray
    prices: np.ndarray

    def assign(self, codes: np.ndarray) -> np.ndarray:
        """The part of each of codes [N, D]: the one that is nearest, its price added; int64 [N], the same everywhere."""
        parts = [self._costs(codes[i : i + BATCH]).argmin(1) for i in range(0, len(codes), BATCH)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def _costs(self, codes: np.ndarray) -> np.ndarray:
        """Squared distances, less each code's own square, and prices: float64 [N, K]."""
        return np.square(self.centroids).sum(1) - 2 * codes.astype(np.float64) @ self.centroids.T + self.prices


def fit(sample: np.ndarray, parts: int, seed: int = 0) -> Partition:
    """A partition into so many parts by a sample of codes [N, D], N at least `parts`, that loads all parts alike."""
    centroids = np.rint(_kmeans(sample, parts, seed) * GRID) / GRID
    return Partition(centroids, _prices(sample, centroids))


def _kmeans(sample: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Centroids [K, D]. One thread: with more, sums depend on how many there are."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        limits = {"min_points_per_centroid": 1, "max_points_per_centroid": MAX_SAMPLE}
        found = faiss.Kmeans(sample.shape[1], parts, niter=ITERATIONS, seed=seed, **limits)
        found.train(np.ascontiguousarray(sample, np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(found.centroids, dtype=np.float64)


def _prices(sample: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Prices under which the sample is shared out evenly, or nearly so: parts that are too popular become dearer.

    Subgradient ascent on the dual of the assignment problem, with the best of all rounds kept.
    """
    unpriced = Partition(centroids, np.zeros(len(centroids)))
    costs = np.concatenate([unpriced._costs(sample[i : i + BATCH]) for i in range(0, len(sample), BATCH)])
    near = np.mean(costs.min(1) + np.square(sample.astype(np.float64)).sum(1))
    far = np.mean(np.square(centroids - centroids.mean(0)).sum(1))
    steps = np.geomspace(far + near, LAST_STEP * near, ROUNDS) if near > 0 else np.full(ROUNDS, far)
    even = len(sample) / len(centroids)
    prices, best, least = np.zeros(len(centroids)), np.zeros(len(centroids)), np.inf
    for step in steps:
        load = np.bincount((costs + prices).argmin(1), minlength=len(centroids)) / even
        if load.max() < least:
            best, least = prices.copy(), float(load.max())
        prices = np.rint((prices + step * np.clip(load - 1, -1, 1)) * GRID**2) / GRID**2
    return best
