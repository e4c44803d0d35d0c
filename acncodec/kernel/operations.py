"""Builds operations in the word layout of native/operations.h, with the addresses of their inputs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from acncodec.exact.grids import PRE_MAX
from acncodec.exact.tables import tanh_table
from acncodec.kernel.buffers import NOWHERE, PADDED, Address, Buffer, Lanes, up_to
from acncodec.kernel.programs import (
    GATE,
    LARGEST,
    PREDICT,
    PRODUCT,
    REQUANTISE,
    Program,
    Tap,
    Word,
    gated_columns,
    pack_outputs,
    pack_taps,
    pack_weights,
    plain_columns,
)
from acncodec.nets.product import Product

TANH_TABLE = 128  # entries of the kernel's table, beyond which it is saturated
Operation = list[Word]


class Row(NamedTuple):
    """The current row in a ring buffer [groups, rows, columns, lanes, channels], of which `channels` channels are used.

    `margin` columns precede the image's first.
    """

    ring: Buffer
    channels: int
    margin: int = 0

    def at(self, row: int, column: int = 0) -> tuple[Address, int, int]:
        """Address of a column of a row, and strides by column and lane; row and column may be negative."""
        ring = self.ring
        return ring.at(row % ring.array.shape[1], self.margin + column), ring.step(1), ring.step(2)

    def tap(self, row: int, column: int = 0) -> Tap:
        base, step, lane = self.at(row, column)
        return Tap(base, 0, step, lane, self.channels)


class Operations:
    """Builds operations for images in parallel, and owns the arrays they point to."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes, self._arch = lanes, lanes.arch
        self._kept: list[np.ndarray] = []  # what the operations point to
        self._addresses: dict[object, Address] = {}

    def program(self, phases: int, operations: Callable[..., list[Operation]], *arguments: int) -> Program:
        """A program of the operations that `operations(phase, *arguments)` returns for every phase."""
        return Program([operations(phase, *arguments) for phase in range(phases)], self._lanes.groups, self._kept)

    def product(
        self,
        product: Product,
        taps: list[Tap],
        finish: int,
        out: tuple[Address, int, int],
        *,
        part: slice = slice(None),
        start: tuple[Address, int, int] | None = None,
        stream: tuple[Address, int, int] | None = None,
    ) -> Operation:
        """Sums over `taps`, whose weights are the rows `part`, starting from the bias or from `start`."""
        shift = product.shift
        assert shift is not None
        columns = (plain_columns if finish == REQUANTISE else gated_columns)(product.weight.shape[1])
        weights = self.keep(
            (product, part.start, part.stop),
            lambda: pack_weights(product.weight.numpy()[part].astype(np.int16), taps, columns),
        )
        bias = self.keep((product, "bias"), lambda: pack_outputs(product.bias.numpy(), columns, 0))
        shifts = self.keep((product, "shift"), lambda: pack_outputs(shift.numpy(), columns, 1))
        packed = pack_taps(taps, self._lanes.groups)
        self._kept.append(packed.array)
        tanh = self.keep("tanh", lambda: tanh_table()[PRE_MAX : PRE_MAX + TANH_TABLE].astype(np.int16))
        low, high = (-PRE_MAX, PRE_MAX) if finish == GATE else (product.low, product.high)
        return [
            *(PRODUCT, len(taps), packed.at(), weights, len(columns), up_to(len(columns), PADDED)),
            *(start or (bias, 0, 0)),
            *(finish, shifts, low, high),
            *out,
            *(stream[:2] if stream else (NOWHERE, 0)),
            tanh,
        ]

    def pixels(
        self, kind: int, planes: tuple[Word, int, int], known: int, inside: int, row: int = 0, column: int = 0
    ) -> Operation:
        arch, values, predicted = self._arch, self._lanes.values, self._lanes.predicted
        centres = arch.centres if kind == PREDICT else self._lanes.centres
        return [
            *(kind, arch.colours, centres, self._lanes.width, arch.levels),
            *(values.at(row, column), values.step(0), values.step(1)),
            *(predicted.at(column), predicted.step(0), predicted.step(1)),
            *planes,
            *(known, inside, arch.errors),
        ]

    def largest(
        self, source: Row, at: tuple[int, int], size: tuple[int, int], step: int, out: Row, to: tuple[int, int]
    ) -> Operation:
        """Max pooling per channel: windows of `size` from `at` (row, column) on, `step` columns apart.

        Their results go to `out` from `to` (row, column) on, one column each.
        """
        base, column, _ = source.at(*at)
        target, out_column, lane = out.at(*to)
        row = source.ring.step(0)
        return [LARGEST, base, row, size[0], column, size[1], step * column, target, out_column, lane]

    def keep(self, key: object, make: Callable[[], np.ndarray]) -> Address:
        """The address of an array that is built once per key."""
        if key not in self._addresses:
            self._kept.append(make())
            self._addresses[key] = Address(self._kept[-1].ctypes.data)
        return self._addresses[key]
