"""Adaptive binary models over constriction's range coder.

Each bit is coded with the counts of earlier bits in the same context. The counts are integers, passed to constriction as
float64, unnormalised, always with perfect=False: every machine writes the same.
"""

from collections.abc import Hashable

import numpy as np
from constriction import stream

from acncodec.errors import DamagedError

_COUNT_LIMIT = 2048
_BATCH = 4096  # bits passed to constriction's encoder at once: one by one takes ten times as long


class BitCoder:
    """Base class, which codes nothing; `contexts` holds the odd counts 2 n + 1 of each bit."""

    def __init__(self) -> None:
        self.contexts: dict[Hashable, list[int]] = {}

    def bit(self, context: Hashable, bit: int) -> int:
        """Code one bit; a reader ignores the argument and returns what it read."""
        raise NotImplementedError

    def number(self, context: tuple[int, ...], value: int) -> int:
        """Code an integer >= 0 (Elias gamma of value + 1): bit length in unary, then the lower bits from the top."""
        wanted, size = (value + 1).bit_length() - 1, 0
        while self.bit((context, size), size < wanted):
            size += 1
            if size > 64:
                raise damaged()
        prefix = 1
        for shift in reversed(range(size)):
            prefix = 2 * prefix + self.bit((context, size, prefix), value + 1 >> shift & 1)
        return prefix - 1


class BitWriter(BitCoder):
    """Collects bits and their counts for the range encoder."""

    def __init__(self) -> None:
        super().__init__()
        self._encoder = stream.queue.RangeEncoder()
        self._family = stream.model.Categorical(perfect=False)
        self._bits: list[int] = []
        self._counts: list[int] = []  # two for each bit

    def bit(self, context: Hashable, bit: int) -> int:
        counts = self.contexts.setdefault(context, [1, 1])
        self._bits.append(bit)
        self._counts += counts
        counts[bit] += 2
        if counts[bit] > _COUNT_LIMIT:
            counts[:] = [count >> 1 | 1 for count in counts]
        if len(self._bits) == _BATCH:
            self._flush()
        return bit

    def finish(self) -> bytes:
        """All bits coded so far, in whole words of 4 bytes; no bits give no bytes."""
        self._flush()
        return self._encoder.get_compressed().astype("<u4").tobytes()

    def _flush(self) -> None:
        counts = np.array(self._counts, np.float64).reshape(-1, 2)
        self._encoder.encode(np.array(self._bits, np.int32), self._family, counts)
        self._bits, self._counts = [], []


class BitReader(BitWriter):
    """Decodes bits from `data` and re-encodes them, since constriction does not detect the end of its stream."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        if len(data) % 4:
            raise damaged()
        self._data = data
        self._decoder = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        self._pair = np.empty(2)  # float64

    def bit(self, context: Hashable, bit: int) -> int:
        counts = self._pair
        counts[0], counts[1] = self.contexts.get(context, (1, 1))
        try:
            bit = self._decoder.decode(stream.model.Categorical(counts, lazy=True, perfect=False))
        except AssertionError as error:
            raise damaged() from error
        return super().bit(context, bit)

    def finish(self) -> bytes:
        """`data`, if it is exactly what a writer makes of the bits read, else DamagedError."""
        if super().finish() != self._data:
            raise damaged()
        return self._data

    def _flush(self) -> None:
        super()._flush()
        if self._encoder.num_words() > len(self._data) // 4 + 1:  # a finished stream may be one word shorter
            raise damaged()


class BitMeter(BitCoder):
    """Codes nothing; `price` is the probability of the bits passed to it under another coder's contexts."""

    def __init__(self, coder: BitCoder) -> None:
        super().__init__()
        self.contexts = coder.contexts
        self.price = 1.0  # products and quotients of doubles only: the same on every machine

    def bit(self, context: Hashable, bit: int) -> int:
        counts = self.contexts.get(context, (1, 1))
        self.price *= counts[bit] / (counts[0] + counts[1])
        return bit


def damaged() -> DamagedError:
    return DamagedError("The archive's list of file names is damaged.")
