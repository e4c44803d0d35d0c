"""The programs of a decoder: its products and what follows them, in the order and by the names of `nets/pixelcnn.py`.

What a vertical window covers lies in a ring of rows, so programs differ by a row's phase: its number modulo that of phases.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np

from acncodec.exact.grids import PRE_MAX
from acncodec.exact.tables import exp_table, logistic_table, steepness_table, tanh_table
from acncodec.kernel.buffers import NOWHERE, PADDED, Address, Buffer, Buffers, up_to
from acncodec.kernel.programs import (
    AROUND,
    GATE,
    GREY,
    LOGISTICS,
    LOGISTICS_BITS,
    PREDICT,
    PRODUCT,
    RAW,
    REQUANTISE,
    SOFTMAX,
    SOFTMAX_BITS,
    TELL,
    Program,
    Tap,
    Word,
    gated_columns,
    pack_bias,
    pack_taps,
    pack_weights,
    plain_columns,
)
from acncodec.nets.heads import ColourHead, SoftmaxHead
from acncodec.nets.pixelcnn import Block, GatedPixelCNN
from acncodec.nets.planes import known_planes, plane_count
from acncodec.nets.product import Product

_TANH_ENTRIES = 128  # of the kernel's table, beyond which it is flat
_TABLES = exp_table, logistic_table, steepness_table
Operation = list[Word]


class Row(NamedTuple):
    """The current row in a ring [groups, rows, columns, lanes, channels], of which so many channels count.

    `margin` columns lie before the image's first.
    """

    ring: Buffer
    channels: int
    margin: int = 0

    def at(self, row: int, column: int = 0) -> tuple[Address, int, int]:
        """Where a column of a row lies, and the steps by column and lane; row and column may be negative."""
        ring = self.ring
        return ring.at(row % ring.array.shape[1], self.margin + column), ring.step(1), ring.step(2)

    def tap(self, row: int, column: int = 0) -> Tap:
        base, step, lane = self.at(row, column)
        return Tap(base, 0, step, lane, self.channels)


class Layout:
    """Programs over `buffers`, each made when it is first asked for. Bob's take a row or a pixel, Alice's whole rows."""

    def __init__(self, decoder: GatedPixelCNN, buffers: Buffers) -> None:
        self._decoder, self._arch, self._buffers = decoder, decoder.arch, buffers
        self._blocks = [cast(Block, block) for block in decoder.blocks]
        self._kept: dict[object, np.ndarray] = {}  # what programs point to
        channels, planes = self._arch.channels, plane_count(self._arch)
        lefts = [-block.horizontal.sources[0].window.left for block in self._blocks]
        aboves = [-block.vertical.sources[0].window.left for block in self._blocks]
        # The streams before each block and behind the last; before the first block both are the planes.
        self._v = [Row(ring, channels, margin) for ring, margin in zip(buffers.rings, aboves, strict=True)]
        self._v = [Row(buffers.rings[0], planes, aboves[0]), *self._v[1:], Row(buffers.last_v, channels)]
        self._h = [Row(left, channels, margin) for left, margin in zip(buffers.lefts, lefts, strict=True)]
        self._h = [self._v[0], *self._h[1:], Row(buffers.last_h, channels)]
        self._gated = Row(buffers.gated, channels)
        self._partial = [Row(each, up_to(2 * channels, PADDED)) for each in buffers.partial]
        self._features, self._parameters = Row(buffers.features, self._arch.features), Row(buffers.parameters, 0)

    @cached_property
    def top_row(self) -> Program:
        """The vertical stack of the first row, and what the horizontal one reads of it."""
        return self._program(self._vertical_row, 0)

    @cached_property
    def row(self) -> Program:
        """The same of any other row, once the row above is told."""
        return self._program(self._vertical_row, 1)

    @cached_property
    def first_at_left(self) -> Program:
        """Of the first pixel of a row, the horizontal stack and frequencies of the leading digit of its first colour."""
        return self._program(self._first, 0, 0)

    @cached_property
    def first(self) -> list[Program]:
        """The same of any other pixel, once the pixel to the left is told; and for the other colours their frequencies."""
        return [self._program(self._first, colour, 1) for colour in range(self._arch.colours)]

    @cached_property
    def second(self) -> list[Program]:
        """The frequencies of its second digit."""
        return [self._program(self._second, colour) for colour in range(self._arch.colours)]

    @cached_property
    def whole(self) -> Program:
        """All frequencies of all pixels of a row, and what they cost in theory."""
        return self._program(self._whole, 1)

    @cached_property
    def price(self) -> Program:
        """What they cost in theory alone."""
        return self._program(self._whole, 0)

    def _program(self, operations: Callable[..., list[Operation]], *arguments: int) -> Program:
        phases = math.lcm(*(row.ring.array.shape[1] for row in self._v))
        return Program([operations(phase, *arguments) for phase in range(phases)], self._buffers.groups)

    # Operations of one phase

    def _vertical_row(self, phase: int, above: int) -> list[Operation]:
        found = [self._planes(phase, row=-1)] if above else []
        for number, block in enumerate(self._blocks):
            found.append(self._vertical(number, block, phase))
            known = slice(block.horizontal.sources[0].rows, None)
            taps = [self._v[number + 1].tap(phase), self._latents()]
            found.append(self._product(block.horizontal, taps, RAW, self._partial[number].at(0), part=known))
        return found

    def _first(self, phase: int, colour: int, left: int) -> list[Operation]:
        found = []
        if colour == 0:
            found += [self._planes(phase, column=-1)] if left else []
            for number, block in enumerate(self._blocks):
                window = slice(0, block.horizontal.sources[0].rows)
                taps, start = self._left(number, block, phase), self._partial[number].at(0)
                found.append(self._product(block.horizontal, taps, GATE, self._gated.at(0), part=window, start=start))
                found.append(self._residual(number, block))
            found += self._predict()
        return [*found, *self._head(colour), self._digit(colour, 0)]

    def _second(self, phase: int, colour: int) -> list[Operation]:
        return [self._digit(colour, 1)]

    def _planes(self, phase: int, row: int = 0, column: int = 0) -> Operation:
        """Tell pixels whose values are known, here or that far from here."""
        kind = TELL if self._arch.logistics else GREY
        return self._pixels(kind, self._v[0].at(phase + row, column), self._arch.colours, 1, row, column)

    def _whole(self, phase: int, with_frequencies: int) -> list[Operation]:
        found = [*self._predict(), self._planes(phase)]
        for number, block in enumerate(self._blocks):
            found.append(self._vertical(number, block, phase))
            taps = [*self._left(number, block, phase), self._v[number + 1].tap(phase), self._latents()]
            found.append(self._product(block.horizontal, taps, GATE, self._gated.at(0)))
            found.append(self._residual(number, block))
        for colour in range(self._arch.colours):
            found += self._head(colour)
            digits = 1 if self._arch.levels == 2 else 2
            found += [self._digit(colour, digit, all_pixels=True) for digit in range(digits * with_frequencies)]
            bits = LOGISTICS_BITS if self._arch.logistics else SOFTMAX_BITS
            found.append(self._of_value(bits, colour, bits=self._buffers.bits.at()))
        return found

    def _vertical(self, number: int, block: Block, phase: int) -> Operation:
        window, v = block.vertical.sources[0].window, self._v[number]
        rows, columns = range(window.top, window.bottom + 1), range(window.left, window.right + 1)
        taps = [*(v.tap(phase + y, x) for y in rows for x in columns), self._latents()]
        stream = None if block.first else v.at(phase)
        return self._product(block.vertical, taps, GATE, self._v[number + 1].at(phase), stream=stream)

    def _left(self, number: int, block: Block, phase: int) -> list[Tap]:
        """The taps of the horizontal window."""
        window = block.horizontal.sources[0].window
        return [self._h[number].tap(phase, x) for x in range(window.left, window.right + 1)]

    def _residual(self, number: int, block: Block) -> Operation:
        stream = None if block.first else self._h[number].at(0)
        return self._product(block.residual, [self._gated.tap(0)], REQUANTISE, self._h[number + 1].at(0), stream=stream)

    def _latents(self) -> Tap:
        z = self._buffers.latents
        return Tap(z.at(), z.step(0), z.step(1), z.step(2), self._arch.map_planes)

    def _predict(self) -> list[Operation]:
        return [self._pixels(PREDICT, (NOWHERE, 0, 0), 0, 0)] if self._arch.logistics else []

    def _head(self, colour: int) -> list[Operation]:
        """Parameters of a colour's distribution, the colours before being known."""
        head = self._decoder.head
        h, features, parameters = self._h[-1].tap(0), self._features, self._parameters
        if isinstance(head, SoftmaxHead):
            return [
                self._product(head.features, [h], REQUANTISE, features.at(0)),
                self._product(head.logits, [features.tap(0)], REQUANTISE, parameters.at(0)),
            ]
        assert isinstance(head, ColourHead)
        told = Row(self._buffers.told, known_planes(self._arch, colour))
        known = [told.tap(0)] if colour else []
        first, last = cast(Product, head.features[colour]), cast(Product, head.outputs[colour])
        found = [self._pixels(TELL, told.at(0), colour, 0)] if colour else []
        found.append(self._product(first, [h, *known], REQUANTISE, features.at(0)))
        found.append(self._product(last, [features.tap(0), *known], REQUANTISE, parameters.at(0)))
        return [*found, self._of_value(AROUND, colour)]

    def _digit(self, colour: int, digit: int, all_pixels: bool = False) -> Operation:
        """Frequencies of a digit, of the current pixel or of all."""
        kind, buffers = LOGISTICS if self._arch.logistics else SOFTMAX, self._buffers
        digits, frequencies = buffers.digits, buffers.frequencies
        first: tuple[Word, int, int] = (digits.at(), 0, 0)
        out: tuple[Word, int, int] = (frequencies.at(), 0, 0)
        if all_pixels:
            digits, frequencies = buffers.all_digits, buffers.all_frequencies
            first = digits.at(colour), digits.step(1), digits.step(2)
            out = frequencies.at(0, 0, colour, digit), frequencies.step(0), frequencies.step(1)
        return self._of_value(kind, colour, first if digit else (NOWHERE, 0, 0), out)

    # Operations word for word, as native/operations.h has them

    def _product(
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
        """Sums over `taps`, which are those of `part` of the weight's rows, from the bias or another `start` on."""
        assert product.shift is not None
        weight = product.weight.numpy()[part].astype(np.int16)
        columns = plain_columns(weight.shape[1]) if finish == REQUANTISE else gated_columns(weight.shape[1])
        weights = self._keep((product, part.start, part.stop), lambda: pack_weights(weight, taps, columns))
        bias = self._keep((product, "bias"), lambda: pack_bias(product.bias.numpy().astype(np.int32), columns))
        packed = pack_taps(taps, self._buffers.groups)
        self._kept[len(self._kept)] = packed.array
        tanh = self._keep("tanh", lambda: tanh_table()[PRE_MAX : PRE_MAX + _TANH_ENTRIES].astype(np.int16))
        low, high = (-PRE_MAX, PRE_MAX) if finish == GATE else (product.low, product.high)
        return [
            *(PRODUCT, len(taps), packed.at(), weights, len(columns), up_to(len(columns), PADDED)),
            *(start or (bias, 0, 0)),
            *(finish, product.shift, low, high),
            *out,
            *(stream[:2] if stream else (NOWHERE, 0)),
            tanh,
        ]

    def _pixels(
        self, kind: int, planes: tuple[Word, int, int], known: int, inside: int, row: int = 0, column: int = 0
    ) -> Operation:
        arch, values, predicted = self._arch, self._buffers.values, self._buffers.predicted
        return [
            *(kind, arch.colours, arch.centres, self._buffers.width, arch.levels),
            *(values.at(row, column), values.step(0), values.step(1)),
            *(predicted.at(column), predicted.step(0), predicted.step(1)),
            *planes,
            *(known, inside),
        ]

    def _of_value(
        self,
        kind: int,
        colour: int,
        first: tuple[Word, int, int] = (NOWHERE, 0, 0),
        frequencies: tuple[Word, int, int] = (NOWHERE, 0, 0),
        bits: Address = NOWHERE,
    ) -> Operation:
        """An operation on the parameters of a colour's distribution."""
        arch, buffers = self._arch, self._buffers
        predicted, values = buffers.predicted, buffers.values
        tables = [self._keep(make, make) for make in _TABLES]  # all int32
        return [
            *(kind, arch.logistics, arch.levels),
            *self._parameters.at(0),
            *(predicted.at(0, 0, 0, colour), predicted.step(0), predicted.step(1), arch.colours, arch.centres),
            *first,
            *frequencies,
            Address(buffers.lanes, -buffers.size),  # lanes from the first group's on, and so many fewer from the next one's
            *tables,
            *(values.at(0, 0, 0, colour), values.step(0), values.step(1)),
            bits,
            self._keep("exp", lambda: np.exp(np.arange(len(exp_table())) / -32.0)),
        ]

    def _keep(self, key: object, make: Callable[[], np.ndarray]) -> Address:
        """The address of an array that is made once."""
        if key not in self._kept:
            self._kept[key] = make()
        return Address(self._kept[key].ctypes.data)
