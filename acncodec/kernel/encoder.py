"""The encoder in the compiled kernel: codes of images in parallel, with the names of `nets/encoder.py`."""

from functools import cached_property

import numpy as np

from acncodec.kernel.buffers import EncoderBuffers, group_size
from acncodec.kernel.operations import Operation, Operations, Row
from acncodec.kernel.programs import GREY, PREDICT, REQUANTISE, TELL, Program
from acncodec.kernel.team import Team, instruction_set
from acncodec.nets.encoder import GRID, Encoder
from acncodec.nets.networks import Networks
from acncodec.nets.planes import plane_count
from acncodec.nets.product import Product


class CompiledEncoder:
    """Computes codes of n images in parallel, height x width each."""

    def __init__(self, networks: Networks, lanes: int, height: int, width: int, kind: str | None = None) -> None:
        """`networks` must be `available`; `kind` names the instruction set, by default the widest available."""
        self._team, self._arch = Team(lanes), networks.arch
        self._set = instruction_set(kind)
        self._buffers = EncoderBuffers(networks.arch, lanes, height, width, group_size(lanes, self._team.size))
        self._layout = EncoderLayout(networks.encoder, self._buffers)

    def codes(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [n, H, W, colours] -> codes int16 [n, code]."""
        buffers = self._buffers
        buffers.values.shared[:, :, : buffers.lanes] = pixels.transpose(1, 2, 0, 3)
        with self._team as team:
            for program, rows, columns in self._layout.stages:
                team.run(program.address, program.shape, self._set, buffers.filled_up, buffers.size, (0, rows, 0, columns))
        found = buffers.codes.array[:, 0, 0, :, : self._arch.code]
        return found.reshape(-1, self._arch.code)[: buffers.lanes].copy()


class EncoderLayout(Operations):
    """Programs over `buffers`."""

    def __init__(self, encoder: Encoder, buffers: EncoderBuffers) -> None:
        super().__init__(buffers)
        self._encoder, self._buffers = encoder, buffers
        f = encoder.first.weight.shape[1]
        # Images with a border of one zero row and column: row r of the image is row r + 1.
        self._planes = Row(buffers.planes, plane_count(buffers.arch), 1)
        self._first, self._first_halved = Row(buffers.first, f, 1), Row(buffers.first_halved, f, 1)
        self._second, self._second_halved = Row(buffers.second, 2 * f, 1), Row(buffers.second_halved, 2 * f, 1)
        self._third, self._pooled = Row(buffers.third, 2 * f, 1), Row(buffers.pooled, 2 * f)

    @cached_property
    def stages(self) -> list[tuple[Program, int, int]]:
        """What to run, in order: programs, and the number of rows and columns of each."""
        buffers, encoder = self._buffers, self._encoder
        whole, half, quarter = (buffers.height, buffers.width), buffers.half, buffers.quarter
        found = [
            (whole, self._tell),
            (whole, lambda row: [self._convolve(encoder.first, self._planes, row, self._first)]),
            (half, lambda row: [self._halve(self._first, row, self._first_halved)]),
            (half, lambda row: [self._convolve(encoder.second, self._first_halved, row, self._second)]),
            (quarter, lambda row: [self._halve(self._second, row, self._second_halved)]),
            (quarter, lambda row: [self._convolve(encoder.third, self._second_halved, row, self._third)]),
            ((1, 1), self._code),
        ]
        return [(self.program(rows, operations), rows, columns) for (rows, columns), operations in found]

    def _tell(self, row: int) -> list[Operation]:
        """The planes of a row."""
        colours, place = self._arch.colours, self._planes.at(row + 1)
        tell = self.pixels(TELL if self._arch.logistics else GREY, place, colours, 1)
        return [self.pixels(PREDICT, place, 0, 0), tell] if self._arch.predicts else [tell]

    def _convolve(self, product: Product, source: Row, row: int, out: Row) -> Operation:
        taps = [source.tap(row + 1 + y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        return self.product(product, taps, REQUANTISE, out.at(row + 1))

    def _halve(self, source: Row, row: int, out: Row) -> Operation:
        """2x2 max pooling; beyond an odd last row or column lie zeros, the minimum of features."""
        return self.largest(source, (2 * row + 1, 0), (2, 2), 2, out, (row + 1, 0))

    def _code(self, _: int) -> list[Operation]:
        """Max pooling to GRID x GRID bins, as by torch's adaptive pooling, and the last product."""
        (height, width), found = self._buffers.quarter, []
        for i, (top, bottom) in enumerate(_bins(height)):
            for j, (left, right) in enumerate(_bins(width)):
                size = bottom - top, right - left
                found.append(self.largest(self._third, (top + 1, left), size, 0, self._pooled, (0, GRID * i + j)))
        taps = [self._pooled.tap(0, n) for n in range(GRID * GRID)]
        found.append(self.product(self._encoder.code, taps, REQUANTISE, Row(self._buffers.codes, self._arch.code).at(0)))
        return found


def _bins(size: int) -> list[tuple[int, int]]:
    return [(i * size // GRID, -(-(i + 1) * size // GRID)) for i in range(GRID)]
