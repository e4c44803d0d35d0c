"""Programs for the compiled kernel (`native/operations.h`): operations as words, for every group of lanes.

An operation is WORDS integers: numbers, strides in elements, and addresses. Each group of lanes has its own buffers, so an
address is that of the first group, with the distance between groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from acncodec.kernel.buffers import OUTS, PADDED, Address, Buffer, up_to

WORDS = 32
PRODUCT, PREDICT, TELL, GREY, AROUND, LOGISTICS, SOFTMAX, LOGISTICS_BITS, SOFTMAX_BITS, LARGEST = range(10)  # opcodes,
FIND, OFFER, FIND_REST, OFFER_REST = range(10, 14)  # and those of copy candidates and completions
REQUANTISE, GATE, RAW = range(3)  # output stage of a product
MAX_TAPS = 256  # of a product

Word = int | Address


@dataclass(frozen=True)
class Tap:
    """One position of a window: `channels` channels from `base` on; strides by row, column and lane."""

    base: Address
    row: int
    column: int
    lane: int
    channels: int

    @property
    def pairs(self) -> int:
        return -(-self.channels // 2)


def pack_weights(weight: np.ndarray, taps: Sequence[Tap], columns: np.ndarray) -> np.ndarray:
    """Rows of a product's weight [rows, out], those of `taps` in order, as int16 [pairs, padded, 2].

    `columns` int64 [outs] selects and orders the outputs, -1 for padding.
    """
    parts, start = [], 0
    wide = np.concatenate([weight, np.zeros((len(weight), 1), weight.dtype)], 1)
    for tap in taps:
        part = np.zeros((2 * tap.pairs, up_to(len(columns), PADDED)), np.int16)
        part[: tap.channels, : len(columns)] = wide[start : start + tap.channels, columns]
        parts.append(part.reshape(tap.pairs, 2, -1).transpose(0, 2, 1))
        start += tap.channels
    if start != len(weight):
        raise ValueError(f"taps of {start} channels do not fit a weight of {len(weight)} rows")
    return np.ascontiguousarray(np.concatenate(parts))


def pack_outputs(values: np.ndarray, columns: np.ndarray, filler: int) -> np.ndarray:
    """A value for each output [out] as int32 [padded], ordered by `columns` as in `pack_weights`."""
    packed = np.full(up_to(len(columns), PADDED), filler, np.int32)
    packed[: len(columns)] = np.append(values, filler)[columns]
    return packed


@cache
def plain_columns(out: int) -> np.ndarray:
    """All outputs, padded to a multiple of OUTS."""
    return np.concatenate([np.arange(out), np.full(up_to(out, OUTS) - out, -1)])


@cache
def gated_columns(out: int) -> np.ndarray:
    """The two halves of `out` pre-activations interleaved, padded."""
    half = plain_columns(out // 2)
    return np.stack([half, np.where(half < 0, -1, half + out // 2)], 1).ravel()


class Program:
    """Operations, a list for each phase: row r runs those of phase r modulo the number of phases."""

    def __init__(self, phases: list[list[list[Word]]], groups: int, kept: object) -> None:
        """`kept` owns the memory that the words point to."""
        self._kept = kept
        words = [_fill(operation) for phase in phases for operation in phase]
        first = np.array([[w.first if isinstance(w, Address) else w for w in each] for each in words], np.int64)
        apart = np.array([[w.apart if isinstance(w, Address) else 0 for w in each] for each in words], np.int64)
        shape = len(phases), 1, len(phases[0]), WORDS
        group = np.arange(groups)[:, None, None]
        self._words = np.ascontiguousarray(first.reshape(shape) + group * apart.reshape(shape))
        self.shape = len(phases), groups, len(phases[0])
        self.address = self._words.ctypes.data


def _fill(operation: list[Word]) -> list[Word]:
    assert len(operation) <= WORDS
    return operation + [0] * (WORDS - len(operation))


def pack_taps(taps: Sequence[Tap], groups: int) -> Buffer:
    """Taps for every group: int64 [groups, taps, 5], in the layout of `tap_t`."""
    words = np.array([[t.base.first, t.row, t.column, t.lane, t.pairs] for t in taps], np.int64)
    apart = np.zeros_like(words)
    apart[:, 0] = [t.base.apart for t in taps]
    packed = words + np.arange(groups)[:, None, None] * apart
    return Buffer(packed, packed.strides[0])
