"""The two ANS coders, equal bit for bit: constriction's, which defines what is stored, and the compiled one.

Properties of constriction that matter here: it returns the lowest symbol instead of raising when its stack is empty; the
same probabilities in another dtype give other bits, so all are float64 holding exact integers; and `perfect=False` selects
the quantiser that involves no search.
"""

from typing import Any, Protocol

import numpy as np
from constriction import stream

from acncodec.kernel.coder import CompiledCoder
from acncodec.kernel.compiled import native

_FAMILY = stream.model.Categorical(perfect=False)


class Coder(Protocol):
    """A last-in, first-out coder, made from stored words uint32 [n]; ValueError if they are none."""

    @property
    def position(self) -> tuple[int, int]:
        """The number of words below the state, and the state of 64 bits."""

    def words(self) -> np.ndarray:
        """All of it as words to store, uint32 [n]."""

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push symbols int32 [n], the last one first, under frequencies float64 [n, K], or [K] for all of them."""

    def pop(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        """The topmost symbols, int32 [count], under frequencies float64 [count, K], or [K] for all of them."""


class ConstrictionCoder:
    """`Coder` by constriction."""

    def __init__(self, words: np.ndarray) -> None:
        self._coder = stream.stack.AnsCoder(words.astype(np.uint32))
        self._tables: dict[bytes, Any] = {}

    @property
    def position(self) -> tuple[int, int]:
        return self._coder.pos()

    def words(self) -> np.ndarray:
        return self._coder.get_compressed()

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        if frequencies.ndim == 1:
            self._coder.encode_reverse(symbols, self._table(frequencies))
        else:
            self._coder.encode_reverse(symbols, _FAMILY, frequencies)

    def pop(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        if frequencies.ndim == 1:
            return self._coder.decode(self._table(frequencies), count)
        return self._coder.decode(_FAMILY, frequencies)

    def _table(self, frequencies: np.ndarray) -> Any:
        key = frequencies.tobytes()
        if key not in self._tables:
            self._tables[key] = stream.model.Categorical(frequencies, perfect=False)
        return self._tables[key]


def coder(words: np.ndarray) -> Coder:
    """The fastest coder available. Raises ValueError if the words are no valid stack."""
    return ConstrictionCoder(words) if native is None else CompiledCoder(words)
