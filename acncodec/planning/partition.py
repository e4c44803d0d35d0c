"""Partitions images into parts of equal size: k-means on a sample of codes (faiss), balanced by per-centroid offsets.

Tours are shorter among similar images, so a part collects images with similar codes. Large numbers of parts are fitted
hierarchically, first groups of parts and then the parts of each group, so that no step handles all of them.
"""

from dataclasses import dataclass

import faiss
import numpy as np

SAMPLE_A_PART = 1024  # sampled codes per part, on which centroids and prices are fitted,
LEAST_SAMPLE_A_PART = 16  # or at least this many where there are many parts
MAX_SAMPLE = 1 << 18  # sampled codes in all, unless LEAST_SAMPLE_A_PART requires more
MAX_FAN = 256  # parts, or groups of parts, per level
MAX_FITTED = 1 << 16  # codes on which one level is fitted: bounds memory and time
ITERATIONS = 20  # of k-means
ROUNDS = 300  # of subgradient ascent on the prices
LAST_STEP = 1e-3  # final step size of the prices, in mean squared distances to the nearest centroid
GRID = 16.0  # centroids are multiples of 1 / GRID, so distances are sums of integers, exact in float64
BATCH = 1 << 12
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Partition:
    """Parts in code space: `centroids` float64 [K, D], and `prices` float64 [K] added to squared distances; on a grid.

    If the centroids are of groups of parts, `below` holds the partition of each group; parts are numbered group by group.
    """

    centroids: np.ndarray
    prices: np.ndarray
    below: tuple["Partition", ...] = ()

    @property
    def parts(self) -> int:
        return sum(each.parts for each in self.below) if self.below else len(self.prices)

    def assign(self, codes: np.ndarray) -> np.ndarray:
        """The part of each of `codes` [N, D], argmin of squared distance + price: int64 [N], the same on every machine."""
        batches = [self._costs(codes[i : i + BATCH]).argmin(1) for i in range(0, len(codes), BATCH)]
        found = np.concatenate(batches) if batches else np.zeros(0, dtype=np.int64)
        if not self.below:
            return found
        parts, first = np.zeros(len(codes), dtype=np.int64), 0
        for group, each in enumerate(self.below):
            members = np.flatnonzero(found == group)
            parts[members] = first + each.assign(codes[members])
            first += each.parts
        return parts

    def _costs(self, codes: np.ndarray) -> np.ndarray:
        """Squared distances minus the code's own squared norm, plus prices: float64 [N, K]."""
        return np.square(self.centroids).sum(1) - 2 * codes.astype(np.float64) @ self.centroids.T + self.prices

    def arrays(self, name: str = "") -> Arrays:
        """All arrays by name, for `np.savez`."""
        found = {f"{name}centroids": self.centroids, f"{name}prices": self.prices}
        for i, each in enumerate(self.below):
            found |= each.arrays(f"{name}{i}.")
        return found

    @classmethod
    def of(cls, arrays: Arrays, name: str = "") -> "Partition":
        """Inverse of `arrays`."""
        below: list[Partition] = []
        while f"{name}{len(below)}.prices" in arrays:
            below.append(cls.of(arrays, f"{name}{len(below)}."))
        return cls(arrays[f"{name}centroids"], arrays[f"{name}prices"], tuple(below))


def sample_size(parts: int) -> int:
    """Number of codes on which to fit a partition into this many parts."""
    return min(SAMPLE_A_PART * parts, max(MAX_SAMPLE, LEAST_SAMPLE_A_PART * parts))


def fit(sample: np.ndarray, parts: int, seed: int = 0) -> Partition:
    """Fit a partition into this many equally loaded parts to a sample of codes [N, D], N >= `parts`."""
    if parts <= MAX_FAN:
        return _level(sample, np.ones(parts), seed)
    groups = min(MAX_FAN, -(-parts // MAX_FAN))
    sizes = np.full(groups, parts // groups)
    sizes[: parts % groups] += 1
    top = _level(sample, sizes / sizes.mean(), seed)
    found = top.assign(sample)
    below: list[Partition] = []
    for group, size in enumerate(sizes.tolist()):
        mine = sample[found == group]
        # A group with fewer sampled codes than parts is fitted on a subset of the whole sample.
        below.append(fit(mine if len(mine) >= size else sample[:: max(1, len(sample) // size)][:size], size, seed))
    return Partition(top.centroids, top.prices, tuple(below))


def _level(sample: np.ndarray, shares: np.ndarray, seed: int) -> Partition:
    """Fit one level whose members receive loads in proportion to `shares`, 1 on average."""
    sample = sample[:: -(-len(sample) // MAX_FITTED)]
    centroids = np.rint(_kmeans(sample, len(shares), seed) * GRID) / GRID
    return Partition(centroids, _prices(sample, centroids, shares))


def _kmeans(sample: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Centroids [K, D]. Single-threaded, since float sums depend on the number of threads."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        limits = {"min_points_per_centroid": 1, "max_points_per_centroid": MAX_FITTED}
        found = faiss.Kmeans(sample.shape[1], count, niter=ITERATIONS, seed=seed, **limits)
        found.train(np.ascontiguousarray(sample, np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(found.centroids, dtype=np.float64)


def _prices(sample: np.ndarray, centroids: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Per-centroid offsets that balance cluster sizes in proportion to `shares`: an overloaded centroid's price rises.

    Subgradient ascent on the dual of the assignment problem; returns the round with the lowest maximum load.
    """
    unpriced = Partition(centroids, np.zeros(len(centroids)))
    costs = np.concatenate([unpriced._costs(sample[i : i + BATCH]) for i in range(0, len(sample), BATCH)])
    near = np.mean(costs.min(1) + np.square(sample.astype(np.float64)).sum(1))
    far = np.mean(np.square(centroids - centroids.mean(0)).sum(1))
    steps = np.geomspace(far + near, LAST_STEP * near, ROUNDS) if near > 0 else np.full(ROUNDS, far)
    even = shares * len(sample) / len(centroids)
    prices, best, least = np.zeros(len(centroids)), np.zeros(len(centroids)), np.inf
    for step in steps:
        load = np.bincount((costs + prices).argmin(1), minlength=len(centroids)) / even
        if load.max() < least:
            best, least = prices.copy(), float(load.max())
        prices = np.rint((prices + step * np.clip(load - 1, -1, 1)) * GRID**2) / GRID**2
    return best
