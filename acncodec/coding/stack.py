"""The stack of bits-back coding: an ANS coder (`ans.py`) that starts from a seed.

A pop from an empty coder raises nothing and gives symbols all the same, so the stack is seeded.
"""

import hashlib
import math
from typing import Protocol

import numpy as np

from acncodec.coding.ans import coder
from acncodec.errors import DamagedError
from acncodec.kernel.coder import CompiledCoder

_SEED_LABEL = b"acncodec bits-back seed 1"
_SEAL = 1  # the word above arbitrary words, so that leading zeros are not lost


def seed_words(count: int) -> np.ndarray:
    """The fixed pseudo-random words at the bottom of the stack: uint32 [count], the topmost one last."""
    data = hashlib.shake_256(_SEED_LABEL).digest(4 * count)
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)[::-1].copy()


class Symbols(Protocol):
    """Interface that Bob pops symbols from: a `Stack`, or a random generator to sample images."""

    @property
    def ran_dry(self) -> bool: ...

    def pop(self, frequencies: np.ndarray) -> np.ndarray: ...

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray: ...

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None: ...


Part = tuple["Stack", slice]  # a stack, and the lanes of a step that are coded on it


class Stack:
    """A last-in, first-out entropy coder; `pop` with the same frequencies undoes `push` bit for bit.

    It codes all lanes of a step, and all steps, unless there are several (`stacks.py`).
    """

    def __init__(self, words: np.ndarray, seal: bool) -> None:
        """`words` uint32; `seal` for arbitrary words (the seed), not for words that `finish` returned."""
        try:
            self._coder = coder(np.append(words, _SEAL).astype(np.uint32) if seal else words.astype(np.uint32))
        except ValueError as error:
            raise DamagedError("the coded bits are not a valid ANS stream; the archive is damaged") from error
        self.lowest = self._coder.position[0]  # words at the bottom that no pop has reached
        self.ran_dry = False  # whether a pop has gone past the bottom; its symbols are invalid

    @classmethod
    def seeded(cls, words: int) -> "Stack":
        """A stack that holds only the seed."""
        return cls(seed_words(words), seal=True)

    @property
    def bits(self) -> float:
        """Length of the stack's contents in bits, fractions included."""
        words, state = self._coder.position
        return 32.0 * words + math.log2(state) if state else 0.0

    def lanes(self, count: int) -> "Stack":
        """The coder of a step of so many lanes: this one, as it codes them all."""
        return self

    def parts(self, lanes: int) -> list[Part]:
        """Stacks of a step and their lanes: this one has all of them."""
        return [(self, slice(0, lanes))]

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push `symbols` int [n], each under its own integer frequencies [n, K]; the first one ends on top."""
        self._coder.push(_int32(symbols), _float64(frequencies))

    def pop(self, frequencies: np.ndarray) -> np.ndarray:
        """The topmost symbols, int32 [n], each under its own integer frequencies [n, K]."""
        symbols = self._coder.pop(len(frequencies), _float64(frequencies))
        self.note_pops()
        return symbols

    def push_shared(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push `symbols` int [n], all under the same frequencies [K]; the first one ends on top."""
        self._coder.push(_int32(symbols), _float64(frequencies))

    def pop_shared(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        """The topmost `count` symbols, int32 [count], all under the same frequencies [K]."""
        symbols = self._coder.pop(count, _float64(frequencies))
        self.note_pops()
        return symbols

    @property
    def compiled(self) -> CompiledCoder | None:
        """The coder, for pops in compiled code, each followed by `note_pops`; None if it is not the compiled one."""
        return self._coder if isinstance(self._coder, CompiledCoder) else None

    def note_pops(self) -> None:
        """Record how deep pops have gone; a state below 2^32 after one means that the stack is exhausted."""
        words, state = self._coder.position
        self.lowest = min(self.lowest, words)
        self.ran_dry |= state < 1 << 32

    def finish(self, seeded_with: int) -> tuple[np.ndarray, int]:
        """Words uint32 to store, and the seed length in words that yields exactly these (for `check_seed`).

        Seed words that were never popped lie untouched at the bottom and need not be stored.
        """
        words = self._coder.words()
        seed = seed_words(seeded_with)
        length = min(len(words), len(seed), self.lowest)
        same = words[:length] == seed[:length]
        untouched = length if same.all() else int(np.argmin(same))
        return words[untouched:], seeded_with - untouched

    def check_seed(self, words: int) -> None:
        """Raise DamagedError unless exactly the seed of `words` words is left, bit for bit."""
        found = self._coder.words()
        # The length first: an archive must not determine how many words are generated.
        if len(found) != words + 1 or found[-1] != _SEAL or not np.array_equal(found[:-1], seed_words(words)):
            raise DamagedError("the coded bits do not end with the seed; the archive is damaged")


def _int32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int32)


def _float64(frequencies: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frequencies, dtype=np.float64)
