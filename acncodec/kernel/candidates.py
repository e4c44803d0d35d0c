"""Copy candidates in the compiled module: `coding/candidates.py` bit for bit, without the GIL."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from acncodec.kernel.compiled import native
from acncodec.kernel.copies import CONTEXTS, IMAGE, MEMORY, PREFIXES, SHARED, SPOT
from acncodec.nets.architecture import CANDIDATES, COMPLETIONS, OFFERS


class CompiledMemory:
    """Pixels of a block's images, as uint32 [size], and where contexts were last."""

    def __init__(self, size: int, bits: int) -> None:
        self.pixels = np.zeros(size, np.uint32)
        self._tables = np.zeros((SHARED + PREFIXES, 1 << bits), SPOT)
        self.words = np.zeros(1, MEMORY)
        self.words["pixels"], self.words["tables"] = self.pixels.ctypes.data, self._tables.ctypes.data
        self.words["bits"] = bits

    def begin(self, complete: int) -> None:
        """Images up to this index are complete, those of the next step come after it."""
        self.words["complete"] = complete

    @property
    def address(self) -> int:
        """Of a `memory_t`."""
        return self.words.ctypes.data


class CompiledImages:
    """The images of a step, n of them, height x width each, whose first pixels are at `first` int64 [n] of the memory.

    `parents` int64 [n] are the same of their parents, 0 for none.
    """

    def __init__(
        self, memory: CompiledMemory, first: np.ndarray, parents: np.ndarray, stride: int, bits: int, colours: int
    ) -> None:
        self.memory, self._colours = memory, colours
        self._tables = np.zeros((len(first), CONTEXTS + PREFIXES, 1 << bits), SPOT)
        self.words = np.zeros(len(first), IMAGE)
        self.words["first"], self.words["parent"], self.words["stride"] = first, parents, stride
        self.words["tables"] = self._tables.ctypes.data + self._tables.strides[0] * np.arange(len(first))
        memory.words["own_bits"] = bits

    def find(self, row: int, column: int) -> np.ndarray:
        """Candidates of a pixel of every image, uint8 [n, CANDIDATES, colours + 1]; those before it are known."""
        found = np.empty((len(self.words), CANDIDATES, self._colours + 1), np.uint8)
        native.find_candidates(self.memory.words, self.words, row, column, self._colours, found)
        return found

    def completions(self, prefixes: np.ndarray, known: int) -> np.ndarray:
        """Of pixels uint32 [n] with `known` first colours: uint8 [n, 2, COMPLETIONS], values and whether there are any."""
        found = np.empty((len(self.words), 2, COMPLETIONS), np.uint8)
        native.find_completions(self.memory.words, self.words, prefixes, known, found)
        return found

    def learn(self, row: int, column: int, last: bool) -> None:
        """Take note of that pixel, which is in the memory now; `last` says whether it is the row's last."""
        native.learn_pixels(self.memory.words, self.words, row, column, self._colours, last)

    def whole(self, height: int, width: int) -> np.ndarray:
        """Offers for all pixels of images that are in the memory: uint8 [n, height, width, OFFERS, colours + 1]."""
        found = np.empty((len(self.words), height, width, OFFERS, self._colours + 1), np.uint8)
        threads = max(1, min(torch.get_num_threads(), len(found)))
        bounds = [len(found) * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            parts = [slice(bounds[i], bounds[i + 1]) for i in range(threads)]
            list(pool.map(lambda part: self._whole(self.words[part], found[part]), parts))
        return found

    def _whole(self, words: np.ndarray, found: np.ndarray) -> None:
        height, width = found.shape[1:3]
        native.whole_candidates(self.memory.words, words, height, width, self._colours, found)

    def complete(self, height: int, width: int) -> None:
        """Enter all of the images' pixels into the memory's tables."""
        native.learn_images(self.memory.words, self.words, height, width, self._colours)
