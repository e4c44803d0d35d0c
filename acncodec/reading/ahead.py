"""Prefetching: several blocks decoded in parallel, where the lanes of one block cannot keep a GPU or all cores busy.

Each is decoded in a thread of its own, with its own steps, streams and stack (`coding/steps.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np

from acncodec.errors import DamagedError
from acncodec.exact.precision import full_precision
from acncodec.progress import Advance

REPORT_SECONDS = 0.5  # between two reports of progress
Samples = list[np.ndarray]


class Ahead:
    """Prefetches up to `count` blocks in parallel, in the order in which they will be taken; with 1, none.

    `task(index, advance)` may read the archive and returns a decoding function, which may not: it runs in another thread.
    """

    def __init__(self, task: Callable[[int, Advance], Callable[[], Samples]], count: int) -> None:
        self._task, self._count = task, count
        self._coming: dict[int, tuple[Future[Samples], list[float]]] = {}
        self._waiting: list[int] = []
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def of(self, indices: Sequence[int]) -> Iterator[None]:
        """Context in which these blocks are prefetched, if there are several."""
        if self._count == 1 or len(indices) == 1 or self._pool:
            yield
            return
        # Precision is a setting of the whole process: no thread may set it back while others go on.
        with full_precision(), ThreadPoolExecutor(self._count) as self._pool:
            try:
                self._waiting = list(indices)
                self._fill()
                yield
            finally:
                for each, _ in self._coming.values():
                    each.cancel()
                self._coming, self._waiting, self._pool = {}, [], None

    def take(self, index: int, advance: Advance) -> Samples | None:
        """A block's pictures, or None if it is not being prefetched. Raises what decoding it raised.

        `advance` is called in the caller's thread alone.
        """
        found = self._coming.pop(index, None)
        if found is None:
            return None
        future, shares = found
        told = 0
        while not wait([future], REPORT_SECONDS).done:
            new = shares[told:]
            told += len(new)
            advance(sum(new))
        pictures = future.result()
        self._fill()
        return pictures

    def _fill(self) -> None:
        while self._pool and self._waiting and len(self._coming) < self._count:
            index = self._waiting.pop(0)
            try:
                shares: list[float] = []  # of the block, as they are done
                self._coming[index] = self._pool.submit(self._task(index, shares.append)), shares
            except DamagedError:
                continue  # raised again by whoever asks for this block
