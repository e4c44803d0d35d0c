"""The instruction sets available on this processor, and the team of threads that runs jobs."""

import threading
from functools import partial
from types import TracebackType

import numpy as np
import torch

from acncodec.kernel.compiled import native

LEAST_LANES = 8  # per thread: with fewer, synchronisation costs about as much as it saves
MOST_THREADS = 16  # for jobs of microseconds


def instructions() -> dict[str, int]:
    """Instruction sets that the kernel can use here, by name, the widest last; empty if it was not built."""
    return {} if native is None else native.instructions()


def instruction_set(kind: str | None) -> int:
    """The number of the instruction set `kind`, or of the widest available if it is None."""
    return instructions()[kind] if kind else max(instructions().values())


Region = tuple[int, int, int, int]  # first row, number of rows, first column, last column + 1


class Team:
    """Threads that share the groups of lanes of each job; they run while the team is entered.

    A thread that waits for a job spins, since there may be a hundred thousand jobs a second.
    """

    def __init__(self, lanes: int) -> None:
        """For jobs of `lanes` lanes: as many threads as PyTorch uses, including the caller, if there is enough work."""
        self._helpers = max(1, min(torch.get_num_threads(), MOST_THREADS, lanes // LEAST_LANES)) - 1
        self._words = np.zeros(64, np.int64)  # a team_t
        self.address = self._words.ctypes.data
        self._running: list[threading.Thread] = []

    @property
    def size(self) -> int:
        return 1 + self._helpers

    def run(self, program: int, shape: tuple[int, int, int], kind: int, lanes: int, size: int, at: Region) -> None:
        """Run the program at an address, [phases, groups, operations], on this many lanes in groups of `size`.

        `kind` is the number of the instruction set.
        """
        native.run(self.address, program, *shape, kind, lanes, size, *at)

    def __enter__(self) -> "Team":
        self._words[:] = 0
        lend = partial(native.lend, self.address)
        self._running = []
        for _ in range(self._helpers):
            thread = threading.Thread(target=lend, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system refuses more threads; fewer do the same
                break
            self._running.append(thread)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        native.dismiss(self.address)
        for thread in self._running:
            thread.join()
