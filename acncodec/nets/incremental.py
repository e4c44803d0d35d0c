"""The decoder r(x|z) one row and one pixel at a time, for Bob: the products of `pixelcnn.py`, their results cached.

A row costs one product per block for the vertical stack over all columns at once; a pixel costs one small product per
block for the horizontal stack. All sums are exact integers, so splitting a product's rows between the two changes no bit.
"""

from typing import cast

import torch
from torch import Tensor

from acncodec.exact.grids import PRE_MAX
from acncodec.exact.rounding import requantise
from acncodec.nets.heads import Distribution
from acncodec.nets.pixelcnn import Block, GatedPixelCNN
from acncodec.nets.planes import MIDDLE, stack_centres, to_planes
from acncodec.nets.product import Product
from acncodec.nets.units import gate


class IncrementalDecoder:
    """Distributions of the values of n images side by side, pixels in raster order, colours one after the other.

    Call `start_row` for each row, then for each column `start_pixel`, then for each colour `distribution` followed by
    `put`. The same integers as the whole-image pass, bit for bit.
    """

    def __init__(self, decoder: GatedPixelCNN, latent_map: Tensor) -> None:
        """`decoder` must be exact; `latent_map` [n, H, W, map_planes] as from `LatentMap`."""
        self._decoder = decoder
        self._arch = decoder.arch
        # Columns lead, so that one column of all lanes is one contiguous matrix.
        self._map = latent_map.permute(1, 2, 0, 3).contiguous()
        width, lanes = self._map.shape[1:3]
        self._rows = [_BlockRows(cast(Block, block), lanes, width, self._map) for block in decoder.blocks]
        # Values of the row above and of this one: [width, lanes, colours].
        self._above = self._map.new_full((width, lanes, self._arch.colours), MIDDLE)
        self._current = torch.empty_like(self._above)
        self._row = self._column = 0
        self._h = self._centres = self._map  # both set by start_pixel

    @torch.no_grad()
    def start_row(self, row: int) -> None:
        """Run the vertical stack for `row`, whose image rows above are all known."""
        self._row = row
        if row:
            self._above, self._current = self._current, self._above
        z = self._map[row]
        v: Tensor | None = None
        for block in self._rows:
            v = block.start_row(v, z)

    @torch.no_grad()
    def start_pixel(self, column: int) -> None:
        """Run the horizontal stack for the pixel at `column` of the current row, whose pixels to the left are known."""
        self._column = column
        h: Tensor | None = None
        for block in self._rows:
            h = block.step(h, column)
        assert h is not None
        self._h = h
        if self._arch.logistics:
            self._centres = self._predict(column)

    def _predict(self, column: int) -> Tensor:
        """As `planes.predict`: float32 [lanes, colours, centres]."""
        left = self._current[column - 1] if column else self._above[0]
        if self._row == 0:
            return stack_centres(left, left, left, left, self._arch.centres)
        left_above, right_above = self._above[max(column - 1, 0)], self._above[min(column + 1, len(self._above) - 1)]
        return stack_centres(left, self._above[column], left_above, right_above, self._arch.centres)

    @torch.no_grad()
    def distribution(self, colour: int) -> Distribution:
        """The distribution [n, ...] of one colour of the current pixel, whose colours before are known."""
        return self._decoder.head(colour, self._h, self._current[self._column], self._centres)

    def put(self, values: Tensor, colour: int) -> None:
        """Tell the value uint8 [n] of one colour of the current pixel."""
        pixel = self._current[self._column]
        pixel[:, colour] = values
        if colour == self._arch.colours - 1:
            self._rows[0].put_planes(to_planes(pixel, self._arch, self._centres), self._column)


def _point(product: Product, x: Tensor) -> Tensor:
    """A 1x1 product of [n, C]."""
    assert product.shift is not None
    return requantise(torch.addmm(product.bias, x, product.weight), product.shift, product.low, product.high)


class _BlockRows:
    """One block's caches: the rows that its vertical window covers and the current row of its horizontal input."""

    def __init__(self, block: Block, lanes: int, width: int, like: Tensor) -> None:
        self.block, self.width = block, width
        v, h = block.vertical, block.horizontal
        self.above, self.left = v.sources[0].window, h.sources[0].window
        channels = v.sources[0].channels
        # Input rows of the vertical window, oldest first, each [width + margins, lanes, channels], zero at the margins.
        columns = width - self.above.left + self.above.right
        self.rows = [like.new_zeros(columns, lanes, channels) for _ in range(self.above.height)]
        # Input of the horizontal window: pixels lie side by side, so that a window is a slice and needs no gather.
        self.margin = -self.left.left
        self.input = like.new_zeros(lanes, (width + self.margin) * channels)
        self.channels = channels
        split = self.left.taps * channels
        self.pixel_weight, self.row_weight = h.weight[:split].contiguous(), h.weight[split:].contiguous()
        self.current: Tensor | None = None  # the first block's input row, filled pixel by pixel
        if block.first:
            self.current = like.new_zeros(columns, lanes, channels)

    def start_row(self, v: Tensor | None, z: Tensor) -> Tensor:
        """Input row [width, lanes, C] of the vertical stack (None for the first block) -> output row."""
        if self.current is not None:  # the row that was filled pixel by pixel is complete now
            fresh, self.current = self.current, self.rows.pop(0)
            self.current.zero_()
        else:
            assert v is not None
            fresh = self.rows.pop(0)
            fresh[-self.above.left : -self.above.left + self.width] = v
        self.rows.append(fresh)
        self.input.zero_()
        taps = [row[k : k + self.width] for row in self.rows for k in range(self.above.width)]
        product = self.block.vertical
        assert product.shift is not None
        acc = torch.cat([*taps, z], -1) @ product.weight + product.bias
        out = gate(requantise(acc, product.shift, -PRE_MAX, PRE_MAX), exact=True)
        if v is not None:
            out = self.block.join(v, out)
        # What the horizontal stack reads of this row is known for every column: one product now, one less a pixel.
        self.partial = torch.cat([out, z], -1) @ self.row_weight + self.block.horizontal.bias
        return out

    def step(self, h: Tensor | None, column: int) -> Tensor:
        """Horizontal stream [lanes, C] of the block before (None for the first block) -> this block's."""
        if h is not None:
            start = (column + self.margin) * self.channels
            self.input[:, start : start + self.channels] = h
        start = column * self.channels
        window = self.input[:, start : start + self.left.taps * self.channels]
        product = self.block.horizontal
        assert product.shift is not None
        acc = torch.addmm(self.partial[column], window, self.pixel_weight)
        update = _point(self.block.residual, gate(requantise(acc, product.shift, -PRE_MAX, PRE_MAX), exact=True))
        return update if h is None else self.block.join(h, update)

    def put_planes(self, planes: Tensor, column: int) -> None:
        """The first block's input [lanes, planes] at `column`."""
        assert self.current is not None
        self.current[column - self.above.left] = planes
        start = (column + self.margin) * self.channels
        self.input[:, start : start + self.channels] = planes
