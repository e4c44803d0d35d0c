"""`Steps` by the fused kernels, for CUDA: a launch for each symbol of all lanes, and for each block and row."""

from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from acncodec.exact.bounds import EXACT_LIMIT
from acncodec.exact.grids import BASE, CUMULATIVE_BITS, STREAM_MAX
from acncodec.exact.tables import exp_table, logistic_table, steepness_table, tanh_table
from acncodec.fused import kernels
from acncodec.fused.layout import KNOWN, Packed, Sizes
from acncodec.nets.graphs import Recorder, Shared
from acncodec.nets.networks import Networks
from acncodec.nets.product import WEIGHT_MAX

LANES = kernels.LANES.value
PLACES = 32  # columns and lanes of a row's step per program
ENTRIES_MAX = 1 << 31  # of a buffer: offsets are 32-bit


def fits(networks: Networks, lanes: int, height: int, width: int) -> bool:
    """Whether the kernels can decode so many images of this size: not with copy candidates, nor very large networks."""
    sizes, arch = Sizes.of(networks.arch), networks.arch
    if arch.candidates or not networks.exact or not sizes.small:
        return False
    n = -(-lanes // LANES) * LANES
    ring = n * sizes.channels * arch.blocks * (sizes.reach + 1)
    rows = max((sizes.first_reach + 1) * sizes.planes, (sizes.reach + 1) * sizes.channels, 2 * sizes.channels)
    return max(ring, n * width * max(rows, height * sizes.latents)) < ENTRIES_MAX


class FusedSteps:
    """The decoder of n images in parallel, height x width each, after `load`; methods as those of `coding.passes.Steps`."""

    def __init__(
        self, networks: Networks, lanes: int, height: int, width: int, by: Recorder, dtype: torch.dtype = torch.float16
    ) -> None:
        """For networks that `fits`, on the device of `by`; `dtype` of weights, float16 or float32."""
        arch, device = networks.arch, networks.device
        self._networks, self._lanes, self._size, self._by = networks, lanes, (height, width), by
        n = -(-lanes // LANES) * LANES
        self._packed = packed = Packed(networks.decoder, dtype)
        sizes = packed.sizes
        self._constants = constants(device)

        def zeros(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self._map = zeros(height, width, n, sizes.latents)
        self._pixels = zeros(sizes.first_reach + 1, width, arch.colours, n, dtype=torch.uint8)
        self._planes = zeros(sizes.first_reach + 1, width, n, sizes.planes)
        self._streams = zeros(arch.blocks, sizes.reach + 1, width, n, sizes.channels)
        self._partial = zeros(arch.blocks, width, 2, n, sizes.channels, dtype=torch.float32)
        self._ring = zeros(sizes.reach + 1, arch.blocks, n, sizes.channels)
        self._stream = zeros(n, sizes.channels)
        self._table = zeros(sizes.parts, n, sizes.outputs, dtype=torch.int32)
        self._frequencies = Shared((n, min(BASE, arch.levels)), torch.float64, device)
        self._digits = Shared((n,), torch.int32, device)
        self._values = Shared((n,), torch.uint8, device)
        self._at_row, self._at_column = Shared((1,), torch.int32, device), Shared((1,), torch.int32, device)
        self._shape = {"lanes": n, "width": width}
        ring = {"RING": sizes.first_reach + 1, "COLOURS": arch.colours}
        self._of_pixel = {**ring, "LEVELS": arch.levels, "LOGISTICS": arch.logistics, "CENTRES": arch.centres}
        self._of_head = {**self._of_pixel, "C": sizes.channels, "F": sizes.features, "N": sizes.outputs}
        self._row = by.record(self._row_step)
        self._first = [by.record(self._pixel_step)]
        self._first += [by.record(partial(self._colour_step, colour)) for colour in range(1, arch.colours)]
        self._second = by.record(self._second_step) if arch.levels > BASE else None

    def load(self, z: np.ndarray) -> None:
        """Start decoding images of the latents int16 [n, D]."""
        self._by.wait()
        latent_map = self._networks.latent_map(self._networks.tensor(z), *self._size)
        self._map[:, :, : self._lanes, : latent_map.shape[-1]] = latent_map.permute(1, 2, 0, 3)
        self._by.follow()

    def start_row(self, row: int) -> None:
        self._at_row.array[:] = row
        self._row()

    def start_pixel(self, column: int) -> None:
        self._at_column.array[:] = column

    def first(self, colour: int) -> np.ndarray:
        self._first[colour]()
        return self._frequencies.array[: self._lanes]

    def second(self, first: np.ndarray) -> np.ndarray:
        assert self._second is not None
        self._digits.array[: self._lanes] = first
        self._second()
        return self._frequencies.array[: self._lanes]

    def put(self, colour: int, values: np.ndarray) -> None:
        self._values.array[: self._lanes] = values  # which the next step reads

    def wait(self) -> None:
        self._by.wait()

    def _row_step(self) -> None:
        self._at_row.upload()
        self._values.upload()
        sizes, arch = self._packed.sizes, self._networks.arch
        at = self._at_row.tensor
        groups = (self._shape["lanes"] // LANES,)
        kernels.end_row[groups](
            *(self._pixels, self._planes, self._values.tensor, at),
            **self._shape,
            **self._of_pixel,
            **{"P": sizes.planes, "ERRORS": arch.errors},
        )
        places = (-(-self._shape["lanes"] * self._shape["width"] // PLACES),)
        source, planes, reach = self._planes, sizes.planes, sizes.first_reach
        for block in range(arch.blocks):
            segment, out = self._packed.rows[block], self._streams[block]
            kernels.vertical[places](
                *(source, self._map, segment.weights, segment.vectors, out, self._partial[block], self._constants, at),
                **self._shape,
                **{"P": planes, "C": sizes.channels, "Z": sizes.latents, "REACH": reach, "RING": reach + 1},
                **{"OUT_RING": sizes.reach + 1, "FIRST": block == 0, "PLACES": PLACES},
            )
            source, planes, reach = out, sizes.channels, sizes.reach

    def _pixel_step(self) -> None:
        self._at_column.upload()
        self._values.upload()
        sizes, blocks = self._packed.sizes, self._packed.pixels
        later = blocks[min(1, len(blocks) - 1)]  # where there is one block only, it is not read again
        kernels.pixel[self._shape["lanes"] // LANES,](
            *(self._pixels, self._planes, self._values.tensor, self._partial, self._ring, self._stream),
            *(blocks[0].weights, blocks[0].vectors, later.weights, later.vectors),
            *self._of_distribution(0),
            *(self._at_row.tensor, self._at_column.tensor),
            **self._shape,
            **self._of_head,
            **{
                "BLOCKS": len(blocks),
                "P": sizes.planes,
                "ERRORS": self._networks.arch.errors,
                "REACH": sizes.reach,
                "FIRST_REACH": sizes.first_reach,
            },
        )
        self._frequencies.download()

    def _colour_step(self, colour: int) -> None:
        self._values.upload()
        kernels.next_colour[self._shape["lanes"] // LANES,](
            *(self._pixels, self._values.tensor, self._stream, *self._of_distribution(colour)),
            *(self._at_row.tensor, self._at_column.tensor),
            **self._shape,
            **self._of_head,
            COLOUR=colour,
        )
        self._frequencies.download()

    def _of_distribution(self, colour: int) -> tuple[Tensor, ...]:
        head = self._packed.heads[colour]
        return head.weights, head.vectors, self._constants, self._table, self._frequencies.tensor

    def _second_step(self) -> None:
        self._digits.upload()
        sizes, arch = self._packed.sizes, self._networks.arch
        kernels.second_digit[self._shape["lanes"] // LANES,](
            *(self._table, self._constants, self._digits.tensor, self._frequencies.tensor),
            lanes=self._shape["lanes"],
            LOGISTICS=arch.logistics,
            N=sizes.outputs,
        )
        self._frequencies.download()


@cache
def constants(device: torch.device) -> Tensor:
    """All tables, int32: tanh, exp, steepness, and the logistic function with an entry for the tail at each end."""
    logistic = np.concatenate([[0], logistic_table(), [1 << CUMULATIVE_BITS]])
    tables = np.concatenate([tanh_table(), exp_table(), steepness_table(), logistic])
    return torch.from_numpy(tables.astype(np.int32)).to(device)


def sums_are_exact(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether sums up to 2^24 - 1 are right for extreme and for random factors, starting from extreme values, too."""
    random = np.random.default_rng(0)
    for rows, k, n in ((LANES, KNOWN, 16), (PLACES, 32, 32), (LANES, 64, 64), (LANES, 128, 16), (PLACES, 64, 64)):
        count = 8 * rows
        weight = random.integers(-1, 2, (k, n)) * np.where(random.random((k, n)) < 8 / k, WEIGHT_MAX, 1)
        weight[:, ::2] = random.integers(-WEIGHT_MAX // 4, WEIGHT_MAX // 4, (k, n // 2)) * 16 // k
        x = random.integers(-STREAM_MAX, STREAM_MAX + 1, (count, k))
        x[::2] = random.choice([-STREAM_MAX, STREAM_MAX - 1, 1], (count // 2, k))
        x[::4] = STREAM_MAX * np.sign(weight[:, random.integers(0, n, count // 4)]).T  # all of one sign
        # As much of one sign as fits, so that the lowest bits stand beside the highest
        room = EXACT_LIMIT - 1 - np.abs(x) @ np.abs(weight)
        x[(room < 0).any(1)] //= 2
        room = EXACT_LIMIT - 1 - np.abs(x) @ np.abs(weight)
        start = np.maximum(room, 0) * random.choice([-1, 1], room.shape)
        inputs = [torch.from_numpy(each).to(device) for each in (x, weight, start)]
        out = torch.zeros((count, n), device=device)
        kernels.sums[count // rows,](
            *(inputs[0].half(), inputs[1].to(dtype), inputs[2].float(), out), **{"K": k, "N": n, "ROWS": rows}
        )
        fitting = room >= 0
        if fitting.mean() < 0.5 or not np.array_equal(out.cpu().numpy()[fitting], (x @ weight + start)[fitting]):
            return False
    return True
