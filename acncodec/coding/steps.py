"""The decoder of a step's images: the compiled kernel on the CPU; on CUDA the fused kernels, or groups of lanes on tensors.

On CUDA a group's steps on tensors run while the host pops the symbols of the others, so there are several groups. Symbols
of all lanes are interleaved and groups are consecutive lanes, so the number of groups affects only speed.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch

from acncodec.coding.candidates import StepImages, write_completions
from acncodec.coding.frequencies import LogisticsTable, SoftmaxTable, digits, table
from acncodec.coding.fusing import fused_steps
from acncodec.coding.passes import Steps
from acncodec.kernel.decoder import CompiledDecoder, available
from acncodec.nets.architecture import CANDIDATES
from acncodec.nets.graphs import Recorder, Shared, recorder
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.networks import Networks

if TYPE_CHECKING:
    from acncodec.fused.decoder import FusedSteps

Made = TypeVar("Made")

GROUPS = 4  # of lanes on CUDA
KEPT_PIXELS = 1 << 18  # of cached small decoders together: several tens of bytes a pixel
LEAST_LANES = 128  # per group: with fewer, a step takes hardly less time, and every group adds its own


class TensorSteps:
    """`Steps` on tensors of any device."""

    def __init__(
        self, networks: Networks, lanes: int, height: int, width: int, by: Recorder, replayable: bool | None = None
    ) -> None:
        """For `lanes` images height x width, set by `load`; `replayable` as for `IncrementalDecoder`."""
        arch, device = networks.arch, networks.device
        self._networks, self._size, self._by = networks, (height, width), by
        latent_map = torch.zeros((lanes, height, width, arch.map_planes), device=device)
        self._decoder = decoder = IncrementalDecoder(networks.decoder, latent_map, replayable)
        bases = digits(arch.levels)
        self._frequencies = Shared((lanes, bases[0]), torch.float64, device)
        self._digits = Shared((lanes,), torch.int32, device)
        self._values = Shared((lanes,), torch.uint8, device)
        self._tables: dict[int, SoftmaxTable | LogisticsTable] = {}
        self._images: StepImages | None = None
        self._known = np.empty((lanes, arch.colours), np.uint8)  # colours of the current pixel
        self._at = self._colour = 0
        # Recorded in decoding order: a step reads what those before it have written.
        self._row, self._pixel = by.record(decoder.row_step), by.record(decoder.pixel_step)
        self._first, self._second, self._put = [], [], []
        for colour in range(arch.colours):
            self._first.append(by.record(partial(self._first_step, colour)))
            if len(bases) == 2:
                self._second.append(by.record(partial(self._second_step, colour)))
            self._put.append(by.record(partial(self._put_step, colour)))

    def load(self, z: np.ndarray, images: StepImages | None = None) -> None:
        """Start decoding images of the latents int16 [n, D]; `images` are their source of copy candidates."""
        self._by.wait()
        self._decoder.load(self._networks.latent_map(self._networks.tensor(z), *self._size))
        self._images = images
        self._decoder.offers.array[:] = 0
        self._by.follow()

    def start_row(self, row: int) -> None:
        self._at = row
        self._decoder.move_row(row)
        self._row()

    def start_pixel(self, column: int) -> None:
        self._decoder.move_column(column)
        if self._images is not None:
            self._decoder.offers.array[:] = 0
            self._decoder.offers.array[:, :CANDIDATES] = self._images.find(self._at, column)
        self._pixel()

    def first(self, colour: int) -> np.ndarray:
        self._colour = colour
        if self._images is not None and colour:
            write_completions(self._decoder.offers.array, self._images.completions(self._known[:, :colour]), colour)
        self._first[colour]()
        return self._frequencies.array

    def second(self, first: np.ndarray) -> np.ndarray:
        self._digits.array[:] = first
        self._second[self._colour]()
        return self._frequencies.array

    def put(self, colour: int, values: np.ndarray) -> None:
        self._values.array[:] = values
        self._put[colour]()
        self._known[:, colour] = values
        if self._images is not None and colour == self._known.shape[1] - 1:
            self._images.learn(self._known)

    def wait(self) -> None:
        self._by.wait()

    def _first_step(self, colour: int) -> None:
        self._tables[colour] = table(self._decoder.distribution(colour))
        self._frequencies.tensor.copy_(self._tables[colour].first())
        self._frequencies.download()

    def _second_step(self, colour: int) -> None:
        self._digits.upload()
        self._frequencies.tensor.copy_(self._tables[colour].second(self._digits.tensor))
        self._frequencies.download()

    def _put_step(self, colour: int) -> None:
        self._values.upload()
        self._decoder.values.copy_(self._values.tensor)
        self._decoder.put_step(colour)


Groups = Sequence[tuple[slice, Steps]]


@contextmanager
def steps(networks: Networks, z: np.ndarray, height: int, width: int, images: StepImages | None = None) -> Iterator[Groups]:
    """Decoders for images height x width of the latents int16 [n, D]: groups of lanes, in order.

    `images` are their source of copy candidates. Decoders from the thread's previous call become invalid.
    """
    if available(networks):
        with compiled(networks, z, height, width, images) as decoder:
            yield [(slice(0, len(z)), decoder)]
        return
    groups = _kept.of(_groups, networks, len(z), height, width)
    for part, group in groups:
        if isinstance(group, TensorSteps):
            group.load(z[part], images.part(part) if images else None)
        else:  # for models without copy candidates
            group.load(z[part])
    yield groups


@contextmanager
def compiled(
    networks: Networks, z: np.ndarray, height: int, width: int, images: StepImages | None = None, sliced: bool = False
) -> Iterator[CompiledDecoder]:
    """The kernel's decoder for images of these latents; requires `available(networks)`.

    `sliced` if there are several coders.
    """
    decoder = _kept.of(_sliced if sliced else CompiledDecoder, networks, len(z), height, width)
    decoder.load(z, images.compiled if images else None)
    with decoder.team:
        yield decoder


def split(
    networks: Networks, lanes: int, height: int, width: int, count: int, graphs: bool = True
) -> list[tuple[slice, TensorSteps]]:
    """`count` groups of about equally many lanes, each with its own recorder."""
    bounds = [lanes * i // count for i in range(count + 1)]
    parts = [slice(start, end) for start, end in pairwise(bounds)]
    by = [recorder(networks.device, graphs) for _ in parts]
    return [
        (part, TensorSteps(networks, part.stop - part.start, height, width, each))
        for part, each in zip(parts, by, strict=True)
    ]


def _groups(networks: Networks, lanes: int, height: int, width: int) -> Sequence[tuple[slice, "TensorSteps | FusedSteps"]]:
    if networks.device.type != "cuda":
        return split(networks, lanes, height, width, 1)
    fused = fused_steps(networks, lanes, height, width)
    if fused is not None:  # so short that several groups would only make the host's part longer
        return [(slice(0, lanes), fused)]
    return split(networks, lanes, height, width, max(1, min(GROUPS, lanes // LEAST_LANES)))


class Kept(threading.local):
    """Per-thread LRU cache of decoders or encoders: making one takes milliseconds, and most calls share few sizes.

    Small ones are kept up to KEPT_PIXELS of all lanes together; of larger ones, and on CUDA, the last alone.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], tuple[int, object]] = {}  # pixels and object, the latest used last

    def of(self, make: Callable[..., Made], networks: Networks, lanes: int, height: int, width: int) -> Made:
        """`make(networks, lanes, height, width)`, cached."""
        made_for = make, networks, torch.get_num_threads(), lanes, height, width
        pixels, made = self._made.pop(made_for, (lanes * height * width, None))
        if made is None:
            self._make_room(pixels, networks.device)
            made = make(networks, lanes, height, width)
        self._made[made_for] = pixels, made
        return cast(Made, made)

    def _make_room(self, pixels: int, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # what is released has no work running
        room = 0 if device.type == "cuda" else KEPT_PIXELS
        while self._made and sum(each for each, _ in self._made.values()) + pixels > room:
            del self._made[next(iter(self._made))]


_kept = Kept()
_sliced = partial(CompiledDecoder, sliced=True)
