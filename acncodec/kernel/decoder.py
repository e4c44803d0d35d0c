"""The decoder r(x|z) in the compiled kernel: incremental for Bob, by rows and pixels; whole images for Alice.

The same integers as `nets/incremental.py` and the whole-image pass with `coding/frequencies.py`, bit for bit.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from acncodec.exact.grids import BASE
from acncodec.kernel.buffers import MAX_OUTS, PADDED, DecoderBuffers, group_size
from acncodec.kernel.candidates import CompiledImages
from acncodec.kernel.coder import STACK, CompiledCoder
from acncodec.kernel.compiled import native
from acncodec.kernel.copies import IMAGE_BYTES
from acncodec.kernel.layout import DecoderLayout
from acncodec.kernel.programs import MAX_TAPS, Program
from acncodec.kernel.team import Team, instruction_set, instructions
from acncodec.nets.networks import Networks
from acncodec.nets.product import Product


def available(networks: Networks) -> bool:
    """Whether the kernel can run these networks' encoder and decoder here."""
    if not instructions() or networks.device.type != "cpu" or not networks.exact:
        return False
    return all(_fits(product) for name, product in networks.products() if name.startswith(("encoder.", "decoder.")))


def _fits(product: Product) -> bool:
    taps = sum(each.window.taps for each in product.inputs)
    small = bool(product.weight.abs().max() < 1 << 15) and product.weight.shape[1] <= MAX_OUTS - PADDED
    shift = product.shift
    return small and taps <= MAX_TAPS and shift is not None and 1 <= int(shift.min()) <= int(shift.max()) < 31


class CompiledDecoder:
    """The decoder of n images in parallel, height x width each, used while its `team` is entered, after `load`.

    Bob's methods are those of `coding.passes.Steps`.
    """

    def __init__(
        self, networks: Networks, lanes: int, height: int, width: int, kind: str | None = None, sliced: bool = False
    ) -> None:
        """`networks` must be `available`; `kind` names the instruction set, by default the widest available.

        `sliced` if `pop_row` gets several coders.
        """
        self.team = Team(lanes)
        self._networks, self._lanes = networks, lanes
        self._set = instruction_set(kind)
        self._buffers = DecoderBuffers(networks.decoder, lanes, height, width, group_size(lanes, self.team.size, sliced))
        self._layout = DecoderLayout(networks.decoder, self._buffers)
        self._filled_up = self._buffers.filled_up
        self._values = self._buffers.values.shared[:, :, :lanes]
        self._second = np.empty(lanes, np.int32)  # second digits
        self._row = self._column = self._colour = 0

    @torch.no_grad()
    def load(self, z: np.ndarray, images: CompiledImages | None = None) -> None:
        """Start new images with the latents int16 [n, D]; `images` are they as Bob's source of copy candidates."""
        buffers = self._buffers
        latent_map = self._networks.latent_map(self._networks.tensor(z), buffers.height, buffers.width)
        planes = latent_map.to(torch.int16).permute(1, 2, 0, 3).numpy()
        for group, part in enumerate(np.split(planes, range(buffers.size, self._lanes, buffers.size), axis=2)):
            buffers.latents.array[group, :, :, : part.shape[2], : part.shape[3]] = part
        buffers.clear()
        self._images = images  # alive as long as their addresses are in use
        buffers.memory[0] = 0 if images is None else images.memory.address
        if images is not None:
            buffers.images.shared[: self._lanes] = images.words.view(np.uint8).reshape(self._lanes, IMAGE_BYTES)

    # Bob

    @cached_property
    def _frequencies(self) -> np.ndarray:
        return self._buffers.frequencies.shared[: self._lanes]

    @cached_property
    def _digits(self) -> np.ndarray:
        return self._buffers.digits.shared[: self._lanes]

    def start_row(self, row: int) -> None:
        self._row = row
        self._run(self._layout.row if row else self._layout.top_row, row, 1, 0, self._buffers.width)

    def start_pixel(self, column: int) -> None:
        self._column = column

    def first(self, colour: int) -> np.ndarray:
        self._colour = colour
        at_left = colour == self._column == 0
        self._run_here(self._layout.first_at_left if at_left else self._layout.first[colour])
        return self._frequencies

    def second(self, first: np.ndarray) -> np.ndarray:
        self._digits[:] = first
        self._run_here(self._layout.second[self._colour])
        return self._frequencies

    def put(self, colour: int, values: np.ndarray) -> None:
        self._values[self._row, self._column, :, colour] = values

    def wait(self) -> None:
        """Does nothing: all calls are synchronous."""

    def pop_row(self, row: int, first: int, last: int, coders: Sequence[CompiledCoder], width: int) -> None:
        """Decode columns first..last-1 of a row of all images: the calls above, without the GIL.

        Symbols of lane i come from coder i // `width`. With several coders threads decode units of whole slices and groups
        by themselves, if there are enough for all; else they share the work on each symbol.
        """
        layout, buffers, arch = self._layout, self._buffers, self._networks.arch
        base = min(BASE, arch.levels)
        programs = [layout.row if row else layout.top_row, layout.first_at_left, *layout.first]
        if base < arch.levels:
            programs += layout.second
        stacks = np.array([(each.below.ctypes.data, *each.position) for each in coders], STACK)
        unit = max(width, buffers.size)
        native.pop_row(
            self.team.address,
            np.array([(each.address, *each.shape) for each in programs], np.int64),
            self._set,
            buffers.size,
            row,
            buffers.width,
            first,
            last,
            self._lanes,
            buffers.values.shared.shape[2],
            arch.colours,
            base,
            buffers.frequencies.at().first,
            buffers.digits.at().first,
            buffers.values.at(row).first,
            self._second,
            stacks,
            width,
            unit if -(-self._lanes // unit) >= self.team.size else 0,
        )
        for coder, (_, count, state) in zip(coders, stacks.tolist(), strict=True):
            coder.position = count, state

    def pixels(self) -> np.ndarray:
        """What was decoded: uint8 [n, H, W, colours]."""
        return np.ascontiguousarray(self._values.transpose(2, 0, 1, 3))

    # Alice

    def whole(self, pixels: np.ndarray, offers: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """For pixels uint8 [n, H, W, colours] the frequencies, float64 [H, W, colours, digits, n, base], and `price`.

        `offers` as for `price`. The frequencies are overwritten by the next call.
        """
        buffers = self._buffers
        digits = buffers.all_digits.shared[..., : self._lanes]
        np.floor_divide(pixels.transpose(3, 1, 2, 0), BASE, out=digits, casting="unsafe")
        return buffers.all_frequencies.shared, self._cost(self._layout.whole, pixels, offers)

    def price(self, pixels: np.ndarray, offers: np.ndarray | None = None) -> np.ndarray:
        """Theoretical cost of pixels uint8 [n, H, W, colours]: float64 [n], bits, as `coding.theory.residual_bits`.

        Models with copy candidates take `offers`, uint8 [n, H, W, OFFERS, colours + 1], by default none.
        """
        return self._cost(self._layout.price, pixels, offers)

    def _cost(self, program: Program, pixels: np.ndarray, offers: np.ndarray | None) -> np.ndarray:
        buffers = self._buffers
        known = buffers.offers.shared[:, :, : self._lanes]
        known[:] = 0 if offers is None else offers.transpose(1, 2, 0, 3, 4)
        self._values[:] = pixels.transpose(1, 2, 0, 3)
        buffers.bits.shared[:] = 0
        self._run(program, 0, buffers.height, 0, buffers.width)
        return buffers.bits.shared[: self._lanes].copy()

    def _run_here(self, program: Program) -> None:
        self._run(program, self._row, 1, self._column, self._column + 1)

    def _run(self, program: Program, row: int, rows: int, first: int, last: int) -> None:
        at = row, rows, first, last
        self.team.run(program.address, program.shape, self._set, self._filled_up, self._buffers.size, at)
