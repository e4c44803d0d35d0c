"""The ANS stack: a wrapper of constriction's coder, with the seed that bits-back coding starts from.

Properties of constriction that matter here: it returns the lowest symbol instead of raising when its stack is empty, so
the stack is seeded; the same probabilities in another dtype give other bits, so all are float64 holding exact integers;
and `perfect=False` selects the quantiser that involves no search.
"""

import hashlib
import math
from typing import Any, Protocol

import numpy as np
from constriction import stream

from acncodec.errors import DamagedError

_FAMILY = stream.model.Categorical(perfect=False)
_SEED_LABEL = b"acncodec bits-back seed 1"


def seed_words(count: int) -> np.ndarray:
    """The fixed pseudo-random words at the bottom of the stack: uint32 [count], the topmost one last."""
    data = hashlib.shake_256(_SEED_LABEL).digest(4 * count)
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)[::-1].copy()


class Symbols(Protocol):
    """What Bob pops symbols from: a `Stack`, or a random generator to sample images."""

    ran_dry: bool

    def pop(self, frequencies: np.ndarray) -> np.ndarray: ...

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray: ...

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None: ...


class Stack:
    """A last-in, first-out entropy coder; `pop` with the same frequencies undoes `push` bit for bit."""

    def __init__(self, words: np.ndarray, seal: bool) -> None:
        """`words` uint32; `seal` for arbitrary words (the seed), not for words that `finish` returned."""
        try:
            self._coder = stream.stack.AnsCoder(words.astype(np.uint32), seal=seal)
        except ValueError as error:
            raise DamagedError("the coded bits are not a valid ANS stream; the archive is damaged") from error
        self._table_cache: dict[bytes, Any] = {}
        self.lowest = self._coder.pos()[0]  # words at the bottom that no pop has reached
        self.ran_dry = False  # whether a pop has gone past the bottom; its symbols are invalid

    @classmethod
    def seeded(cls, words: int) -> "Stack":
        """A stack that holds only the seed."""
        return cls(seed_words(words), seal=True)

    @property
    def bits(self) -> float:
        """Length of the stack's contents in bits, fractions included."""
        words, state = self._coder.pos()
        return 32.0 * words + math.log2(state) if state else 0.0

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push `symbols` int [n], each under its own integer frequencies [n, K]; the first one ends on top."""
        self._coder.encode_reverse(_int32(symbols), _FAMILY, _float64(frequencies))

    def pop(self, frequencies: np.ndarray) -> np.ndarray:
        """The topmost symbols, int32 [n], each under its own integer frequencies [n, K]."""
        return self._popped(self._coder.decode(_FAMILY, _float64(frequencies)))

    def push_shared(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push `symbols` int [n], all under the same frequencies [K]; the first one ends on top."""
        self._coder.encode_reverse(_int32(symbols), self._table(frequencies))

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        """The topmost `count` symbols, int32 [count], all under the same frequencies [K]."""
        return self._popped(self._coder.decode(self._table(frequencies), count))

    def _popped(self, symbols: np.ndarray) -> np.ndarray:
        """Record how deep the pops have gone; a state below 2^32 means that the stack is exhausted."""
        words, state = self._coder.pos()
        self.lowest = min(self.lowest, words)
        self.ran_dry |= state < 1 << 32
        return symbols

    def _table(self, frequencies: np.ndarray) -> Any:
        key = frequencies.tobytes()
        if key not in self._table_cache:
            self._table_cache[key] = stream.model.Categorical(_float64(frequencies), perfect=False)
        return self._table_cache[key]

    def finish(self, seeded_with: int) -> tuple[np.ndarray, int]:
        """Words uint32 to store, and the seed length in words that yields exactly these (for `check_seed`).

        Seed words that were never popped lie untouched at the bottom and need not be stored.
        """
        words = self._coder.get_compressed()
        seed = seed_words(seeded_with)
        length = min(len(words), len(seed), self.lowest)
        same = words[:length] == seed[:length]
        untouched = length if same.all() else int(np.argmin(same))
        return words[untouched:], seeded_with - untouched

    def check_seed(self, words: int) -> None:
        """Raise DamagedError unless exactly the seed of `words` words is left, bit for bit."""
        try:
            left = self._coder.get_compressed(unseal=True)
        except (AssertionError, ValueError):
            left = None
        # The length first: an archive must not determine how many words are generated.
        if left is None or len(left) != words or not np.array_equal(left, seed_words(words)):
            raise DamagedError("the coded bits do not end with the seed; the archive is damaged")


def _int32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int32)


def _float64(frequencies: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frequencies, dtype=np.float64)
