"""Incremental pass of the decoder r(x|z), by row and pixel, for Bob: the products of `pixelcnn.py` with cached results.

A row costs one product per block for the vertical stack over all columns at once; a pixel costs one small product per
block for the horizontal stack. All sums are exact integers, so splitting a product's rows between the two changes no bit.

All state that outlives a step is in tensors at fixed addresses, so that steps can be recorded (`graphs.py`).
"""

from typing import cast

import torch
from torch import Tensor

from acncodec.exact.grids import PRE_MAX
from acncodec.exact.rounding import requantise
from acncodec.nets.architecture import OFFERS
from acncodec.nets.candidates import Evidence, candidate_planes, completions, evidence_planes, join_centres
from acncodec.nets.graphs import Indices, Position, Shared, Slices
from acncodec.nets.heads import Distribution
from acncodec.nets.pixelcnn import GatedBlock, GatedPixelCNN
from acncodec.nets.planes import MIDDLE, stack_centres, to_planes
from acncodec.nets.product import Product
from acncodec.nets.units import gate


class IncrementalDecoder:
    """Distributions of the values of n images in parallel, pixels in raster order, colours one after the other.

    Call `start_row` for each row, then for each column `start_pixel`, then for each colour `distribution` followed by
    `put`. Gives the same integers as the whole-image pass.

    In models with copy candidates `offers` are set before: candidates before `start_pixel`, completions before
    `distribution`.

    `start_row`, `start_pixel` and `put` each set a position or values (`move_row`, `move_column`, `values`) and run a step
    (`row_step`, `pixel_step`, `put_step`). A recorder may record the steps and `distribution`.
    """

    def __init__(self, decoder: GatedPixelCNN, latent_map: Tensor, replayable: bool | None = None) -> None:
        """`decoder` must be exact; `latent_map` [n, H, W, map_planes] as from `LatentMap`.

        `replayable` is whether a recorded step works at other positions too; by default if the tensors are on CUDA.
        """
        self._decoder = decoder
        self._arch = arch = decoder.arch
        # Lanes come after columns, so that one column of all lanes is a contiguous matrix.
        self._map = latent_map.permute(1, 2, 0, 3).contiguous()
        lanes, self._width, device = len(latent_map), latent_map.shape[2], latent_map.device
        indexed = latent_map.is_cuda if replayable is None else replayable
        self._row: Position = Indices(1, device) if indexed else Slices()
        self._column: Position = Indices(max(arch.first, arch.kernel), device) if indexed else Slices()
        self._blocks = [_BlockCache(cast(GatedBlock, block), self._column, self._map) for block in decoder.blocks]
        self._h = self._map.new_empty(lanes, arch.channels)
        self.values = torch.zeros(lanes, dtype=torch.uint8, device=device)  # input of `put_step`
        self._pixel = self._map.new_zeros(lanes, arch.colours)
        self._of_colours = self._pixel.unbind(1)
        # For predictions: values of the row above followed by this row, and the indices of the pixel's neighbours in them.
        self._near = self._map.new_full((2 * self._width, lanes, arch.colours), MIDDLE)
        self._above, self._current = self._near.split(self._width)
        self._neighbours = Shared((4,), torch.int64, device)
        self._centres = self._map.new_zeros(lanes, arch.colours, arch.known_centres)
        # Input of `pixel_step` and `distribution`, in models with copy candidates.
        self.offers = Shared((lanes, OFFERS if arch.candidates else 0, arch.colours + 1), torch.uint8, device)
        self._evidence = self._map.new_zeros(lanes, evidence_planes(arch))
        self._at_top = True

    def load(self, latent_map: Tensor) -> None:
        """Start again with other images of the same number and size."""
        self._map.copy_(latent_map.permute(1, 2, 0, 3))
        self._near.fill_(MIDDLE)
        for block in self._blocks:
            block.clear()

    def start_row(self, row: int) -> None:
        """Run the vertical stack for `row`; all image rows above it must be known."""
        self.move_row(row)
        self.row_step()

    def move_row(self, row: int) -> None:
        self._at_top = row == 0
        self._row.move(row)

    def row_step(self) -> None:
        self._row.arrive()
        z = self._row.pick(self._map, 0)
        if self._arch.predicts:
            self._above.copy_(self._current)
        v: Tensor | None = None
        for block in self._blocks:
            v = block.row_step(v, z)

    def start_pixel(self, column: int) -> None:
        """Run the horizontal stack for the pixel at `column` of the current row; the pixels to its left must be known."""
        self.move_column(column)
        self.pixel_step()

    def move_column(self, column: int) -> None:
        self._column.move(column)
        # As `planes.predict`: left, above, left above, right above, as indices into both rows' columns.
        left = self._width + column - 1 if column else 0
        above = column, max(column - 1, 0), min(column + 1, self._width - 1)
        self._neighbours.array[:] = (left,) * 4 if self._at_top else (left, *above)

    def pixel_step(self) -> None:
        self._column.arrive()
        h: Tensor | None = None
        for block in self._blocks:
            h = block.pixel_step(h)
        assert h is not None
        self._h.copy_(h)
        if self._arch.predicts:
            self._neighbours.upload()
            left, above, left_above, right_above = self._near.index_select(0, self._neighbours.tensor).unbind()
            centres = stack_centres(left, above, left_above, right_above, self._arch.centres)
            if self._arch.candidates:
                self.offers.upload()
                self._evidence.copy_(candidate_planes(self.offers.tensor, centres))
                centres = join_centres(centres, self.offers.tensor)
            self._centres.copy_(centres)

    def distribution(self, colour: int) -> Distribution:
        """The distribution [n, ...] of one colour of the current pixel; its earlier colours must be known."""
        told = None
        if self._arch.candidates:
            if colour:
                self.offers.upload()
            told = Evidence(self._evidence, *completions(self.offers.tensor))
        return self._decoder.head(colour, self._h, self._pixel, self._centres, told)

    def put(self, values: Tensor, colour: int) -> None:
        """Set the values uint8 [n] of one colour of the current pixel."""
        self.values.copy_(values)
        self.put_step(colour)

    def put_step(self, colour: int) -> None:
        self._of_colours[colour].copy_(self.values)
        if colour == self._arch.colours - 1:
            if self._arch.predicts:
                self._column.write(self._current, 0, 0, self._pixel)
            self._blocks[0].put_planes(to_planes(self._pixel, self._arch, self._centres))


def _point(product: Product, x: Tensor) -> Tensor:
    """A 1x1 product of [n, C]."""
    return requantise(torch.addmm(product.bias, x, product.weight), product.factor, product.low, product.high)


class _BlockCache:
    """One block's caches: the rows that its vertical window covers and the current row of its horizontal input."""

    def __init__(self, block: GatedBlock, column: Position, latent_map: Tensor) -> None:
        """`latent_map` [H, W, n, C] gives sizes and device."""
        self.block, self.column = block, column
        width, lanes = latent_map.shape[1:3]
        v, h = block.vertical, block.horizontal
        above, left = v.inputs[0].window, h.inputs[0].window
        channels = v.inputs[0].channels
        # Input rows, oldest first, [W + margins, lanes, channels] each, zero at the margins: those that the vertical
        # window covers, and for the first block, whose window excludes it, the current row.
        columns = width - above.left + above.right
        self.rows = latent_map.new_zeros(above.height + block.first, columns, lanes, channels)
        self.taps = [row[k : k + width] for row in self.rows[: above.height] for k in range(above.width)]
        self.behind = -above.left  # index of the image's first column in a row
        # Input of the horizontal window: pixels are adjacent in memory, so that a window is a slice.
        self.margin, self.seen = -left.left, left.taps
        self.input = latent_map.new_zeros(lanes, width + self.margin, channels)
        split = left.taps * channels
        self.pixel_weight, self.row_weight = h.weight[:split].contiguous(), h.weight[split:].contiguous()
        # The horizontal stack's inputs other than its window are known for the whole row: one product a row, not a pixel.
        self.partial = latent_map.new_zeros(width, lanes, h.weight.shape[1])

    def clear(self) -> None:
        """Zero the rows, as above the image. Of `input` only the margin is read before it is written, and it stays zero."""
        self.rows.zero_()

    def row_step(self, v: Tensor | None, z: Tensor) -> Tensor:
        """Input row [W, lanes, C] of the vertical stack (None for the first block) and map -> output row."""
        for older, newer in zip(self.rows[:-1], self.rows[1:], strict=True):
            older.copy_(newer)
        if v is not None:
            self.rows[-1, self.behind : self.behind + len(v)] = v
        product = self.block.vertical
        acc = torch.cat([*self.taps, z], -1) @ product.weight + product.bias
        out = gate(requantise(acc, product.factor, -PRE_MAX, PRE_MAX), exact=True)
        if v is not None:
            out = self.block.join(v, out)
        known = torch.cat([out, z], -1).flatten(0, 1)
        torch.addmm(self.block.horizontal.bias, known, self.row_weight, out=self.partial.view(len(known), -1))
        return out

    def pixel_step(self, h: Tensor | None) -> Tensor:
        """Horizontal stream [lanes, C] of the previous block (None for the first block) -> this block's."""
        if h is not None:
            self.column.write(self.input, 1, self.margin, h)
        window = self.column.read(self.input, 1, self.seen).flatten(1)
        product = self.block.horizontal
        acc = torch.addmm(self.column.pick(self.partial, 0), window, self.pixel_weight)
        update = _point(self.block.residual, gate(requantise(acc, product.factor, -PRE_MAX, PRE_MAX), exact=True))
        return update if h is None else self.block.join(h, update)

    def put_planes(self, planes: Tensor) -> None:
        """Set the first block's input [lanes, planes] at the current column."""
        self.column.write(self.rows[-1], 0, self.behind, planes)
        self.column.write(self.input, 1, self.margin, planes)
