"""The programs of a decoder: its products and the operations between them, in the order of `nets/pixelcnn.py`.

The rows of a vertical window lie in a ring buffer, so programs depend on a row's phase: its number modulo the number of
phases.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import cast

import numpy as np

from acncodec.exact.tables import exp_table, logistic_table, steepness_table
from acncodec.kernel.buffers import NOWHERE, PADDED, Address, DecoderBuffers, up_to
from acncodec.kernel.operations import Operation, Operations, Row
from acncodec.kernel.programs import (
    AROUND,
    FIND,
    FIND_REST,
    GATE,
    GREY,
    LOGISTICS,
    LOGISTICS_BITS,
    OFFER,
    OFFER_REST,
    PREDICT,
    RAW,
    REQUANTISE,
    SOFTMAX,
    SOFTMAX_BITS,
    TELL,
    Program,
    Tap,
    Word,
)
from acncodec.nets.candidates import COMPLETION_PLANES, evidence_planes
from acncodec.nets.heads import ColourHead, SoftmaxHead
from acncodec.nets.pixelcnn import GatedBlock, GatedPixelCNN
from acncodec.nets.planes import known_planes, plane_count
from acncodec.nets.product import Product

_TABLES = exp_table, logistic_table, steepness_table


class DecoderLayout(Operations):
    """Programs over `buffers`, each built on first use. Bob's handle a row or a pixel, Alice's whole rows."""

    def __init__(self, decoder: GatedPixelCNN, buffers: DecoderBuffers) -> None:
        super().__init__(buffers)
        self._decoder, self._buffers = decoder, buffers
        self._blocks = [cast(GatedBlock, block) for block in decoder.blocks]
        channels, planes = self._arch.channels, plane_count(self._arch, buffers.centres)
        lefts = [-block.horizontal.inputs[0].window.left for block in self._blocks]
        aboves = [-block.vertical.inputs[0].window.left for block in self._blocks]
        # The streams before each block and after the last; before the first block both are the planes.
        self._v = [Row(ring, channels, margin) for ring, margin in zip(buffers.rings, aboves, strict=True)]
        self._v = [Row(buffers.rings[0], planes, aboves[0]), *self._v[1:], Row(buffers.last_v, channels)]
        self._h = [Row(left, channels, margin) for left, margin in zip(buffers.lefts, lefts, strict=True)]
        self._h = [self._v[0], *self._h[1:], Row(buffers.last_h, channels)]
        self._gated = Row(buffers.gated, channels)
        self._partial = [Row(each, up_to(2 * channels, PADDED)) for each in buffers.partial]
        self._evidence = Row(buffers.evidence, evidence_planes(self._arch))
        self._completions = Row(buffers.completions, COMPLETION_PLANES)
        self._features, self._parameters = Row(buffers.features, self._arch.features), Row(buffers.parameters, 0)

    @cached_property
    def top_row(self) -> Program:
        """The vertical stack of the first row, and its contribution to the horizontal one."""
        return self._program(self._vertical_row, 0)

    @cached_property
    def row(self) -> Program:
        """The same for any other row, once the row above is known."""
        return self._program(self._vertical_row, 1)

    @cached_property
    def first_at_left(self) -> Program:
        """For the first pixel of a row, the horizontal stack and frequencies of the first digit of its first colour."""
        return self._program(self._first, 0, 0)

    @cached_property
    def first(self) -> list[Program]:
        """The same for any other pixel, once the pixel to the left is known; for the other colours only frequencies."""
        return [self._program(self._first, colour, 1) for colour in range(self._arch.colours)]

    @cached_property
    def second(self) -> list[Program]:
        """The frequencies of the second digit."""
        return [self._program(self._second, colour) for colour in range(self._arch.colours)]

    @cached_property
    def whole(self) -> Program:
        """All frequencies of all pixels of a row, and their theoretical cost."""
        return self._program(self._whole, 1)

    @cached_property
    def price(self) -> Program:
        """The theoretical cost alone."""
        return self._program(self._whole, 0)

    def _program(self, operations: Callable[..., list[Operation]], *arguments: int) -> Program:
        phases = math.lcm(*(row.ring.array.shape[1] for row in self._v))
        return self.program(phases, operations, *arguments)

    # Operations of one phase

    def _vertical_row(self, phase: int, above: int) -> list[Operation]:
        found = [self._planes(phase, row=-1)] if above else []
        for number, block in enumerate(self._blocks):
            found.append(self._vertical(number, block, phase))
            known = slice(block.horizontal.inputs[0].rows, None)
            taps = [self._v[number + 1].tap(phase), self._latents()]
            found.append(self.product(block.horizontal, taps, RAW, self._partial[number].at(0), part=known))
        return found

    def _first(self, phase: int, colour: int, left: int) -> list[Operation]:
        found = []
        if colour == 0:
            found += [self._planes(phase, column=-1)] if left else []
            for number, block in enumerate(self._blocks):
                window = slice(0, block.horizontal.inputs[0].rows)
                taps, start = self._left(number, block, phase), self._partial[number].at(0)
                found.append(self.product(block.horizontal, taps, GATE, self._gated.at(0), part=window, start=start))
                found.append(self._residual(number, block))
            found += [self._offer(FIND, self._evidence)] if self._arch.candidates else []
            found += self._predict()
        elif self._arch.candidates:
            found.append(self._offer(FIND_REST, self._completions, colour))
        return [*found, *self._head(colour), self._digit(colour, 0)]

    def _second(self, phase: int, colour: int) -> list[Operation]:
        return [self._digit(colour, 1)]

    def _planes(self, phase: int, row: int = 0, column: int = 0) -> Operation:
        """Write the planes of pixels whose values are known, here or at an offset."""
        kind = TELL if self._arch.logistics else GREY
        return self.pixels(kind, self._v[0].at(phase + row, column), self._arch.colours, 1, row, column)

    def _whole(self, phase: int, with_frequencies: int) -> list[Operation]:
        found = [*self._predict(), self._planes(phase)]
        for number, block in enumerate(self._blocks):
            found.append(self._vertical(number, block, phase))
            taps = [*self._left(number, block, phase), self._v[number + 1].tap(phase), self._latents()]
            found.append(self.product(block.horizontal, taps, GATE, self._gated.at(0)))
            found.append(self._residual(number, block))
        for colour in range(self._arch.colours):
            found += self._head(colour)
            digits = 1 if self._arch.levels == 2 else 2
            found += [self._digit(colour, digit, all_pixels=True) for digit in range(digits * with_frequencies)]
            bits = LOGISTICS_BITS if self._arch.logistics else SOFTMAX_BITS
            found.append(self._of_value(bits, colour, bits=self._buffers.bits.at()))
        return found

    def _vertical(self, number: int, block: GatedBlock, phase: int) -> Operation:
        window, v = block.vertical.inputs[0].window, self._v[number]
        rows, columns = range(window.top, window.bottom + 1), range(window.left, window.right + 1)
        taps = [*(v.tap(phase + y, x) for y in rows for x in columns), self._latents()]
        stream = None if block.first else v.at(phase)
        return self.product(block.vertical, taps, GATE, self._v[number + 1].at(phase), stream=stream)

    def _left(self, number: int, block: GatedBlock, phase: int) -> list[Tap]:
        """The taps of the horizontal window."""
        window = block.horizontal.inputs[0].window
        return [self._h[number].tap(phase, x) for x in range(window.left, window.right + 1)]

    def _residual(self, number: int, block: GatedBlock) -> Operation:
        stream = None if block.first else self._h[number].at(0)
        return self.product(block.residual, [self._gated.tap(0)], REQUANTISE, self._h[number + 1].at(0), stream=stream)

    def _latents(self) -> Tap:
        z = self._buffers.latents
        return Tap(z.at(), z.step(0), z.step(1), z.step(2), self._arch.map_planes)

    def _predict(self) -> list[Operation]:
        if not self._arch.predicts:
            return []
        predict = self.pixels(PREDICT, (NOWHERE, 0, 0), 0, 0)
        return [predict, self._offer(OFFER, self._evidence)] if self._arch.candidates else [predict]

    def _offer(self, kind: int, planes: Row, colour: int = 0) -> Operation:
        """Find copy candidates of pixels, or completions of a colour, or make them centres and evidence."""
        buffers, arch = self._buffers, self._arch
        offers, values, predicted = buffers.offers, buffers.values, buffers.predicted
        return [
            *(kind, arch.colours, buffers.width, Address(buffers.lanes, -buffers.size), colour),
            *(offers.at(), offers.step(0), offers.step(1)),
            *(Address(buffers.memory.ctypes.data), buffers.images.at()),
            *(values.at(), values.step(0), values.step(1)),
            *(predicted.at(), predicted.step(0), predicted.step(1), arch.all_centres),
            *planes.at(0),
        ]

    def _head(self, colour: int) -> list[Operation]:
        """Parameters of a colour's distribution, given the colours before it."""
        head = self._decoder.head
        h, features, parameters = self._h[-1].tap(0), self._features, self._parameters
        if isinstance(head, SoftmaxHead):
            return [
                self.product(head.features, [h], REQUANTISE, features.at(0)),
                self.product(head.logits, [features.tap(0)], REQUANTISE, parameters.at(0)),
            ]
        assert isinstance(head, ColourHead)
        told = Row(self._buffers.told, known_planes(colour, self._buffers.centres))
        known = [told.tap(0)] if colour else []
        first, last = cast(Product, head.features[colour]), cast(Product, head.outputs[colour])
        found = [self.pixels(TELL, told.at(0), colour, 0)] if colour else []
        evidence = []
        if self._arch.candidates:
            found.append(self._offer(OFFER_REST, self._completions, colour))
            evidence = [self._evidence.tap(0), self._completions.tap(0)]
        found.append(self.product(first, [h, *known, *evidence], REQUANTISE, features.at(0)))
        found.append(self.product(last, [features.tap(0), *known], REQUANTISE, parameters.at(0)))
        return [*found, self._of_value(AROUND, colour)]

    def _digit(self, colour: int, digit: int, all_pixels: bool = False) -> Operation:
        """Frequencies of a digit, of the current pixel or of all pixels."""
        kind, buffers = LOGISTICS if self._arch.logistics else SOFTMAX, self._buffers
        digits, frequencies = buffers.digits, buffers.frequencies
        first: tuple[Word, int, int] = (digits.at(), 0, 0)
        out: tuple[Word, int, int] = (frequencies.at(), 0, 0)
        if all_pixels:
            digits, frequencies = buffers.all_digits, buffers.all_frequencies
            first = digits.at(colour), digits.step(1), digits.step(2)
            out = frequencies.at(0, 0, colour, digit), frequencies.step(0), frequencies.step(1)
        return self._of_value(kind, colour, first if digit else (NOWHERE, 0, 0), out)

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
        tables = [self.keep(make, make) for make in _TABLES]  # all int32
        return [
            *(kind, arch.logistics, arch.levels),
            *self._parameters.at(0),
            *(predicted.at(0, 0, 0, colour), predicted.step(0), predicted.step(1), arch.colours, arch.all_centres),
            *first,
            *frequencies,
            Address(buffers.lanes, -buffers.size),  # lanes from this group's first on: `size` fewer for each next group
            *tables,
            *(values.at(0, 0, 0, colour), values.step(0), values.step(1)),
            bits,
            self.keep("exp", lambda: np.exp(np.arange(len(exp_table())) / -32.0)),
        ]
