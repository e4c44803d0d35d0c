"""A model fine-tuned to the very images that are about to be sent, as the difference to the model that Bob has.

Encoder and prior network stay as they are: they have most of the weights, and little to say of most images. The decoder's
differences are rounded to the step at which difference and images together are smallest.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.pixels import residual_prices
from acncodec.coding.prices import parent_bits, posterior_offsets
from acncodec.coding.weights import pack_model
from acncodec.errors import BoundError
from acncodec.nets.model import Model, dump_model, parse_model
from acncodec.nets.networks import Networks
from acncodec.nets.product import Product
from acncodec.planning.neighbours import nearest_others
from acncodec.training.data import MIN_GROUP, TrainingSet, batch_length
from acncodec.training.start import choose_batch
from acncodec.training.trainer import ALONE, CPU, Budget, Report, Trainer

DECODER = "decoder.", "map."
SAMPLE = 512  # elements of a group that are priced for each
BIAS_BITS = 2  # a bias moves sums as a weight does whose input is a quarter


@dataclass(frozen=True)
class Adapted:
    """A model, and what must be sent of it to somebody who has its base."""

    model: Model
    packed: bytes


def adapt(base: Model, groups: list[np.ndarray], minutes: float, report: Callable[[Report], None]) -> Adapted | None:
    """Fine-tune `base` for so many minutes on elements, uint8 [N, H, W, colours] of one size a group.

    None if there are too few of any size, or if nothing is won by it.
    """
    data = TrainingSet([torch.from_numpy(group) for group in groups if len(group) >= MIN_GROUP], [])
    if not data.train:
        return None
    batch = choose_batch(base.arch, data, minutes, base.networks, ALONE, CPU)
    trainer = Trainer(base.arch, data, Budget(minutes), start=base.networks, batch=batch, decoder_alone=True)
    for _ in trainer.run(report):
        pass
    return smallest(base, trainer.averaged, data.train)


def smallest(base: Model, trained: Networks, groups: list[Tensor]) -> Adapted | None:
    """The difference at the step at which it and the groups are smallest together, if smaller than under the base."""
    samples = [_Sample(base, group) for group in groups]
    best, least = None, sum(sample.bits(base.networks) for sample in samples)
    for step in steps_of(base):
        networks = _moved(base, trained, step)
        plain = dump_model(base.name, networks, base.unconditional, {"from": base.sha256.hex()}, base.format)
        packed = pack_model(plain, base.plain)
        bits = 8 * len(packed) + sum(sample.bits(networks) for sample in samples)
        if bits < least:
            best, least = (plain, packed), bits
    if best is None:
        return None
    return Adapted(replace(parse_model(best[0]), size=len(best[1])), best[1])


def steps_of(base: Model) -> range:
    """log2 of the steps that are tried, in units of the base's integer weights: 1/128 to a half of the largest of them."""
    bits = base.weight_max.bit_length()
    return range(bits - 7, bits)


class _Sample:
    """Some elements of a group, each with its nearest neighbour among all, to price the whole group by."""

    def __init__(self, base: Model, group: Tensor) -> None:
        self.count = len(group)
        codes = torch.cat([base.networks.encode(part) for part in group.split(batch_length(group))])
        chosen = torch.arange(len(group))[:: -(-len(group) // SAMPLE)]
        others = torch.from_numpy(nearest_others(codes.to(torch.int16).numpy(), chosen.numpy(), 1)[:, 0])
        self.pixels, self.codes, self.parents = group[chosen], codes[chosen], codes[others]
        self.z = (self.codes + posterior_offsets(self.codes.shape)).to(torch.int16)

    def bits(self, networks: Networks) -> float:
        """What the group costs, with a parent for everyone."""
        size = batch_length(self.pixels)
        residual = sum(
            residual_prices(pixels.numpy(), z.numpy(), networks).sum()
            for pixels, z in zip(self.pixels.split(size), self.z.split(size), strict=True)
        )
        return (
            (float(residual) + float(parent_bits(networks, self.codes, self.parents).sum())) * self.count / len(self.pixels)
        )


@torch.no_grad()
def _moved(base: Model, trained: Networks, step: int) -> Networks:
    """Exact networks whose decoder's integers differ from those of `base` by multiples of 2^step, towards `trained`."""
    moved = copy.deepcopy(base.networks)
    for (name, product), (_, known), (_, wanted) in zip(
        moved.products(), base.networks.products(), trained.products(), strict=True
    ):
        if name.startswith(DECODER):
            with suppress(BoundError):  # it stays as it is: at the base's scale it can't be what it wants to be
                _move(product, known, wanted, step, base.weight_max, name)
    return moved


def _move(product: Product, known: Product, wanted: Product, step: int, weight_max: int, name: str) -> None:
    """Set a product's integers. Raises BoundError, and leaves them, if they could make it inexact."""
    scale = known.scale
    bias_scale, bias_step = scale * 2.0**known.in_bits, 2.0 ** (step + max(0, known.in_bits - BIAS_BITS))
    step_size = 2.0**step
    weight = known.weight + torch.round((wanted.weight * scale - known.weight) / step_size) * step_size
    bias = known.bias + torch.round((wanted.bias * bias_scale - known.bias) / bias_step) * bias_step
    over = weight.abs() > weight_max
    product.load_integers(torch.where(over, known.weight, weight), bias, known.log2_scale, name)
