"""The ANS coder in the compiled module: constriction's `AnsCoder` bit for bit (docs/FORMAT.md, section 4), without the GIL.

A row of pixels is decoded in one call of it (`decoder.CompiledDecoder.pop_row`).
"""

import numpy as np

from acncodec.kernel.compiled import native

STACK = np.dtype([("words", "<i8"), ("count", "<i8"), ("state", "<u8")])  # as the compiled module has it, an `ans_t`
_WORD = 32
_LEAST_ROOM = 1024  # words


class CompiledCoder:
    """A last-in, first-out coder with words of 32 bits, a state of 64 and probabilities of 24.

    `position` is the number of words below the state, and the state.
    """

    def __init__(self, words: np.ndarray) -> None:
        """From stored words, uint32 [n], the topmost last. Raises ValueError if that one is 0."""
        if len(words) and not words[-1]:
            raise ValueError("the topmost word of a stack is not 0")
        state, count = 0, len(words)
        while state < 1 << _WORD and count:
            count -= 1
            state = state << _WORD | int(words[count])
        self.position = count, state
        self.below = np.zeros(count + _LEAST_ROOM, np.uint32)  # words below the state, and room for more
        self.below[:count] = words[:count]

    def words(self) -> np.ndarray:
        """All of the stack as words to store, uint32 [n]."""
        count, state = self.position
        above = [state & (1 << _WORD) - 1, state >> _WORD]
        while above and not above[-1]:
            above.pop()
        return np.concatenate([self.below[:count], np.array(above, np.uint32)])

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push symbols int32 [n], the last one first, under frequencies float64 [n, K], or [K] for all of them.

        Raises ValueError for a symbol out of range.
        """
        self._make_room(len(symbols))
        self.position = native.push(self.below, *self.position, symbols, frequencies, frequencies.shape[-1])

    def pop(self, count: int, frequencies: np.ndarray) -> np.ndarray:
        """The topmost symbols, int32 [count], under frequencies float64 [count, K], or [K] for all of them."""
        symbols = np.empty(count, np.int32)
        self.position = native.pop(self.below, *self.position, symbols, frequencies, frequencies.shape[-1])
        return symbols

    def _make_room(self, count: int) -> None:
        """For as many words: no symbol pushes more than one."""
        used, _ = self.position
        if used + count > len(self.below):
            below = np.zeros(max(2 * len(self.below), used + count), np.uint32)
            below[:used] = self.below[:used]
            self.below = below
